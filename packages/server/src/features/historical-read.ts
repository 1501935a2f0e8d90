/** Features offline for rows that a client brings, or that were logged. */
import type { DuckDBConnection } from "@duckdb/node-api";
import type { Columns, HistoricalFeatures, HistoricalRead } from "@millrace/sdk/api";
import { type DuckDb, identifier, invalid } from "../platform/index.js";
import { type HistoricalInput, historicalRows } from "./historical.js";
import { type Micros, parseTime } from "./times.js";
import { jsonSql, readValue, type Value } from "./values.js";
import type { Service, View } from "./views.js";

const mostRows = 100_000;

export async function readHistorical(
  duckdb: DuckDb,
  service: Service,
  { rows: request, asOf = "known" }: HistoricalRead,
  files: (view: View) => Promise<string[]>,
): Promise<HistoricalFeatures> {
  const { timestamp } = service.spec;
  const times = request[timestamp];
  if (times === undefined) throw invalid(`The rows lack "${timestamp}", the moment as of which the service "${service.spec.name}" is read.`);
  const rows = times.length;
  if (rows > mostRows)
    throw invalid(`At most ${mostRows.toLocaleString("en")} rows at once, not ${rows.toLocaleString("en")}: read them in parts, or in a pipeline.`);
  const other = Object.entries(request).find(([, column]) => column.length !== rows);
  if (other !== undefined) throw invalid(`"${other[0]}" has ${other[1].length} values where "${timestamp}" has ${rows}.`);
  const moments = times.map((value) => (typeof value === "string" ? parseTime(value) : null));
  const found = await featuresOf({ duckdb, service, request, moments, asOf, files });
  return { features: Object.fromEntries(service.spec.features.map(({ name }, f) => [name, found.map((row) => row[f] ?? null)])) };
}

/** The service's features in its order, row by row, each as of its moment. */
export async function featuresOf(input: {
  duckdb: DuckDb;
  service: Service;
  request: Columns;
  moments: (Micros | null)[];
  asOf?: NonNullable<HistoricalInput["asOf"]>;
  files: (view: View) => Promise<string[]>;
}): Promise<Value[][]> {
  const { duckdb, service, moments, asOf = "known", files } = input;
  if (moments.length === 0) return [];
  const found = new Map(await Promise.all(service.views.map(async (view) => [view, await files(view)] as const)));
  return duckdb.sandbox({ reads: [...found.values()].flat() }, async (connection) => {
    await loadRows(connection, input);
    const known = async (view: View) => found.get(view) ?? [];
    const joined = await historicalRows({ duckdb, connection, service, rows: "select * from logged", moment: "__moment", asOf, files: known });
    const columns = service.spec.features.map(({ name, type }) => `${jsonSql(identifier(name), type)} as ${identifier(name)}`).join(", ");
    const reader = await connection.runAndReadAll(`select ${columns} from (${joined.sql}) order by __n`);
    return reader.getRowsJS().map((row) => row.map((value): Value => (isValue(value) ? value : fail(value))));
  });
}

async function loadRows(connection: DuckDBConnection, { service, request, moments }: { service: Service; request: Columns; moments: (Micros | null)[] }) {
  const columns = service.spec.request;
  await connection.run(`create temp table logged (__n bigint, __moment bigint, ${columns.map(({ name }) => `${identifier(name)} varchar`).join(", ")})`);
  const appender = await connection.createAppender("logged");
  for (const [row, at] of moments.entries()) {
    appender.appendBigInt(BigInt(row));
    if (at === null) appender.appendNull();
    else appender.appendBigInt(BigInt(at));
    for (const { name, type } of columns) {
      const value = readValue(request[name]?.[row], type, name);
      // Digits that give the same number again.
      if (value === null) appender.appendNull();
      else appender.appendVarchar(String(value));
    }
    appender.endRow();
  }
  appender.closeSync();
}

const isValue = (value: unknown): value is Value => value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean";
function fail(value: unknown): never {
  throw new TypeError(`A feature is a ${typeof value}.`);
}
