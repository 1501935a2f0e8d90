/** What MLflow's APIs of tracking and of the registry share: addresses, bodies, errors, names, filters, orders and pages. */
export { checkKey, checkStrings, checkTags, cut, cutParams, cutTags, largest } from "./checks.js";
export { exists, invalidValue, isDuplicate, missing, wrongState } from "./errors.js";
export { missingRoutes } from "./missing.js";
export { key, type OrderKey, orderKeys, type Page, readPage } from "./order.js";
export {
  asBody,
  type Body,
  keyValue,
  keyValues,
  list,
  maxResults,
  mlflowScope,
  nextPage,
  number,
  oneOf,
  optional,
  optionalBoolean,
  optionalNumber,
  type Protocol,
  present,
  shown,
  tagList,
  text,
  texts,
} from "./protocol.js";
export { attribute, attributes, type Field, fieldOf, jsonField, ofView, type Searchable, type Sql, where } from "./search.js";
export type { KeyValue, View } from "./types.js";
