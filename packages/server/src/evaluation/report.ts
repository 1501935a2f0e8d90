import type { DuckDBConnection } from "@duckdb/node-api";
import type { Artifact, Columns, EvaluationReport, Metrics } from "@millrace/sdk/api";
import type { ColumnType } from "@millrace/sdk/spec";
import { identifier, invalid, type ObjectStore, parquet } from "../platform/index.js";
import { type Digest, localPaths } from "./artifacts.js";
import { modelInput, streamColumns } from "./columns.js";
import { binaryMetrics, calibrationBins } from "./metrics.js";
import type { Scorer } from "./ports.js";

type Feature = { name: string; type: ColumnType };
/** A model beside the inputs that it takes. */
export interface ScoredModel {
  /** As messages call it: `the candidate`, `delay/3`. */
  name: string;
  scorer: Scorer;
  features: Feature[];
}

const warmUps = 20;
const latencyRuns = 200;
/** Of a slicing column's values the most frequent are reported. */
const maxSlices = 200;

/** Scores both models on the same rows and says how they did, overall and by each value of the slicing columns. */
export async function evaluate(options: {
  connection: DuckDBConnection;
  objects: ObjectStore;
  rows: Artifact;
  label: string;
  slices: string[];
  candidate: ScoredModel;
  champion: (ScoredModel & { version: string }) | undefined;
  /** Features and `prediction` as the training step wrote them. */
  parity: Digest | undefined;
  signal: AbortSignal;
  log(text: string): void;
}): Promise<EvaluationReport> {
  const { connection, candidate, champion } = options;
  const table = parquet(await localPaths(options.objects, options.rows));
  const known = await columnsOf(connection, table);
  for (const column of [options.label, ...options.slices]) mustHave(known, column, "The rows to evaluate on");
  for (const model of champion === undefined ? [candidate] : [candidate, champion])
    for (const { name } of model.features) mustHave(known, name, `The rows to evaluate ${model.name} on`);

  const scored = await score({ ...options, table });
  const measured = (predictions: Float64Array) => named(() => binaryMetrics(predictions, scored.labels));
  const report: Omit<EvaluationReport, "parity" | "latency"> = {
    candidate: measured(scored.candidate),
    champion: scored.champion === null ? null : measured(scored.champion),
    championVersion: champion?.version ?? null,
    slices: scored.slices.flatMap((slice) => sliceMetrics(slice, scored)),
    calibration: calibrationBins(scored.candidate, scored.labels),
  };
  return { ...report, parity: await parity(options), latency: await latency(candidate, scored.first) };
}

interface Slicing {
  column: string;
  /** By row: the index into `values`. */
  codes: number[];
  values: string[];
}
interface Scored {
  labels: Uint8Array;
  candidate: Float64Array;
  champion: Float64Array | null;
  slices: Slicing[];
  /** The first rows, for measuring latency. */
  first: { columns: Columns; rows: number };
}

async function score(options: Parameters<typeof evaluate>[0] & { table: string }): Promise<Scored> {
  const { candidate, champion, table, label } = options;
  // Inputs are read once, also where both models take them; the prefixes keep them apart from label and slices.
  const features = new Map([...candidate.features, ...(champion?.features ?? [])].map((f) => [f.name, f]));
  const inputs = [...features.values()].map((f) => `${modelInput(f)} as ${identifier(`f_${f.name}`)}`);
  const slicing = options.slices.map((s, index) => `coalesce(${identifier(s)}::varchar, 'null') as ${identifier(`s_${index}`)}`);
  const query = `select ${[`${identifier(label)}::double as label`, ...inputs, ...slicing].join(", ")} from ${table} where ${identifier(label)} is not null`;

  const labels: number[] = [];
  const predictions: Record<"candidate" | "champion", Float64Array[]> = { candidate: [], champion: [] };
  const slices = options.slices.map((column): Slicing & { known: Map<string, number> } => ({ column, codes: [], values: [], known: new Map() }));
  let first: Scored["first"] | undefined;
  for await (const { columns, rows } of streamColumns(options.connection, query)) {
    options.signal.throwIfAborted();
    for (const value of columns.label ?? []) {
      if (value !== 0 && value !== 1) throw invalid(`The label ${label} has the value ${value}; a label is 0 or 1, true or false.`);
      labels.push(value);
    }
    predictions.candidate.push(await predict(candidate, columns, rows));
    if (champion !== undefined) predictions.champion.push(await predict(champion, columns, rows));
    for (const [index, slice] of slices.entries()) {
      for (const value of columns[`s_${index}`] ?? []) {
        const text = String(value);
        let code = slice.known.get(text);
        if (code === undefined) {
          code = slice.values.push(text) - 1;
          slice.known.set(text, code);
        }
        slice.codes.push(code);
      }
    }
    first ??= {
      columns: Object.fromEntries(candidate.features.map((f) => [f.name, (columns[`f_${f.name}`] ?? []).slice(0, latencyRuns)])),
      rows: Math.min(rows, latencyRuns),
    };
    options.log(`scored ${labels.length} rows`);
  }
  if (first === undefined) throw invalid(`There is no row with a label in ${label} to evaluate on.`);
  return {
    labels: Uint8Array.from(labels),
    candidate: joined(predictions.candidate),
    champion: champion === undefined ? null : joined(predictions.champion),
    slices,
    first,
  };
}

