import { sql } from "kysely";
import type { References } from "../platform/index.js";

export const registryReferences: References = {
  objects: sql`select jsonb_path_query(files, '$[*].digest') #>> '{}' from model_version`,
  trackingRuns: sql`select tracking_run_id from model_version`,
  loggedModels: sql`select logged_model_id from model_version`,
};
