import type { DuckDBConnection } from "@duckdb/node-api";
import { type DuckDb, identifier, literal } from "../../platform/index.js";
import type { CsvFormat } from "./types.js";

export type TextType = "BOOLEAN" | "BIGINT" | "DOUBLE" | "DATE" | "TIMESTAMPTZ" | "VARCHAR";
type Candidate = Exclude<TextType, "VARCHAR">;
const all: Candidate[] = ["BOOLEAN", "BIGINT", "DOUBLE", "DATE", "TIMESTAMPTZ"];
const firstRows = 10_000;

/**
 * The narrowest type that every text of a column is written as; all rows are looked at. What begins with zeros, as a postal code, is a text. The first
 * rows rule out most types, so that the pass over all of them asks little.
 */
export async function inferTypes(
  duckdb: DuckDb,
  connection: DuckDBConnection,
  source: string,
  names: readonly string[],
  { format, candidates = all }: { format?: CsvFormat | undefined; candidates?: Candidate[] } = {},
): Promise<TextType[]> {
  let left = names.map(() => candidates);
  const values = names.map(() => false);
  for (const from of [`(select * from ${source} limit ${firstRows})`, source]) {
    const asked = names.flatMap((name, i) => (left[i] ?? []).map((type) => ({ name, i, type })));
    const counts = [
      ...asked.map(
        ({ name, type }, k) =>
          `count(*) filter (where ${identifier(name)} is not null and not coalesce(${fits(type, identifier(name), format)}, false)) as a${k}`,
      ),
      ...names.map((name, i) => `count(${identifier(name)}) as n${i}`),
    ];
    const [row = {}] = await duckdb.rows<Record<string, number>>(`select ${counts.join(", ")} from ${from}`, connection);
    left = names.map((_, i) => asked.flatMap((one, k) => (one.i === i && row[`a${k}`] === 0 ? [one.type] : [])));
    for (const i of names.keys()) values[i] = (row[`n${i}`] ?? 0) > 0;
  }
  return names.map((_, i) => (values[i] ? (left[i]?.[0] ?? "VARCHAR") : "VARCHAR"));
}

function fits(type: Candidate, column: string, format: CsvFormat | undefined): string {
  // Words such as `infinity` and `epoch` are moments to DuckDB.
  const digit = `${column}[1] between '0' and '9'`;
  switch (type) {
    case "BOOLEAN":
      return `lower(${column}) in ('true', 'false')`;
    case "BIGINT":
      return `try_cast(${column} as bigint)::varchar = ${column}`;
    case "DOUBLE": {
      const text = format?.decimal === "," ? `replace(${column}, ',', '.')` : column;
      return `try_cast(${text} as double) is not null and not regexp_matches(${column}, '^[+-]?0[0-9]')`;
    }
    case "DATE":
      return format?.dateFormat === undefined
        ? `length(${column}) = 10 and ${digit} and try_cast(${column} as date) is not null`
        : `try_strptime(${column}, ${literal(format.dateFormat)}) is not null`;
    case "TIMESTAMPTZ":
      return format?.timestampFormat === undefined
        ? `length(${column}) > 10 and ${digit} and try_cast(${column} as timestamptz) is not null`
        : `try_strptime(${column}, ${literal(format.timestampFormat)}) is not null`;
  }
}
