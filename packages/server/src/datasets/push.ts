import type { DatasetVersion, RowsReceipt } from "@millrace/sdk/api";
import type { DatasetSpec } from "@millrace/sdk/spec";
import { sql } from "kysely";
import { conflict, type Digest, invalid, type Platform } from "../platform/index.js";
import { type IngestParts, ingest, NotKept, withoutDetail } from "./ingest.js";
import { tableDigest } from "./table.js";
import type { PushedRow, TakeOnline } from "./types.js";

export const largestPush = 32 * 1024 ** 2;
/** What was pushed is a version after so long, or once there is so much of it. */
const waitMs = 10_000;
const enoughRows = 100_000;
const enoughBytes = 64 * 1024 ** 2;
const atOnce = 5_000;
/** For how long a key that was used is known. */
const rememberMs = 30 * 86_400_000;

interface Push {
  id: string;
  digest: string;
  rows: number;
  bytes: number;
  created_at: Date;
}

export interface SentRows {
  body: Buffer;
  /** With it, they can be sent again. */
  key: string | undefined;
  by: string;
  online?: boolean | undefined;
}

/** Rows over HTTP: durable when they are answered for, and part of a version soon after, together with others. */
export function createPushes(parts: IngestParts & { platform: Pick<Platform, "log"> }, takeOnline: TakeOnline) {
  const { db, objects, clock, log } = parts.platform;

  async function pendingRows(dataset: string): Promise<number> {
    const { rows } = await sql<{ n: number }>`
      select coalesce(sum(rows), 0)::float8 as n from dataset_push where dataset = ${dataset} and version is null`.execute(db);
    return rows[0]?.n ?? 0;
  }

  async function push(dataset: DatasetSpec, { body, key, by, online }: SentRows): Promise<RowsReceipt> {
    const sent = rowsOf(body);
    const taking = online === true ? await takeOnline(dataset, sent) : undefined;
    const lines = sent.map((row) => JSON.stringify(row));
    const content = await objects.put(Buffer.from(`${lines.join("\n")}\n`));
    const { rows } = await sql<{ id: string }>`
      insert into dataset_push (dataset, key, digest, rows, bytes, created_at, pushed_by)
      values (${dataset.name}, ${key ?? null}, ${content.digest}, ${lines.length}, ${content.size}, ${clock.now()}, ${by})
      on conflict (dataset, key) do nothing returning id::text`.execute(db);
    if (rows.length === 0) {
      const before = await sql<{ digest: string }>`select digest from dataset_push where dataset = ${dataset.name} and key = ${key ?? ""}`.execute(db);
      if (before.rows[0]?.digest !== content.digest) throw conflict(`The key "${key}" was used before, with other rows. Take a new key for new rows.`);
    }
    // Also where the rows were sent before: whoever sends them again may not have been told that they are online.
    await taking?.take();
    return {
      ...{ rows: lines.length, pendingRows: await pendingRows(dataset.name), repeated: rows.length === 0 },
      ...(taking === undefined ? {} : { online: taking.views }),
    };
  }

  /** All that waits, in the order in which it came: as one version, or each push by itself where one of them spoils the others. */
  async function flush(dataset: DatasetSpec): Promise<DatasetVersion | undefined> {
    let newest: DatasetVersion | undefined;
    for (;;) {
      const { rows: waiting } = await sql<Push>`
        select id::text, digest, rows, bytes::float8 as bytes, created_at from dataset_push where dataset = ${dataset.name} and version is null
        order by id limit ${atOnce}`.execute(db);
      if (waiting.length === 0) return newest;
      const together = await takeIn(dataset, waiting);
      if (together !== "refused") {
        newest = together ?? newest;
        continue;
      }
      log.warn({ dataset: dataset.name, pushes: waiting.length }, "pushed rows are taken in one push at a time, as they don't fit together");
      for (const one of waiting) {
        const made = await takeIn(dataset, [one]);
        if (made !== "refused") newest = made ?? newest;
      }
    }
  }

  /**
   * Makes pushes one version. Several that are refused together leave nothing behind, so that no row is in quarantine twice. Undefined where another process
   * took one of them meanwhile.
   */
  async function takeIn(dataset: DatasetSpec, pushes: Push[]): Promise<DatasetVersion | "refused" | undefined> {
    const ids = pushes.map(({ id }) => id);
    try {
      const { version, made } = await ingest(parts, {
        ...{ dataset, name: ids.length === 1 ? `push ${ids[0]}` : `pushes ${ids[0]} to ${ids.at(-1)}`, format: { kind: "jsonl" }, nameless: true },
        source: `push:${ids.length === 1 ? ids[0] : tableDigest(ids)}`,
        files: pushes.map(({ id, digest, bytes }) => ({ name: `push ${id}`, digest: digest as Digest, size: bytes })),
        origin: { kind: "push", of: null, by: null, run: null, step: null },
        keepRefused: ids.length === 1,
        // By their ids: one that was numbered before the last of them may have been committed after them.
        async settle(transaction, version) {
          const { numAffectedRows = 0n } = await sql`
            update dataset_push set version = ${version} where id = any(${ids}::bigint[]) and version is null`.execute(transaction);
          if (Number(numAffectedRows) < ids.length) throw new TakenMeanwhile();
        },
      });
      // Only what was taken in by an older release is known without having been settled.
      if (!made) await sql`update dataset_push set version = ${version.version} where id = any(${ids}::bigint[]) and version is null`.execute(db);
      return withoutDetail(version);
    } catch (error) {
      if (error instanceof NotKept) return "refused";
      if (error instanceof TakenMeanwhile) return undefined;
      throw error;
    }
  }

  async function flushDue(): Promise<void> {
    const now = clock.now();
    const { rows } = await sql<{ dataset: string }>`
      select dataset from dataset_push where version is null group by dataset
      having min(created_at) <= ${new Date(now.getTime() - waitMs)} or sum(rows) >= ${enoughRows} or sum(bytes) >= ${enoughBytes}`.execute(db);
    for (const { dataset } of rows) {
      const definition = await parts.projects.get("dataset", dataset);
      if (definition === undefined) continue;
      try {
        await flush(definition.spec);
      } catch (error) {
        log.error({ error, dataset }, "pushed rows could not be taken in; it is tried again");
      }
    }
    await sql`delete from dataset_push where version is not null and created_at < ${new Date(now.getTime() - rememberMs)}`.execute(db);
  }
  return { push, flush, flushDue, pendingRows };
}

