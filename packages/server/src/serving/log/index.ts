import path from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { sql } from "kysely";
import { identifier, limit, type Platform, parquet } from "../../platform/index.js";
import { type PackedRows, type Part, packedParts } from "./packed.js";
import { columnList, type LogSchema } from "./schema.js";
import { openSealing } from "./sealing.js";
import { forget, localPaths, merge, type Segment, type Sought, seal, segments } from "./segments.js";
import { abandoned, openSpool, openSpoolFolder, type Spool, type SpoolFile } from "./spool.js";
import { plainValues } from "./values.js";

/** When so many rows wait in a spool, they become a segment; also after so long, so that other processes see them. */
const sealRows = 20_000;
const sealMs = 30_000;
/** Of an endpoint's rows in a spool. Requests come first, and rows may come faster than they become segments. */
const mostBytes = 2 * 1024 ** 3;

export interface LoggedRow {
  id: string;
  at: Date;
  as_of: Date;
  version: number;
  route: string;
  prediction: number | null;
  key: string | null;
  latency_ms: number | null;
  caller: string | null;
  rollout: string | null;
}
export interface PredictionLog {
  /**
   * When it resolves, the rows outlive this process; with `predictions.sync` the machine's failure too. A row whose id is in the log already is found once, as it
   * was first. Where the rows that wait for their segments take too much space, they are left out: then it answers false.
   */
  append(endpoint: string, schema: LogSchema, rows: (LoggedRow & Record<string, unknown>)[]): Promise<boolean>;
  /** The same for the rows of one request. */
  appendPacked(endpoint: string, schema: LogSchema, rows: PackedRows): Promise<boolean>;
  /** What is sought as a relation with the schema's columns; it holds no rows outside of the span, and may hold other ids. */
  use<T>(endpoint: string, schema: LogSchema, sought: Sought, work: (connection: DuckDBConnection, relation: string) => Promise<T>): Promise<T>;
  /** What is due by time: merges, and forgets what is older than `before`. */
  tidy(endpoint: string, before: Date | undefined): Promise<void>;
  close(): Promise<void>;
}

/** Of the thread that makes segments; what needs more spills. */
const sealingMb = 512;
/** Endpoints whose segments are made at a time: each holds a connection to PostgreSQL meanwhile. */
const sealedAtOnce = 4;