async function predict(model: ScoredModel, columns: Columns, rows: number): Promise<Float64Array> {
  const inputs = Object.fromEntries(model.features.map((f) => [f.name, columns[`f_${f.name}`] ?? []]));
  const answer = await model.scorer.predict(inputs, rows);
  if (answer.length !== rows) throw invalid(`${model.name} gave ${answer.length} predictions for ${rows} rows.`);
  return answer;
}

function sliceMetrics({ column, codes, values }: Slicing, scored: Scored): EvaluationReport["slices"] {
  const rowsOf: number[][] = values.map(() => []);
  for (const [row, code] of codes.entries()) rowsOf[code]?.push(row);
  const order = values.map((value, code) => ({ value, rows: rowsOf[code] ?? [] })).sort((a, b) => b.rows.length - a.rows.length);
  return order.slice(0, maxSlices).map(({ value, rows }) => {
    const labels = Uint8Array.from(rows, (row) => scored.labels[row] ?? 0);
    const metrics = (predictions: Float64Array): Metrics =>
      binaryMetrics(
        Float64Array.from(rows, (row) => predictions[row] ?? Number.NaN),
        labels,
      );
    return { column, value, candidate: metrics(scored.candidate), champion: scored.champion === null ? null : metrics(scored.champion) };
  });
}

async function parity({ parity: digest, objects, connection, candidate }: Parameters<typeof evaluate>[0]): Promise<EvaluationReport["parity"]> {
  if (digest === undefined) return null;
  const table = parquet([await objects.localPath(digest)]);
  const known = await columnsOf(connection, table);
  for (const { name } of [...candidate.features, { name: "prediction" }]) mustHave(known, name, "The model's parity.parquet");
  const inputs = candidate.features.map((f) => `${modelInput(f)} as ${identifier(`f_${f.name}`)}`);
  let rows = 0;
  let maxDifference = 0;
  for await (const batch of streamColumns(connection, `select ${[...inputs, "prediction::double as prediction"].join(", ")} from ${table}`)) {
    const answers = await predict(candidate, batch.columns, batch.rows);
    for (const [row, expected] of (batch.columns.prediction ?? []).entries()) {
      const difference = Math.abs((answers[row] ?? Number.NaN) - Number(expected ?? Number.NaN));
      // A difference that is no number is as large as can be: it must not pass a gate.
      maxDifference = Number.isNaN(difference) ? Number.MAX_VALUE : Math.max(maxDifference, difference);
    }
    rows += batch.rows;
  }
  return { rows, maxDifference };
}

async function latency(model: ScoredModel, { columns, rows }: Scored["first"]): Promise<EvaluationReport["latency"]> {
  const times: number[] = [];
  for (let run = -warmUps; run < latencyRuns; run++) {
    const row = (run + warmUps) % rows;
    const one = Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values.slice(row, row + 1)]));
    const start = performance.now();
    await model.scorer.predict(one, 1);
    if (run >= 0) times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.ceil(share * times.length) - 1] ?? 0;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function columnsOf(connection: DuckDBConnection, table: string): Promise<Set<string>> {
  return new Set((await connection.runAndReadAll(`select * from ${table} limit 0`)).columnNames());
}
function mustHave(known: Set<string>, column: string, where: string): void {
  if (!known.has(column)) throw invalid(`${where} have no column ${column}. They have ${[...known].sort().join(", ")}.`);
}
/** What the model did wrong is the project's to put right, not the server's. */
function named<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError) throw invalid(`The model can't be evaluated: ${error.message}`);
    throw error;
  }
}
function joined(parts: Float64Array[]): Float64Array {
  const whole = new Float64Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
