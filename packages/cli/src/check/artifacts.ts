/** Artifacts of a run: fetched, read, and held against what is asked of them. */
import { createWriteStream, existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ExpectedArtifact } from "@millrace/sdk";
import { type Artifact, EvaluationReport } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import type { ColumnType } from "@millrace/sdk/spec";
import { Value } from "@sinclair/typebox/value";
import { count } from "../output.js";
import type { Duck } from "../transfer/duck.js";
import { quoted } from "../transfer/tables.js";
import { outside } from "./training.js";

export interface Reader {
  duck: Duck;
  client: Client;
  folder: string;
}

/** The artifact's files on this machine, by their paths. */
export async function fetched({ client, folder }: Reader, artifact: Artifact, wanted: (path: string) => boolean = () => true): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  await mkdir(path.join(folder, "objects"), { recursive: true });
  for (const { path: name, digest } of artifact.files) {
    if (!wanted(name)) continue;
    const target = path.join(folder, "objects", digest.slice("sha256:".length));
    found.set(name, target);
    if (existsSync(target)) continue;
    const body = await client.object(digest);
    await pipeline(body === null ? Readable.from([]) : Readable.from(body), createWriteStream(target));
  }
  return found;
}

interface Column {
  name: string;
  type: string;
}
/** Of a table: as its step's end noted them, else as its files have them. */
export async function columnsOf(reader: Reader, artifact: Artifact): Promise<Column[]> {
  const noted = Array.isArray(artifact.meta.columns) ? artifact.meta.columns : [];
  const named = noted.flatMap((one) =>
    typeof one === "object" && one !== null && !Array.isArray(one) && typeof one.name === "string" && typeof one.type === "string"
      ? [{ name: one.name, type: one.type }]
      : [],
  );
  if (named.length > 0 || artifact.files.length === 0) return named;
  const [first] = (await fetched(reader, { ...artifact, files: artifact.files.slice(0, 1) })).values();
  const described = await reader.duck.rows(`describe select * from read_parquet(${quoted(first ?? "")})`);
  return described.map((row) => ({ name: String(row.column_name), type: String(row.column_type).toLowerCase() }));
}
const rowsOf = ({ meta }: Artifact): number => (typeof meta.rows === "number" ? meta.rows : 0);

/** A line for people: how much it is. */
export async function sizeOf(reader: Reader, artifact: Artifact): Promise<string> {
  if (artifact.type === "table") return `${count(rowsOf(artifact))} rows, ${(await columnsOf(reader, artifact)).length} columns`;
  if (artifact.type === "model")
    return artifact.files
      .map((file) => file.path)
      .slice(0, 6)
      .join(", ");
  return artifact.type;
}

/** What is not as asked. */
export async function misfits(reader: Reader, artifact: Artifact, asked: ExpectedArtifact): Promise<string[]> {
  const wrong: string[] = [];
  if (artifact.type === "table") {
    const [rows, columns] = [rowsOf(artifact), (await columnsOf(reader, artifact)).map(({ name }) => name)];
    const least = asked.minRows ?? 1;
    if (rows < least) wrong.push(`it has ${count(rows)} rows, and at least ${count(least)} are asked`);
    for (const name of [...new Set([...(asked.columns ?? []), ...(asked.noNulls ?? [])])])
      if (!columns.includes(name)) wrong.push(`it has no column "${name}"; it has ${columns.slice(0, 40).join(", ")}`);
    const whole = (asked.noNulls ?? []).filter((name) => columns.includes(name));
    for (const [name, nulls] of Object.entries(await countsOf(reader, artifact, whole, (column) => `${column} is null`)))
      if (nulls > 0) wrong.push(`${count(nulls)} of ${count(rows)} values of "${name}" are null`);
  }
  if (artifact.type === "model") {
    const there = artifact.files.map((file) => file.path);
    for (const name of asked.files ?? []) if (!there.includes(name)) wrong.push(`it has no file ${name}; it has ${there.slice(0, 40).join(", ")}`);
  }
  if (asked.metrics !== undefined) wrong.push(...outside(await metricsOf(reader, artifact), asked.metrics));
  return wrong;
}

