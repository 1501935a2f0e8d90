import type { DuckDBConnection } from "@duckdb/node-api";
import type { Transaction } from "kysely";
import type { Datasets } from "../datasets/index.js";
import type { Platform } from "../platform/index.js";
import { entityOf } from "./online.js";
import type { OnlineStore } from "./online-store.js";
import { rowKey } from "./push.js";
import { assertSource, isIncremental, keyColumns, newestFirst, sourceSql } from "./source.js";
import * as store from "./store.js";
import type { Value } from "./values.js";
import { jsonSql } from "./values.js";
import type { View } from "./views.js";

const batchRows = 5_000;

export interface Materialized {
  id: number;
  /** The dataset's rows in the store. */
  rows: number;
  /** The view's change; undefined where nothing was missing. */
  change: number | undefined;
}

/**
 * Brings the dataset's newest version into the online store, in one transaction: the parts that are not there yet where the source treats
 * each row by itself, else all of it. Can be repeated, and interrupted anywhere.
 */
export async function materialize(
  platform: Pick<Platform, "db" | "duckdb">,
  { datasets, view, snapshot, online }: { datasets: Datasets; view: View; snapshot: boolean; online: Pick<OnlineStore, "writer" | "takeBack"> },
): Promise<Materialized> {
  const { db, duckdb } = platform;
  const id = await store.onlineId(db, view);
  return duckdb.use(async (connection) => {
    await assertSource(duckdb, connection, view);
    const incremental = await isIncremental(duckdb, connection, view);
    return db.transaction().execute(async (transaction) => {
      await store.lockMaterialization(transaction, id);
      const version = await datasets.latest(view.dataset);
      const files = version === undefined ? [] : await datasets.partFiles(version);
      const wanted = incremental
        ? files.map(({ digest, path }) => ({ digest, paths: [path] }))
        : files.length === 0
          ? []
          : [{ digest: version?.digest ?? "", paths: files.map((file) => file.path) }];
      const done = await store.materializedParts(transaction, id);
      const extra = done.some(({ part }) => !wanted.some(({ digest }) => digest === part));
      const missing = extra ? wanted : wanted.filter(({ digest }) => !done.some(({ part }) => part === digest));
      let rows = extra ? 0 : done.reduce((sum, part) => sum + part.rows, 0);
      if (missing.length === 0 && !extra) return { id, rows, change: undefined };
      if (extra) await store.clearStored(transaction, id, view.kind);
      await store.createStage(transaction);
      const stage = async (sources: DuckDBConnection) => {
        for (const { digest, paths } of missing) {
          const added = await stageRows(sources, transaction, view, paths);
          await store.mergeStage(transaction, id, view.kind, { digest, rows: added });
          rows += added;
        }
      };
      await (view.sql === undefined ? stage(connection) : duckdb.sandbox({ reads: missing.flatMap((part) => part.paths) }, stage));
      await store.settlePushed(transaction, id, snapshot);
      await online.takeBack(id);
      return { id, rows, change: await store.announceAll(transaction, id, online.writer) };
    });
  });
}

/** The source's rows of some files, equal ones as one with their number. */
async function stageRows(connection: DuckDBConnection, transaction: Transaction<unknown>, view: View, paths: string[]): Promise<number> {
  const keys = view.keys.map(({ type }, i) => `${jsonSql(`k${i}`, type)} as k${i}`);
  const values = view.columns.map(({ type }, i) => `${jsonSql(`v${i}`, type)} as v${i}`);
  const created = view.created === undefined ? [] : ["c::double as c"];
  const columns = [...keys, "t::double as t", ...values, ...created].join(", ");
  const sql =
    view.kind === "latest"
      ? `select ${columns}, 1 as n from (select * from ${sourceSql(view, paths, ", 0 as part")} qualify ${newestFirst(view, true)})`
      : `select ${columns}, n from (select ${keyColumns(view)}, t${view.columns.map((_, i) => `, v${i}`).join("")}${view.created === undefined ? "" : ", c"}, count(*)::int as n from ${sourceSql(view, paths)} group by all)`;
  const result = await connection.stream(sql);
  let batch: store.RowArrays = { entity: [], at: [], key: [], values: [], n: [], known: [] };
  let rows = 0;
  const flush = async () => {
    if (batch.at.length > 0) await store.stageRows(transaction, batch);
    batch = { entity: [], at: [], key: [], values: [], n: [], known: [] };
  };
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
    for (const row of chunk.getRows()) {
      const own: Value[] = row.map(plain);
      const entity = entityOf(own.slice(0, view.keys.length));
      const text = JSON.stringify(own.slice(view.keys.length + 1, -1));
      const n = Number(own.at(-1));
      const at = Number(own[view.keys.length]);
      const known = view.created === undefined ? undefined : Number(own.at(-2));
      if (entity === undefined) continue;
      batch.entity.push(entity);
      batch.at.push(at);
      batch.key.push(rowKey(view, text, known));
      batch.values.push(text);
      batch.n.push(n);
      batch.known.push(known === undefined ? null : Math.max(at, known));
      rows += n;
    }
    if (batch.at.length >= batchRows) await flush();
  }
  await flush();
  return rows;
}

function plain(value: unknown): Value {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  throw new TypeError("A source's value is neither a number, a text nor true or false.");
}
