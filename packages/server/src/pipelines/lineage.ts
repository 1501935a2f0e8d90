/** Runs of pipelines by what they have to do with. */
import { sql } from "kysely";
import type { Platform } from "../platform/index.js";

export interface PipelineLineage {
  /** Whose record in tracking it is. */
  ofTrackingRun(trackingRun: string): Promise<string | undefined>;
  /** Newest first. */
  reading(dataset: string, version: number, most: number): Promise<string[]>;
}

export function createPipelineLineage({ db }: Pick<Platform, "db">): PipelineLineage {
  return {
    async ofTrackingRun(trackingRun) {
      const { rows } = await sql<{ id: string }>`select id from pipeline_run where tracking_run_id = ${trackingRun} limit 1`.execute(db);
      return rows[0]?.id;
    },
    async reading(dataset, version, most) {
      // A read says what it read; a join of features says of each dataset that it took.
      const { rows } = await sql<{ id: string }>`
        select r.id from pipeline_run r where exists (
          select 1 from pipeline_step s where s.run = r.id and s.kind in ('read_dataset', 'historical_features')
            and (jsonb_path_exists(outputs, '$.*.meta ? (@.dataset == $dataset && @.version == $version)', ${JSON.stringify({ dataset, version })}::jsonb)
              or jsonb_path_exists(outputs, '$.*.meta.datasets[*] ? (@.dataset == $dataset && @.version == $version)', ${JSON.stringify({ dataset, version })}::jsonb)))
        order by r.n desc limit ${most}`.execute(db);
      return rows.map(({ id }) => id);
    },
  };
}