async function metricsOf(reader: Reader, artifact: Artifact): Promise<Record<string, number>> {
  const found = artifact.type === "report" ? (await reportOf(reader, artifact))?.candidate : artifact.meta.metrics;
  return Object.fromEntries(Object.entries(found ?? {}).flatMap(([name, value]) => (typeof value === "number" ? [[name, value]] : [])));
}

/** Of a step that evaluates; a validation's report is another. */
export async function reportOf(reader: Reader, artifact: Artifact): Promise<EvaluationReport | undefined> {
  const [file] = (await fetched(reader, artifact)).values();
  if (file === undefined) return undefined;
  const [row] = await reader.duck.rows(`select content from read_text(${quoted(file)})`);
  const report: unknown = JSON.parse(String(row?.content ?? "null"));
  return Value.Check(EvaluationReport, report) ? report : undefined;
}

async function countsOf(
  reader: Reader,
  artifact: Artifact,
  columns: readonly string[],
  condition: (column: string) => string,
): Promise<Record<string, number>> {
  if (columns.length === 0 || artifact.files.length === 0) return {};
  const files = [...(await fetched(reader, artifact)).values()];
  return countsIn(reader.duck, files, columns, condition);
}
async function countsIn(
  duck: Duck,
  files: readonly string[],
  columns: readonly string[],
  condition: (column: string) => string,
): Promise<Record<string, number>> {
  const sums = columns.map((name, i) => `count(*) filter (where ${condition(identifier(name))}) as c${i}`);
  const [row] = await duck.rows(`select ${sums.join(", ")} from read_parquet([${files.map(quoted).join(", ")}], union_by_name = true)`);
  return Object.fromEntries(columns.map((name, i) => [name, Number(row?.[`c${i}`] ?? 0)]));
}
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

const noNumber = (column: string): string => `${column} is null or isnan(${column}::double) or isinf(${column}::double)`;

/** Predictions that are no numbers: of the trained model on the sample that it wrote, or in a column that a step added. */
export async function oddPredictions(reader: Reader, artifact: Artifact, column?: string): Promise<string[]> {
  const parity = artifact.type === "model" ? [...(await fetched(reader, artifact, (name) => name === "parity.parquet")).values()] : undefined;
  const files = parity ?? [...(await fetched(reader, artifact)).values()];
  if (files.length === 0) return [];
  const described = await reader.duck.rows(`describe select * from read_parquet([${files.map(quoted).join(", ")}], union_by_name = true)`);
  const columns = described.flatMap(({ column_name: name, column_type: type }) => {
    const wanted = column === undefined ? String(name).startsWith("prediction") : name === column;
    return wanted && /^(DOUBLE|FLOAT|DECIMAL|.*INT)/.test(String(type)) ? [String(name)] : [];
  });
  if (columns.length === 0) return [];
  const counts = await countsIn(reader.duck, files, columns, noNumber);
  return Object.entries(counts).flatMap(([name, odd]) => (odd > 0 ? [`${count(odd)} values of "${name}" are no numbers`] : []));
}

/** What is no number among the numbers of an evaluation. */
export function oddMetrics(report: EvaluationReport): string[] {
  const { candidate } = report;
  if (candidate.rows === 0) return ["it was made on no rows: take a larger sample, or a shorter test"];
  const names = (["log_loss", "brier", "mean_prediction"] as const).filter((name) => candidate[name] === null);
  return names.map((name) => `${name} of the evaluation is no number`);
}

const types: Record<ColumnType, RegExp> = {
  string: /^(varchar|json|uuid|enum)/,
  int64: /^u?(tiny|small|big|huge)?int(eger)?$/,
  float64: /^(double|float|decimal|u?(tiny|small|big|huge)?int(eger)?$)/,
  boolean: /^boolean/,
  timestamp: /^timestamp/,
  date: /^(date|timestamp)/,
};
/** What a step declares of a table's columns and the table has not. */
export async function unlike(reader: Reader, artifact: Artifact, declared: Readonly<Record<string, ColumnType>>): Promise<string[]> {
  const columns = new Map((await columnsOf(reader, artifact)).map(({ name, type }) => [name, type]));
  return Object.entries(declared).flatMap(([name, type]) => {
    const found = columns.get(name);
    if (found === undefined) return [`it takes the column "${name}", and there is ${[...columns.keys()].slice(0, 40).join(", ")}`];
    return types[type].test(found) ? [] : [`it takes "${name}" as ${type}, and it is ${found}`];
  });
}
