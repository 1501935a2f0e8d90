import path from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { durationMs } from "@millrace/sdk";
import type { Artifact, SplitAnswer, SplitStart } from "@millrace/sdk/api";
import { type DuckDb, identifier, invalid, literal, type Platform, parquet } from "../platform/index.js";
import { storeTable } from "./table.js";
import { openWork } from "./work.js";

export interface HashedSplit {
  columns: string[];
  shares: { name: string; share: number }[];
  seed?: string | undefined;
}
export interface Side {
  name: string;
  /** Which rows are on it. */
  where: string;
}

/** The last `test` of time, and what is before it (of the last `train` before, where it is given). A row without a time is on no side. */
export async function timeSides(
  duckdb: DuckDb,
  connection: DuckDBConnection,
  source: string,
  of: { timestamp: string; test: string; train?: string | undefined },
): Promise<Side[]> {
  const time = identifier(of.timestamp);
  const found = await duckdb.rows<{ last: string | null }>(`select max(${time})::timestamptz::varchar as last from ${source}`, connection);
  const last = found[0]?.last;
  if (last == null) throw invalid(`The rows have no "${of.timestamp}", so they can't be split by it.`);
  const before = (ms: number) => `timestamptz ${literal(last)} - to_milliseconds(${ms})`;
  const cut = before(durationMs(of.test));
  const start = of.train === undefined ? "" : ` and ${time} > ${before(durationMs(of.test) + durationMs(of.train))}`;
  return [
    { name: "train", where: `${time} <= ${cut}${start}` },
    { name: "test", where: `${time} > ${cut}` },
  ];
}

/**
 * A row's side is that of the MD5 of its values in the columns, taken as a number from 0 to 1: it depends on nothing else, neither on other rows nor on
 * their order, and MD5 is the same in every version of DuckDB. Whole numbers count alike, as integers or floats. Rows without a value are one group.
 */
export async function hashSides(duckdb: DuckDb, connection: DuckDBConnection, source: string, { columns, shares, seed = "" }: HashedSplit): Promise<Side[]> {
  const there = await duckdb.rows<{ name: string; type: string }>(
    `select column_name as name, column_type as type from (describe select * from ${source})`,
    connection,
  );
  const sum = shares.reduce((all, { share }) => all + share, 0);
  if (Math.abs(sum - 1) > 1e-9) throw invalid(`The shares add up to ${sum}: they must add up to 1.`);
  if (new Set(shares.map(({ name }) => name)).size < shares.length) throw invalid("Two of the shares have one name.");
  const texts = columns.map((column) => {
    const found = there.find(({ name }) => name.toLowerCase() === column.toLowerCase());
    if (found === undefined)
      throw invalid(
        `The rows have no column "${column}". They have ${there
          .map(({ name }) => name)
          .slice(0, 50)
          .join(", ")}.`,
      );
    const name = identifier(found.name);
    const number = /^(FLOAT|DOUBLE|DECIMAL)/.test(found.type);
    const text = number
      ? `case when ${name} = floor(${name}) and abs(${name}) < 1e15 then ${name}::bigint::varchar else ${name}::double::varchar end`
      : `${name}::varchar`;
    return `coalesce(length(${text}) || ':' || ${text}, 'none')`;
  });
  const hash = `(('0x' || left(md5(${literal(`${seed.length}:${seed}`)} || ${texts.join(" || ")}), 13))::bigint / ${2 ** 52}::double)`;
  let from = 0;
  return shares.map(({ name, share }, i) => {
    const to = i === shares.length - 1 ? 1 : from + share;
    const where = `${hash} >= ${from} and ${hash} < ${to}`;
    from = to;
    return { name, where };
  });
}

/** Each side as a table of its own, rows in their order. */
export async function writeSides(
  platform: Pick<Platform, "duckdb" | "objects">,
  on: { connection: DuckDBConnection; source: string; folder: string; meta?: Artifact["meta"]; signal?: AbortSignal },
  sides: Side[],
): Promise<{ name: string; rows: number; table: Artifact }[]> {
  const made: { name: string; rows: number; table: Artifact }[] = [];
  for (const { name, where } of sides) {
    on.signal?.throwIfAborted();
    const file = path.join(on.folder, `${name}.parquet`);
    await on.connection.run(`copy (select * from ${on.source} where ${where}) to ${literal(file)} (format parquet)`);
    const [counted] = await platform.duckdb.rows<{ n: number }>(`select count(*) as n from ${parquet([file])}`, on.connection);
    const rows = counted?.n ?? 0;
    made.push({ name, rows, table: await storeTable(platform, `${name}.parquet`, file, { ...on.meta, rows }) });
  }
  return made;
}

type SplitOf = Exclude<SplitStart, { by: "time" }> | (Omit<Extract<SplitStart, { by: "time" }>, "timestamp"> & { timestamp: string | undefined });
export async function splitRows(platform: Pick<Platform, "duckdb" | "objects" | "config">, files: string[], by: SplitOf): Promise<SplitAnswer> {
  const { duckdb, config } = platform;
  const { folder, remove } = await openWork(config);
  try {
    return await duckdb.use(async (connection) => {
      const source = parquet(files);
      if (by.by === "time" && by.timestamp === undefined) throw invalid("The dataset has no timestamp: say by which column it is split.");
      const sides =
        by.by === "time"
          ? await timeSides(duckdb, connection, source, { ...by, timestamp: by.timestamp ?? "" })
          : await hashSides(duckdb, connection, source, by);
      const made = await writeSides(platform, { connection, source, folder }, sides);
      return {
        splits: made.map(({ name, rows, table }) => ({
          name,
          rows,
          digest: table.digest,
          file: table.files[0]?.digest ?? table.digest,
          bytes: table.files[0]?.size ?? 0,
        })),
      };
    });
  } finally {
    await remove();
  }
}
