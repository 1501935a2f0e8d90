/** Tracking: experiments, runs, logged models and artifacts, over MLflow's REST API. */
export { type ArtifactFile, artifactPath } from "./artifacts.js";
export { createTrackingLineage, type TrackingLineage } from "./lineage.js";
export { trackingReferences } from "./references.js";
export { createRemoval, hold, type Kept, type Removal, type Removed } from "./removal.js";
export { trackingRoutes } from "./routes/index.js";
export { createTracking } from "./service.js";
export { type After, createTrackingTransfer, paged, type TrackingTransfer } from "./transfer.js";
export type { Tracking } from "./types.js";