class TakenMeanwhile extends Error {}

/** JSON lines, or one JSON array of objects, or `{"rows": […]}`; or one object, on as many lines as somebody likes. */
function rowsOf(body: Buffer): PushedRow[] {
  const text = new TextDecoder("utf-8", { fatal: false }).decode(body).trim();
  if (text === "") throw invalid("No rows were sent: send a JSON object a line, or an array of objects.");
  const whole = text.startsWith("[") || /^\{\s*"rows"\s*:\s*\[/.test(text) ? parsed(text, "The body") : oneObject(text);
  const list = Array.isArray(whole) ? whole : isObject(whole) ? (Array.isArray(whole.rows) ? whole.rows : [whole]) : undefined;
  const rows = list ?? text.split("\n").flatMap((line, i): unknown[] => (line.trim() === "" ? [] : [parsed(line, `Line ${i + 1}`)]));
  return rows.map((row, i) => {
    if (!isObject(row)) throw invalid(`Row ${i + 1} is no JSON object.`);
    if (Object.keys(row).length === 0) throw invalid(`Row ${i + 1} has no values.`);
    return row;
  });
}

/** What is many lines and one object. Where there are several, as in JSON lines, the second ends the attempt. */
function oneObject(text: string): unknown {
  if (!text.includes("\n")) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(`${what} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}
const isObject = (value: unknown): value is PushedRow => typeof value === "object" && value !== null && !Array.isArray(value);
