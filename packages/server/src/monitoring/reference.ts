/** What a model version was trained on, as distributions of its features and of its predictions on them. */
import { createHash } from "node:crypto";
import type { Artifact, Columns, RunDetail } from "@millrace/sdk/api";
import type { ColumnType } from "@millrace/sdk/spec";
import { sql } from "kysely";
import { localPaths, modelInput, streamColumns } from "../evaluation/index.js";
import { identifier, type Platform, parquet } from "../platform/index.js";
import { type Distribution, distributions } from "./distribution.js";

/** Rows of the training table that the distributions are taken from. */
const sampledRows = 50_000;

export interface Reference {
  features: Record<string, Distribution>;
  prediction: Distribution | null;
}
interface Scorer {
  features: { name: string; type: ColumnType }[];
  predict(columns: Columns, rows: number): Promise<Float64Array>;
}

/** Kept once computed: a version's training rows never change. undefined where it is not known what it was trained on. */
export async function referenceOf(
  { db, objects, duckdb }: Pick<Platform, "db" | "objects" | "duckdb">,
  version: { model: string; version: number; runId: string | null },
  run: (id: string) => Promise<RunDetail>,
  open: () => Promise<Scorer>,
): Promise<Reference | undefined> {
  if (version.runId === null) return undefined;
  const scorer = await open();
  const digest = createHash("sha256").update(JSON.stringify(scorer.features)).digest("hex");
  const { rows } = await sql<{ distribution: Reference }>`
    select distribution from monitor_reference where model = ${version.model} and version = ${version.version} and service_digest = ${digest}`.execute(db);
  if (rows[0] !== undefined) return rows[0].distribution;

  const table = trainingTable(await run(version.runId));
  if (table === undefined) return undefined;
  const paths = await localPaths(objects, table);
  const all: Columns = Object.fromEntries(scorer.features.map(({ name }) => [name, []]));
  const predicted: number[] = [];
  await duckdb.use(async (connection) => {
    const columns = scorer.features.map((feature) => `${modelInput(feature)} as ${identifier(feature.name)}`).join(", ");
    const sampled = `select ${columns} from (select * from ${parquet(paths)}) using sample reservoir(${sampledRows} rows) repeatable (1)`;
    for await (const batch of streamColumns(connection, sampled)) {
      for (const [name, values] of Object.entries(batch.columns)) {
        const into = all[name];
        for (const value of values) into?.push(value);
      }
      for (const probability of await scorer.predict(batch.columns, batch.rows)) predicted.push(probability);
    }
  });
  const reference: Reference = {
    features: distributions(scorer.features, all),
    prediction: distributions([{ name: "prediction", type: "float64" }], { prediction: predicted }).prediction ?? null,
  };
  await sql`
    insert into monitor_reference (model, version, service_digest, distribution)
    values (${version.model}, ${version.version}, ${digest}, ${JSON.stringify(reference)}::jsonb) on conflict do nothing`.execute(db);
  return reference;
}

/** The table that went into the step whose model the run registered. */
function trainingTable({ spec, steps }: RunDetail): Artifact | undefined {
  const register = spec.nodes.find((node) => node.kind === "register");
  const from = register?.inputs.model;
  if (from === undefined || !("node" in from)) return undefined;
  const trained = spec.nodes.find((node) => node.id === from.node);
  for (const input of Object.values(trained?.inputs ?? {})) {
    if (!("node" in input)) continue;
    const artifact = steps.find((step) => step.id === input.node)?.outputs[input.output];
    if (artifact?.type === "table") return artifact;
  }
  return undefined;
}
