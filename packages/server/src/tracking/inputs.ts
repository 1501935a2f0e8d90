/** What runs read and made: datasets and logged models. */
import { sql } from "kysely";
import { checkStrings, invalidValue } from "../mlflow/index.js";
import type { Platform } from "../platform/index.js";
import { experimentNumber, json } from "./experiments.js";
import { mustBeActive } from "./log.js";
import type { DatasetInput, Tracking } from "./types.js";

const most = { perRequest: 1_000, summaries: 1_000 };

export function createInputs({ db }: Pick<Platform, "db">): Pick<Tracking, "logInputs" | "logOutputs" | "datasets"> {
  return {
    async logInputs(runId, { datasets, models }) {
      if (datasets.length > most.perRequest || models.length > most.perRequest) throw invalidValue(`At most ${most.perRequest} inputs are taken at once.`);
      for (const input of datasets) checkInput(input);
      await db.transaction().execute(async (transaction) => {
        await mustBeActive(transaction, runId);
        // In one order, so that two writers never wait for each other.
        const sorted = [...datasets].sort((a, b) => (key(a) < key(b) ? -1 : 1));
        for (const { dataset, tags } of sorted) {
          const { rows } = await sql<{ id: string }>`
            insert into tracking_dataset (experiment_id, name, digest, source_type, source, schema, profile)
            select experiment_id, ${dataset.name}, ${dataset.digest}, ${dataset.source_type}, ${dataset.source}, ${dataset.schema ?? null}, ${dataset.profile ?? null}
            from tracking_run where id = ${runId}
            on conflict (experiment_id, name, digest) do update set name = excluded.name returning id::text`.execute(transaction);
          await sql`
            insert into tracking_input (run_id, dataset_id, tags) values (${runId}, ${rows[0]?.id}, ${json(tags)}) on conflict do nothing`.execute(transaction);
        }
        if (models.length > 0) {
          await sql`
            insert into tracking_run_model (run_id, model_id, role) select distinct ${runId}, id, 'input' from unnest(${models}::text[]) as t (id)
            on conflict do nothing`.execute(transaction);
        }
      });
    },
    async logOutputs(runId, models) {
      if (models.length > most.perRequest) throw invalidValue(`At most ${most.perRequest} outputs are taken at once.`);
      await db.transaction().execute(async (transaction) => {
        await mustBeActive(transaction, runId);
        await sql`
          insert into tracking_run_model (run_id, model_id, role, step)
          select distinct ${runId}, id, 'output', step from unnest(${models.map((m) => m.id)}::text[], ${models.map((m) => m.step)}::bigint[]) as t (id, step)
          on conflict do nothing`.execute(transaction);
      });
    },
    async datasets(experiments) {
      const { rows } = await sql<{ experiment_id: string; name: string; digest: string; context: string | null }>`
        select distinct d.experiment_id::text, d.name, d.digest, i.tags ->> 'mlflow.data.context' as context
        from tracking_dataset d join tracking_input i on i.dataset_id = d.id where d.experiment_id = any(${experiments.map(experimentNumber)}::bigint[])
        order by 1, 2, 3, 4 limit ${most.summaries}`.execute(db);
      return rows;
    },
  };
}

const key = ({ dataset }: DatasetInput): string => `${dataset.name}\n${dataset.digest}`;
function checkInput({ dataset, tags }: DatasetInput): void {
  checkStrings([
    { what: "name", value: dataset.name, most: 500 },
    { what: "digest", value: dataset.digest, most: 36 },
    { what: "schema", value: dataset.schema, most: 1_048_575 },
    { what: "source", value: dataset.source, most: 65_535 },
    { what: "profile", value: dataset.profile, most: 16_777_215 },
    ...tags.flatMap((tag) => [
      { what: "key", value: tag.key, most: 255 },
      { what: "value", value: tag.value, most: 500 },
    ]),
  ]);
}
