import { sql } from "kysely";
import type { References } from "../platform/index.js";

/** What was deleted is freed by its age; what its names refer to is live until then. */
export const trackingReferences: References = {
  objects: sql`select digest from tracking_artifact`,
  // A run names the run that it belongs to, and the models that it read. The models that it made it does not need.
  trackingRuns: sql`
    select t.value from tracking_tag t join tracking_run r on r.id = t.run_id where t.key = 'mlflow.parentRunId' and r.lifecycle_stage = 'active'`,
  loggedModels: sql`
    select x.model_id from tracking_run_model x join tracking_run r on r.id = x.run_id where x.role = 'input' and r.lifecycle_stage = 'active'`,
};
