/** Validation: statistics of tables, and checks of them against a schema. */
export { givenSchema } from "./given.js";
export type { OtherTable, Tables } from "./history.js";
export { withoutPlaces } from "./places.js";
export { validationRoutes } from "./routes.js";
export { assertSelect, isRowWise } from "./select.js";
export { createValidation, type Validation } from "./service.js";
export { forgetStatistics } from "./store.js";
export { columnType } from "./types.js";
