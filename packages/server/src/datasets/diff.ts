import type { ColumnStatistics, DatasetDiff, DatasetVersionDetail, TableColumn } from "@millrace/sdk/api";
import { type DuckDb, identifier, parquet } from "../platform/index.js";
import type { Datasets } from "./types.js";

const mostExamples = 10;
interface On {
  duckdb: DuckDb;
  files: Datasets["partFiles"];
  statistics: ((digest: string, files: string[]) => Promise<{ columns: ColumnStatistics[] }>) | undefined;
}

/** What is different between two versions. Parts that both have are not read. */
export async function compareVersions(
  { duckdb, files, statistics }: On,
  { name, key, before, after }: { name: string; key: string[] | undefined; before: DatasetVersionDetail; after: DatasetVersionDetail },
): Promise<DatasetDiff> {
  const columns = columnsDiff(before.columns, after.columns);
  const [old, now] = withoutShared(before, after);
  const [oldFiles, nowFiles] = await Promise.all([files({ parts: old }), files({ parts: now })]);
  const rows = await duckdb.use(async (connection) => {
    // Both sides with all columns of both, in the types that hold both, so that equal rows look equal.
    const paths = [oldFiles, nowFiles].map((list) => list.map((part) => part.path));
    const types = await duckdb.rows<TableColumn>(
      paths.flat().length === 0
        ? "select null as name, null as type where false"
        : `select column_name as name, column_type as type from (describe select * from ${parquet(paths.flat())})`,
      connection,
    );
    for (const [i, table] of ["old", "now"].entries()) {
      const own = paths[i] ?? [];
      const there =
        own.length === 0
          ? []
          : await duckdb.rows<TableColumn>(`select column_name as name, column_type as type from (describe select * from ${parquet(own)})`, connection);
      const has = (column: TableColumn) => there.some((one) => one.name.toLowerCase() === column.name.toLowerCase());
      const selected =
        types.map((column) => `${has(column) ? identifier(column.name) : "null"}::${column.type} as ${identifier(column.name)}`).join(", ") || "1 as none";
      await connection.run(`create temp view "${table}" as select ${selected} ${own.length === 0 ? "where false" : `from ${parquet(own)}`}`);
    }
    const ask = <Row>(sql: string) => duckdb.rows<Row>(sql, connection);
    const known = key?.every((column) => types.some((one) => one.name.toLowerCase() === column.toLowerCase())) === true ? key : undefined;
    return known === undefined ? byWhole(ask, types) : byKey(ask, known, types);
  });
  const [from, to] =
    statistics === undefined
      ? [[], []]
      : await Promise.all(
          [before, after].map(
            async (version) =>
              (
                await statistics(
                  version.digest,
                  (await files(version)).map((part) => part.path),
                )
              ).columns,
          ),
        );
  const names = [...new Set([...(to ?? []), ...(from ?? [])].map((column) => column.name))];
  const of = (list: ColumnStatistics[] | undefined, column: string) => list?.find((one) => one.name === column) ?? null;
  return {
    ...{ dataset: name, from: before.version, to: after.version, columns },
    rows: { from: before.rows, to: after.rows, ...rows.counts },
    examples: rows.examples,
    statistics: names.map((column) => ({ name: column, from: of(from, column), to: of(to, column) })),
  };
}

function columnsDiff(from: TableColumn[], to: TableColumn[]): DatasetDiff["columns"] {
  const find = (list: TableColumn[], { name }: TableColumn) => list.find((one) => one.name.toLowerCase() === name.toLowerCase());
  return {
    added: to.filter((column) => find(from, column) === undefined),
    removed: from.filter((column) => find(to, column) === undefined),
    retyped: from.flatMap((column) => {
      const now = find(to, column);
      return now === undefined || now.type === column.type ? [] : [{ name: column.name, from: column.type, to: now.type }];
    }),
  };
}

