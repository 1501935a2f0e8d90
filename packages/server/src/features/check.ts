import type { DuckDBConnection } from "@duckdb/node-api";
import type { Columns, FeatureComparison } from "@millrace/sdk/api";
import { type DuckDb, identifier, literal } from "../platform/index.js";
import { historicalRows } from "./historical.js";
import { microsOf } from "./times.js";
import { jsonSql, readValue, type Value } from "./values.js";
import type { Service, View } from "./views.js";

const mostExamples = 5;
/** Sums of fractions depend on their order: floats are equal when they differ by no more than this, relative to the larger one. */
const tolerance = 1e-9;

/** Compares features as they were given online with those that the offline path gives for the same rows at the same moments. */
export async function compareWithOffline(
  duckdb: DuckDb,
  service: Service,
  logged: { request: Columns; features: Columns; at: Date[] },
  files: (view: View) => Promise<string[]>,
): Promise<FeatureComparison> {
  const { spec } = service;
  const rows = logged.at.length;
  const reads = (await Promise.all(service.views.map(files))).flat();
  const offline = rows === 0 ? [] : await duckdb.sandbox({ reads }, (connection) => offlineFeatures({ duckdb, connection, service, logged, files }));
  const wrong = new Set<number>();
  const features = spec.features.map(({ name, type }, f) => {
    const examples: unknown[] = [];
    let [different, maxDifference] = [0, null as number | null];
    for (let row = 0; row < rows; row++) {
      const online = logged.features[name]?.[row] ?? null;
      const other = offline[row]?.[f] ?? null;
      if (same(online, other, type === "float64")) continue;
      wrong.add(row);
      different++;
      if (typeof online === "number" && typeof other === "number") maxDifference = Math.max(maxDifference ?? 0, Math.abs(online - other));
      if (examples.length >= mostExamples) continue;
      const request = Object.fromEntries(spec.request.map((column) => [column.name, logged.request[column.name]?.[row] ?? null]));
      examples.push({ online, offline: other, at: logged.at[row]?.toISOString(), request });
    }
    return { name, different, maxDifference, examples };
  });
  return { service: spec.name, rows, equal: rows - wrong.size, features };
}

function same(a: Value, b: Value, float: boolean): boolean {
  if (a === b) return true;
  if (!float || typeof a !== "number" || typeof b !== "number") return false;
  return Math.abs(a - b) <= tolerance * Math.max(Math.abs(a), Math.abs(b));
}

/** The service's features in its order, row by row as they were logged. */
async function offlineFeatures(input: {
  duckdb: DuckDb;
  connection: DuckDBConnection;
  service: Service;
  logged: { request: Columns; at: Date[] };
  files: (view: View) => Promise<string[]>;
}): Promise<Value[][]> {
  const { duckdb, connection, service, logged, files } = input;
  const { request, features } = service.spec;
  await connection.run(
    `create or replace temp table logged (__n bigint, __moment bigint, ${request.map(({ name }) => `${identifier(name)} varchar`).join(", ")})`,
  );
  const appender = await connection.createAppender("logged");
  for (const [row, at] of logged.at.entries()) {
    appender.appendBigInt(BigInt(row));
    appender.appendBigInt(BigInt(microsOf(at)));
    for (const { name, type } of request) {
      const value = readValue(logged.request[name]?.[row], type, name);
      // Digits that give the same number again.
      if (value === null) appender.appendNull();
      else appender.appendVarchar(String(value));
    }
    appender.endRow();
  }
  appender.closeSync();
  const joined = await historicalRows({ duckdb, connection, service, rows: "select * from logged", moment: "__moment", files });
  const columns = features.map(({ name, type }) => `${jsonSql(identifier(name), type)} as ${identifier(name)}`).join(", ");
  const reader = await connection.runAndReadAll(`select ${columns} from (${joined.sql}) order by __n`);
  return reader.getRowsJS().map((row) => row.map((value): Value => (isValue(value) ? value : fail(value))));
}

const isValue = (value: unknown): value is Value => value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean";
function fail(value: unknown): never {
  throw new TypeError(`A feature is a ${typeof value}: ${literal(String(value))}`);
}
