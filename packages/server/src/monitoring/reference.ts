/** What a model version was trained on, as distributions of its features and of its predictions on them. */
import { createHash } from "node:crypto";
import type { RunDetail } from "@millrace/sdk/api";
import { sql } from "kysely";
import { localPaths, modelInput, streamColumns } from "../evaluation/index.js";
import { trainingTable } from "../pipelines/index.js";
import { identifier, type Platform, parquet } from "../platform/index.js";
import type { Serving } from "../serving/index.js";
import { type Distribution, distributions } from "./distribution.js";

/** Rows of the training table that the distributions are taken from. */
const sampledRows = 50_000;

export interface Reference {
  /** By name. */
  features: Record<string, Distribution>;
  prediction: Distribution | null;
}

/** Kept once computed: a version's training rows never change. undefined where it is not known what it was trained on. */
export async function referenceOf(
  { db, objects, duckdb }: Pick<Platform, "db" | "objects" | "duckdb">,
  version: { model: string; version: number; runId: string | null },
  scorer: Awaited<ReturnType<Serving["scorer"]>>,
  run: (id: string) => Promise<RunDetail>,
): Promise<Reference | undefined> {
  if (version.runId === null) return undefined;
  const digest = createHash("sha256").update(JSON.stringify(scorer.features)).digest("hex");
  const { rows } = await sql<{ distribution: Reference }>`
    select distribution from monitor_reference where model = ${version.model} and version = ${version.version} and service_digest = ${digest}`.execute(db);
  if (rows[0] !== undefined) return rows[0].distribution;

  const table = trainingTable(await run(version.runId), version.model);
  if (table === undefined) return undefined;
  const paths = await localPaths(objects, table);
  const reference = await duckdb.use(async (connection): Promise<Reference> => {
    const inputs = scorer.features.map((feature) => `${modelInput(feature)} as ${identifier(feature.name)}`);
    const sampled = `(select * from ${parquet(paths)}) using sample reservoir(${sampledRows} rows) repeatable (1)`;
    await connection.run(`create temp table trained as select ${inputs.join(", ")} from ${sampled}`);
    const predictions: number[] = [];
    for await (const batch of streamColumns(connection, "select * from trained")) predictions.push(...(await scorer.predict(batch.columns, batch.rows)));
    await connection.run(`create temp table predicted as select unnest(from_json($1::json, '["DOUBLE"]')) as prediction`, [JSON.stringify(predictions)]);
    const features = await distributions(
      { duckdb, connection, relation: "trained" },
      scorer.features.map(({ name, type }) => ({ type, sql: identifier(name) })),
    );
    const [prediction] = await distributions({ duckdb, connection, relation: "predicted" }, [{ type: "float64", sql: "prediction" }]);
    return {
      features: Object.fromEntries(scorer.features.flatMap(({ name }, i) => (features[i] === undefined ? [] : [[name, features[i]]]))),
      prediction: prediction ?? null,
    };
  });
  await sql`
    insert into monitor_reference (model, version, service_digest, distribution)
    values (${version.model}, ${version.version}, ${digest}, ${JSON.stringify(reference)}::jsonb) on conflict do nothing`.execute(db);
  return reference;
}
