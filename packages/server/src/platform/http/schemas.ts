/** What comes in and goes out is checked against each route's schemas. They are compiled when they are first needed: all at once would take half of a start's time. */
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";
import ajvCompiler from "@fastify/ajv-compiler";
import type { FastifySchemaCompiler } from "fastify";
import type { Http } from "./types.js";

// Shorter code is not worth its price: for what a project says it takes two thirds of the time that the first `apply` waits.
const options = { removeAdditional: false, allErrors: false, code: { optimize: false } } as const;

export function compileWhenNeeded(app: Http): void {
  const build = ajvCompiler();
  // What stands in an address is text and becomes what its schema says. A body is JSON, in which 1 and "1" are not the same.
  const exact = build({}, { customOptions: { ...options, coerceTypes: false } });
  const fromText = build({}, { customOptions: { ...options, coerceTypes: "array" } });
  app.setValidatorCompiler<object>((route) => {
    let compiled: ReturnType<typeof exact> | undefined;
    const validate: ReturnType<FastifySchemaCompiler<object>> = (data) => {
      compiled ??= route.httpPart === "body" ? exact(route) : fromText(route);
      const fits = compiled(data) === true;
      validate.errors = compiled.errors ?? null;
      return fits;
    };
    return validate;
  });
  app.setSerializerCompiler((route) => {
    const declared = pick(route.schema);
    const plain = (data: unknown) => JSON.stringify(declared === undefined ? data : declared(data));
    return process.env.MILLRACE_CHECK_ANSWERS === "1" ? checked(route, plain) : plain;
  });
}

type Pick = (value: unknown) => unknown;
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Leaves of an answer what its schema has; undefined where that is all of it. Within a union of several kinds of objects everything is left: it is
 * the document of a definition, most often. A serializer compiled of one takes seconds to make, and more time than this for each answer.
 */
function pick(schema: unknown): Pick | undefined {
  if (!isRecord(schema)) return undefined;
  if (Array.isArray(schema.anyOf)) {
    const [one, ...more] = schema.anyOf.filter((each: unknown) => !isRecord(each) || each.type !== "null");
    return more.length === 0 ? pick(one) : undefined;
  }
  if (schema.type === "array") {
    const item = pick(schema.items);
    return item === undefined ? undefined : (value) => (Array.isArray(value) ? value.map(item) : value);
  }
  if (schema.type !== "object" || schema.additionalProperties === true) return undefined;
  if (isRecord(schema.patternProperties)) {
    const inner = pick(Object.values(schema.patternProperties)[0]);
    if (inner === undefined) return undefined;
    return (value) => (isRecord(value) ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, inner(one)])) : value);
  }
  if (!isRecord(schema.properties)) return undefined;
  const fields = Object.entries(schema.properties).map(([name, one]): [string, Pick | undefined] => [name, pick(one)]);
  return (value) => {
    if (!isRecord(value)) return value;
    const picked: Record<string, unknown> = {};
    for (const [name, inner] of fields) {
      const one = value[name];
      if (one !== undefined) picked[name] = inner === undefined ? one : inner(one);
    }
    return picked;
  };
}

/** In tests an answer that is not what its schema says, with more or less in it, is an error. */
function checked(route: { schema: unknown; method: string; url: string; httpStatus?: string }, plain: (data: unknown) => string): (data: unknown) => string {
  const compiler: typeof import("@fastify/fast-json-stringify-compiler") = createRequire(import.meta.url)("@fastify/fast-json-stringify-compiler");
  let exact: ((data: unknown) => string) | undefined;
  return (data) => {
    exact ??= compiler.default()()({ ...route, httpStatus: route.httpStatus ?? "default" });
    const given = plain(data);
    const allowed = exact(data);
    if (!isDeepStrictEqual(JSON.parse(given), JSON.parse(allowed)))
      throw new Error(`${route.method} ${route.url} answers what its schema has not: ${given.slice(0, 2_000)} instead of ${allowed.slice(0, 2_000)}`);
    return given;
  };
}
