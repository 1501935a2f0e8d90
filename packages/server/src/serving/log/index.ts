import path from "node:path";
import { type DuckDBConnection, DuckDBTimestampTZValue } from "@duckdb/node-api";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import { sql } from "kysely";
import { identifier, type Platform, parquet } from "../../platform/index.js";
import type { Span } from "../index.js";
import { columnList, logSchema } from "./schema.js";
import { forget, localPaths, merge, seal, segments } from "./segments.js";
import { abandoned, openSpool, openSpoolFolder, type Spool, type SpoolFile } from "./spool.js";

/** When so many rows wait in a spool, they become a segment. */
const sealRows = 20_000;
/** Ids of this process's last predictions by which a repeated request is noticed. */
const rememberedIds = 200_000;

export interface LoggedRow {
  id: string;
  at: Date;
  as_of: Date;
  version: number;
  route: string;
  prediction: number;
}
export interface PredictionLog {
  /** Durable when it resolves. Rows whose id was logged already are not logged again. */
  append(endpoint: string, service: FeatureServiceSpec, rows: (LoggedRow & Record<string, unknown>)[]): Promise<void>;
  use<T>(
    endpoint: string,
    service: FeatureServiceSpec,
    span: Span,
    work: (connection: DuckDBConnection, relation: string) => Promise<T>,
    newest?: number,
  ): Promise<T>;
  /** What is due by time: merges, and forgets what is older than `before`. */
  tidy(endpoint: string, before: Date | undefined): Promise<void>;
  close(): Promise<void>;
}

export async function openPredictionLog(platform: Platform): Promise<PredictionLog> {
  const folder = path.join(platform.config.dataDir, "spool");
  const { path: own, close: closeFolder } = await openSpoolFolder(folder);
  const spools = new Map<string, { spool: Spool; schema: string }>();
  const sealing = new Map<string, Promise<void>>();
  /** Finished files that are not in a segment yet. */
  const unsealed: SpoolFile[] = [];
  let remembered = new Set<string>();
  let before = new Set<string>();

  for (const file of await abandoned(folder, own)) {
    try {
      await seal(platform, file);
      platform.log.info({ endpoint: file.endpoint }, "predictions of a server that ended are in the log now");
    } catch (error) {
      platform.log.error({ error, file: file.name }, "predictions of a server that ended could not be taken up; the file stays for the next start");
    }
  }

  function spoolOf(endpoint: string, service: FeatureServiceSpec): Spool {
    const schema = logSchema(service);
    const text = JSON.stringify(schema);
    const known = spools.get(endpoint);
    if (known?.schema === text) return known.spool;
    const spool = openSpool(own, endpoint, schema);
    spools.set(endpoint, { spool, schema: text });
    // Rows of the service as it was before are sealed as they are.
    if (known !== undefined) void sealOne(endpoint, known.spool).then(() => known.spool.close());
    return spool;
  }
  /** One at a time for an endpoint: what is being sealed is in no segment yet, so whoever reads waits for it. */
  function sealOne(endpoint: string, spool: Spool): Promise<void> {
    const next = (sealing.get(endpoint) ?? Promise.resolve()).then(async () => {
      const finished = await spool.rotate();
      if (finished !== undefined) unsealed.push(finished);
      for (const file of unsealed.filter((one) => one.endpoint === endpoint)) {
        await seal(platform, file);
        unsealed.splice(unsealed.indexOf(file), 1);
      }
    });
    const settled = next.catch((error) => platform.log.error({ error, endpoint }, "a part of the prediction log could not be sealed; it is tried again"));
    sealing.set(endpoint, settled);
    return next;
  }

  return {
    async append(endpoint, service, rows) {
      const fresh = rows.filter(({ id }) => {
        const key = `${endpoint}/${id}`;
        if (remembered.has(key) || before.has(key)) return false;
        remembered.add(key);
        return true;
      });
      if (remembered.size > rememberedIds / 2) {
        before = remembered;
        remembered = new Set();
      }
      if (fresh.length === 0) return;
      const spool = spoolOf(endpoint, service);
      try {
        await spool.append(fresh.map((row) => `${JSON.stringify(row)}\n`).join(""), fresh.length);
      } catch (error) {
        for (const { id } of fresh) remembered.delete(`${endpoint}/${id}`);
        throw error;
      }
      if (spool.rows() >= sealRows) void sealOne(endpoint, spool).catch(() => {});
    },
    async use(endpoint, service, span, work, newest) {
      const spool = spools.get(endpoint)?.spool;
      await (spool === undefined ? sealing.get(endpoint) : sealOne(endpoint, spool));
      const found = await segments(platform, endpoint, span, newest);
      const paths = await localPaths(platform, found);
      const { rows: labels } = await sql<{ id: string; label: number; at: Date }>`
        select id, label, at from prediction_label where endpoint = ${endpoint} ${found[0] === undefined ? sql`and false` : sql`and at >= ${found[0].from_at}`}`.execute(
        platform.db,
      );
      return platform.duckdb.use(async (connection) => {
        await connection.run("create temp table label (id varchar, label double, labelled_at timestamptz)");
        const appender = await connection.createAppender("label", null, "temp");
        for (const { id, label, at } of labels) {
          appender.appendVarchar(id);
          appender.appendDouble(label);
          appender.appendTimestampTZ(new DuckDBTimestampTZValue(BigInt(at.getTime()) * 1000n));
          appender.endRow();
        }
        appender.closeSync();
        if (paths.length === 0) await connection.run(`create temp table logged (${columnList(logSchema(service))})`);
        else await connection.run(`create temp view logged as select * from ${parquet(paths).slice(0, -1)}, union_by_name = true)`);
        const bounds = [
          ...(span.from === undefined ? [] : [`"at" >= timestamptz '${span.from.toISOString()}'`]),
          ...(span.to === undefined ? [] : [`"at" < timestamptz '${span.to.toISOString()}'`]),
        ];
        await connection.run(
          `create temp view prediction_log as select logged.*, label.label, label.labelled_at from logged left join label using (id)${bounds.length === 0 ? "" : ` where ${bounds.join(" and ")}`}`,
        );
        return work(connection, identifier("prediction_log"));
      });
    },
    async tidy(endpoint, before) {
      await merge(platform, endpoint);
      await forget(platform, endpoint, before);
    },
    async close() {
      for (const [endpoint, { spool }] of spools) {
        await sealOne(endpoint, spool).catch(() => {});
        await spool.close();
      }
      closeFolder();
    },
  };
}
