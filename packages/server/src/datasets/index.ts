/** Datasets: immutable versions of tables, how rows come in, and reading them as of a version. */
export { datasetQualityRoutes } from "./quality-routes.js";
export { createQuarantine } from "./quarantine.js";
export { datasetReferences } from "./references.js";
export { datasetsRoutes } from "./routes.js";
export { createDatasets } from "./service.js";
export { storeTable, tableDigest } from "./table.js";
export { createTables } from "./tables.js";
export type { Datasets, PushedRow } from "./types.js";