/** Parts of one side that the other does not have. The same part may be there several times. */
function withoutShared(before: DatasetVersionDetail, after: DatasetVersionDetail) {
  const counts = new Map<string, number>();
  for (const { digest } of before.parts) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  const now = after.parts.filter(({ digest }) => {
    const left = counts.get(digest) ?? 0;
    counts.set(digest, left - 1);
    return left <= 0;
  });
  const old = before.parts.filter(({ digest }) => {
    const left = counts.get(digest) ?? 0;
    counts.set(digest, left - 1);
    return left > 0;
  });
  return [old, now] as const;
}

type Ask = <Row>(sql: string) => Promise<Row[]>;
type Rows = { counts: Omit<DatasetDiff["rows"], "from" | "to">; examples: DatasetDiff["examples"] };

async function byKey(ask: Ask, key: string[], types: TableColumn[]): Promise<Rows> {
  const list = key.map(identifier).join(", ");
  const lower = key.map((column) => column.toLowerCase());
  const others = types.filter((column) => !lower.includes(column.name.toLowerCase())).map((column) => identifier(column.name));
  const changed = others.length === 0 ? "false" : others.map((column) => `o.${column} is distinct from n.${column}`).join(" or ");
  const both = `old o join now n using (${list})`;
  const [added] = await ask<{ n: number }>(`select count(*) as n from now anti join old using (${list})`);
  const [removed] = await ask<{ n: number }>(`select count(*) as n from old anti join now using (${list})`);
  const [altered] = await ask<{ n: number }>(`select count(*) as n from ${both} where ${changed}`);
  const some = (sql: string) => ask<Record<string, unknown>>(`${sql} order by ${list} limit ${mostExamples}`);
  const pairs = await ask<Record<string, unknown>>(
    `select ${list}${others.map((column, i) => `, o.${column} as o${i}, n.${column} as n${i}, o.${column} is distinct from n.${column} as d${i}`).join("")}
     from ${both} where ${changed} order by ${list} limit ${mostExamples}`,
  );
  return {
    counts: { added: added?.n ?? 0, removed: removed?.n ?? 0, changed: altered?.n ?? 0, key },
    examples: {
      added: await some(`select * from now anti join old using (${list})`),
      removed: await some(`select * from old anti join now using (${list})`),
      changed: pairs.map((pair) => {
        const names = types.filter((column) => !lower.includes(column.name.toLowerCase())).map((column) => column.name);
        const differing = names.flatMap((column, i) => (pair[`d${i}`] === true ? [{ column, i }] : []));
        return {
          key: Object.fromEntries(key.map((column) => [column, pair[column] ?? null])),
          from: Object.fromEntries(differing.map(({ column, i }) => [column, pair[`o${i}`] ?? null])),
          to: Object.fromEntries(differing.map(({ column, i }) => [column, pair[`n${i}`] ?? null])),
        };
      }),
    },
  };
}

/** Rows are equal in all columns, or they are others; the same row may be there several times. */
async function byWhole(ask: Ask, types: TableColumn[]): Promise<Rows> {
  if (types.length === 0) return { counts: { added: 0, removed: 0, changed: null, key: null }, examples: { added: [], removed: [], changed: [] } };
  const list = types.map((column) => identifier(column.name)).join(", ");
  const counted = `select h, sum(o) as o, sum(n) as n from (select hash(${list}) as h, 1 as o, 0 as n from old union all select hash(${list}), 0, 1 from now) group by h`;
  const [counts] = await ask<{ added: number; removed: number }>(
    `select coalesce(sum(greatest(n - o, 0)), 0)::bigint as added, coalesce(sum(greatest(o - n, 0)), 0)::bigint as removed from (${counted})`,
  );
  const some = (table: string, where: string) =>
    ask<Record<string, unknown>>(
      `select * from ${table} where hash(${list}) in (select h from (${counted}) where ${where} limit ${mostExamples}) limit ${mostExamples}`,
    );
  return {
    counts: { added: counts?.added ?? 0, removed: counts?.removed ?? 0, changed: null, key: null },
    examples: {
      added: (counts?.added ?? 0) === 0 ? [] : await some("now", "n > o"),
      removed: (counts?.removed ?? 0) === 0 ? [] : await some("old", "o > n"),
      changed: [],
    },
  };
}