export async function openPredictionLog(platform: Platform): Promise<PredictionLog> {
  const { memoryMb = sealingMb } = platform.config.duckdb ?? {};
  const sealing = openSealing({ memoryMb: Math.min(sealingMb, memoryMb), spillFolder: await platform.duckdb.spillFolder() });
  const on = { ...platform, sealing };
  const turns = limit(sealedAtOnce);
  const folder = path.join(platform.config.dataDir, "spool");
  const { path: own, close: closeFolder } = await openSpoolFolder(folder);
  const spools = new Map<string, { spool: Spool; schema: LogSchema; text: string }>();
  const underWay = new Map<string, Promise<void>>();
  const due = new Set<string>();
  /** Finished files that are not in a segment yet. */
  const unsealed: SpoolFile[] = [];

  for (const file of await abandoned(folder)) {
    try {
      await seal(on, file);
      platform.log.info({ endpoint: file.endpoint }, "predictions of a server that ended are in the log now");
    } catch (error) {
      platform.log.error({ error, file: file.name }, "predictions of a server that ended could not be taken up; the file stays for the next start");
    }
  }
  // Their folders are empty now.
  await abandoned(folder);

  const sync = platform.config.predictions?.sync === true;
  function spoolOf(endpoint: string, schema: LogSchema): Spool {
    const known = spools.get(endpoint);
    if (known?.schema === schema) return known.spool;
    const text = JSON.stringify(schema);
    const spool =
      known?.text === text
        ? known.spool
        : openSpool(own, endpoint, schema, {
            sync,
            onSyncError: (error) => platform.log.error({ error, endpoint }, "the disk did not take a part of the prediction log"),
          });
    spools.set(endpoint, { spool, schema, text });
    if (known?.spool === spool) return spool;
    // Rows of what the endpoint took before are sealed as they are.
    if (known !== undefined) {
      void sealOne(endpoint, known.spool)
        .catch(() => {})
        .then(() => known.spool.close());
    }
    return spool;
  }
  /** One at a time for an endpoint: what is being sealed is in no segment yet, so whoever reads waits for it. */
  function sealOne(endpoint: string, spool: Spool): Promise<void> {
    const next = (underWay.get(endpoint) ?? Promise.resolve()).then(async () => {
      const finished = await spool.rotate();
      if (finished !== undefined) unsealed.push(finished);
      for (const file of unsealed.filter((one) => one.endpoint === endpoint)) {
        await turns(() => seal(on, file));
        unsealed.splice(unsealed.indexOf(file), 1);
      }
    });
    const settled = next.catch((error) => platform.log.error({ error, endpoint }, "a part of the prediction log could not be sealed; it is tried again"));
    underWay.set(endpoint, settled);
    return next;
  }
  const sealAll = () => Promise.allSettled([...spools].map(([endpoint, { spool }]) => sealOne(endpoint, spool)));
  const timer = setInterval(() => void sealAll(), sealMs);
  timer.unref();

  function write(endpoint: string, schema: LogSchema, record: readonly Part[], rows: number): Promise<boolean> {
    const spool = spoolOf(endpoint, schema);
    if (spool.bytes() >= mostBytes) return Promise.resolve(false);
    const appended = spool.append(record, rows);
    if (spool.rows() >= sealRows && !due.has(endpoint)) sealSoon(endpoint, spool);
    return appended;
  }
  function sealSoon(endpoint: string, spool: Spool): void {
    due.add(endpoint);
    // What comes while it waits for the one before goes with it.
    void (underWay.get(endpoint) ?? Promise.resolve())
      .then(() => due.delete(endpoint))
      .then(() => sealOne(endpoint, spool))
      .catch(() => {});
  }

  /** Labels of what may lie in the segments, as JSON arrays: neither side makes an object of each on the way. */
  async function labels(endpoint: string, found: Segment[], id: string | undefined): Promise<[ids: string, labels: string, moments: string]> {
    const oldest = found[0]?.from_at;
    if (oldest === undefined) return ["[]", "[]", "[]"];
    // A label that came before its prediction is the exception: a day covers clocks that differ.
    const from = new Date(oldest.getTime() - 86_400_000);
    const { rows } = await sql<{ ids: string | null; labels: string | null; moments: string | null }>`
      select json_agg(id)::text as ids, json_agg(label)::text as labels, json_agg((extract(epoch from at) * 1000000)::bigint)::text as moments
      from prediction_label where endpoint = ${endpoint} and ${id === undefined ? sql`at >= ${from}` : sql`id = ${id}`}`.execute(platform.db);
    return [rows[0]?.ids ?? "[]", rows[0]?.labels ?? "[]", rows[0]?.moments ?? "[]"];
  }

  return {
    append: (endpoint, schema, rows) => write(endpoint, schema, [rows.map((row) => `${JSON.stringify(row)}\n`).join("")], rows.length),
    appendPacked: (endpoint, schema, packed) => write(endpoint, schema, packedParts(packed, plainValues), packed.rows),
    async use(endpoint, schema, sought, work) {
      const spool = spools.get(endpoint)?.spool;
      await (spool === undefined ? underWay.get(endpoint) : sealOne(endpoint, spool));
      const found = await segments(platform, endpoint, sought);
      const [paths, known] = await Promise.all([localPaths(platform, found), labels(endpoint, found, sought.id)]);
      return platform.duckdb.use(async (connection) => {
        await connection.run(
          `create temp table label as select unnest(from_json($1::json, '["VARCHAR"]')) as id, unnest(from_json($2::json, '["DOUBLE"]')) as label,
             make_timestamptz(unnest(from_json($3::json, '["BIGINT"]'))) as labelled_at`,
          known,
        );
        // The columns are those that are asked for, whatever they were when the rows were logged.
        await connection.run(`create temp table nothing (${columnList(schema)})`);
        const columns = schema.map(([name, type]) => `try_cast(${identifier(name)} as ${type}) as ${identifier(name)}`).join(", ");
        const logged =
          paths.length === 0
            ? "nothing"
            : `(select ${columns} from (select * from nothing union all by name select * from ${parquet(paths).slice(0, -1)}, union_by_name = true)))`;
        const bounds = [
          ...(sought.from === undefined ? [] : [`"at" >= timestamptz '${sought.from.toISOString()}'`]),
          ...(sought.to === undefined ? [] : [`"at" < timestamptz '${sought.to.toISOString()}'`]),
        ];
        await connection.run(
          `create temp view prediction_log as select logged.*, label.label, label.labelled_at from ${logged} as logged left join label using (id)${bounds.length === 0 ? "" : ` where ${bounds.join(" and ")}`}`,
        );
        return work(connection, identifier("prediction_log"));
      });
    },
    async tidy(endpoint, before) {
      await turns(() => merge(on, endpoint));
      await forget(platform, endpoint, before);
    },
    async close() {
      clearInterval(timer);
      await sealAll();
      for (const { spool } of spools.values()) await spool.close();
      await sealing.close();
      await closeFolder();
    },
  };
}
