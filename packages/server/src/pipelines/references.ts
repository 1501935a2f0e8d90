import { sql } from "kysely";
import type { References } from "../platform/index.js";

/** Runs are kept for good, with what their steps gave. */
export const pipelineReferences: References = {
  objects: sql`
    select jsonb_path_query(outputs, '$.*.files[*].digest') #>> '{}' from pipeline_step
    union all select jsonb_path_query(outputs, '$.*.files[*].digest') #>> '{}' from pipeline_cache
    union all select jsonb_path_query(items, '$[*].artifact.files[*].digest') #>> '{}' from pipeline_step where items is not null
    union all select jsonb_path_query(item, '$.artifact.files[*].digest') #>> '{}' from pipeline_step where item is not null`,
  tables: sql`
    select jsonb_path_query(outputs, '$.*.digest') #>> '{}' from pipeline_step
    union all select jsonb_path_query(outputs, '$.*.digest') #>> '{}' from pipeline_cache`,
  trackingRuns: sql`select tracking_run_id from pipeline_run`,
};
