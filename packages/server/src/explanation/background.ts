/** Rows of a feature service or a model's inputs that an explained row is compared with. */
import type { Prediction } from "@millrace/sdk/api";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import { localPaths, modelInput, streamColumns } from "../evaluation/index.js";
import type { Cell } from "../inference/index.js";
import { type Pipelines, trainingTable } from "../pipelines/index.js";
import { conflict, identifier, orNone, type Platform, parquet } from "../platform/index.js";
import type { Registry } from "../registry/index.js";
import type { Serving } from "../serving/index.js";
import { cellsOf, type Places } from "./places.js";

export interface Background {
  from: "training" | "log";
  rows: Cell[][];
}
export interface BackgroundOn {
  registry: Pick<Registry, "registered">;
  pipelines: Pick<Pipelines, "get">;
  serving: Pick<Serving, "predictions">;
}

const mostRows = 100;
/** With fewer, a feature's absence means too little. */
const leastRows = 10;

/** Of the table that the version was trained on where that is known, else of what its endpoint was asked last. Throws a 409 where there are not enough. */
export async function backgroundOf(
  platform: Pick<Platform, "objects" | "duckdb">,
  on: BackgroundOn,
  { endpoint, model, version, service, places }: { endpoint: string; model: string; version: number; service: FeatureServiceSpec | undefined; places: Places },
): Promise<Background> {
  if (service !== undefined) {
    const rows = await trainingRows(platform, on, model, version, service);
    if (rows !== undefined) return { from: "training", rows };
  }
  const asked = (await on.serving.predictions(endpoint, { limit: mostRows })).filter((one) => one.version > 0 && one.route !== "shadow");
  if (asked.length < leastRows)
    throw conflict(
      `Of "${model}/${version}" no training rows are known, and of the predictions of "${endpoint}" there are ${asked.length}: an explanation compares with at least ${leastRows}.`,
    );
  return { from: "log", rows: asked.map((one) => cellsOf(places, givenOf(one))) };
}

/** What the model of a logged prediction was given. */
export const givenOf = ({ features, inputs }: Prediction): Record<string, unknown> => (Object.keys(features).length > 0 ? features : inputs);

/** Undefined where it is not known what it was trained on, or that had other columns. */
async function trainingRows(
  { objects, duckdb }: Pick<Platform, "objects" | "duckdb">,
  { registry, pipelines }: BackgroundOn,
  model: string,
  version: number,
  { features }: FeatureServiceSpec,
): Promise<Cell[][] | undefined> {
  const { runId } = await registry.registered(model, version);
  const run = runId === null ? undefined : await orNone(pipelines.get(runId));
  const table = run === undefined ? undefined : trainingTable(run, model);
  if (table === undefined || table.files.length === 0) return undefined;
  const from = parquet(await localPaths(objects, table));
  return duckdb.use(async (connection) => {
    const known = new Set((await connection.runAndReadAll(`select * from ${from} limit 0`)).columnNames());
    if (!features.every(({ name }) => known.has(name))) return undefined;
    const columns = features.map((feature) => `${modelInput(feature)} as ${identifier(feature.name)}`);
    const sampled = `select ${columns.join(", ")} from (select * from ${from} using sample reservoir(${mostRows} rows) repeatable (1))`;
    const rows: Cell[][] = [];
    for await (const batch of streamColumns(connection, sampled))
      for (let row = 0; row < batch.rows; row++) rows.push(features.map(({ name }) => batch.columns[name]?.[row] ?? null));
    return rows.length < leastRows ? undefined : rows;
  });
}
