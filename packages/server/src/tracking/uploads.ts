/**
 * Artifacts that clients bring to the object store themselves. Each upload has a place of its own in the store, which nothing else is read from; the server
 * takes it over, and knows its digest from having read it. Parts are put together at the client's word. Of a whole nobody says when it has come:
 * whoever looks at its path finds it then, and so does a tick.
 */
import { randomUUID } from "node:crypto";
import { setImmediate as others } from "node:timers/promises";
import { sql, type Transaction } from "kysely";
import { invalidValue, missing, wrongState } from "../mlflow/index.js";
import { ApiError, type Database, type Digest, limit, type Platform, type StoredObject } from "../platform/index.js";

/** S3's most. */
const mostParts = 10_000;
/** A part reaches nothing but its own upload: large ones over slow lines have their time. */
const partSeconds = 12 * 3_600;
const longestSeconds = 3_600;
/** What was begun while its address was good may take this long to end. */
const lateHours = 6;
const looksAtOnce = 16;
const looksATick = 500;
const tickMs = 30_000;

export interface Uploads {
  /** An address for one `PUT` of the whole. */
  address(path: string, seconds: number): Promise<string>;
  begin(path: string, parts: number): Promise<{ id: string; addresses: string[] }>;
  /** Resolves when the artifact is there; may be repeated. */
  complete(path: string, id: string, parts: { number: number; tag: string }[]): Promise<void>;
  abort(path: string, id: string): Promise<void>;
  downloadAddress(digest: Digest, seconds: number, disposition: string): Promise<string>;
  /** Takes over what has come for a path, or also for those below it. */
  settle(path: string, options: { below: boolean }): Promise<void>;
  tick(): void;
}
type Save = (tx: Transaction<unknown>, file: { path: string } & StoredObject) => Promise<void>;
interface Row {
  id: string;
  path: string;
  taken: string | null;
}

/** Undefined where the store is none that clients reach. `save` makes a file an artifact. */
export function createUploads({ db, objects, log }: Pick<Platform, "db" | "objects" | "log">, save: Save, largestFile: number): Uploads | undefined {
  const { direct } = objects;
  if (direct === undefined) return undefined;
  const store = direct;
  const looks = limit(looksAtOnce);
  const placeOf = (id: string) => `uploads/${id}`;
  /** A repeated request waits for the work of the first. */
  const underWay = new Map<string, Promise<void>>();
  function once(id: string, work: () => Promise<void>): Promise<void> {
    let running = underWay.get(id);
    if (running === undefined) {
      running = work().finally(() => underWay.delete(id));
      underWay.set(id, running);
    }
    return running;
  }

  async function take({ id, path, taken }: Row): Promise<void> {
    const found = await store.uploaded(placeOf(id));
    if (found === undefined || found.tag === taken) return;
    const stored = await store.adopt(placeOf(id), found.tag);
    // It was sent again meanwhile: the next look takes that.
    if (stored === undefined) return;
    await db.transaction().execute(async (tx) => {
      const { rows } = await sql`update tracking_upload set taken = ${found.tag} where id = ${id} and taken is not distinct from ${taken} returning id`.execute(
        tx,
      );
      if (rows.length > 0) await save(tx, { path, ...stored });
    });
  }
  const takeAll = (rows: Row[]) => Promise.all(rows.map((row) => looks(() => once(row.id, () => take(row)))));
  const settle: Uploads["settle"] = async (path, { below }) => {
    const at = below ? sql`(path = ${path} or path like ${path === "" ? "%" : `${path.replaceAll(/[\\%_]/g, "\\$&")}/%`})` : sql`path = ${path}`;
    const { rows } = await sql<Row>`
      select id, path, taken from tracking_upload where kind = 'whole' and ${at} and until > now() - make_interval(mins => case when taken is null then ${lateHours * 60} else 5 end)`.execute(
      db,
    );
    await takeAll(rows);
  };

  async function parts(path: string, id: string): Promise<{ state: "open" | "done" | "aborted"; upload: string }> {
    const { rows } = await sql<{ state: "open" | "done" | "aborted"; upload: string }>`
      select state, store_upload as upload from tracking_upload where id = ${id} and path = ${path} and kind = 'parts'`.execute(db);
    if (rows[0] === undefined) throw missing(`There is no multipart upload '${id.slice(0, 100)}' of '${path}'.`);
    return rows[0];
  }
  async function finish(path: string, id: string, upload: string, sent: { number: number; tag: string }[]): Promise<void> {
    await store.completeParts(placeOf(id), upload, sent);
    const found = await store.uploaded(placeOf(id));
    if (found !== undefined && found.size > largestFile) {
      await store.discard(placeOf(id));
      throw new ApiError(413, "TOO_LARGE", `The file has ${found.size} bytes: ${largestFile} are the most.`);
    }
    const stored = found && (await store.adopt(placeOf(id), found.tag));
    if (stored === undefined) {
      // Another server was at it too.
      if ((await parts(path, id)).state === "done") return;
      throw new ApiError(503, "OBJECT_STORE_UNAVAILABLE", "What was uploaded is not there yet. Repeat the request.");
    }
    await settle(path, { below: false });
    await db.transaction().execute(async (tx) => {
      const { rows } = await sql`update tracking_upload set state = 'done' where id = ${id} and state = 'open' returning id`.execute(tx);
      if (rows.length > 0) await save(tx, { path, ...stored });
    });
    await store.discard(placeOf(id));
  }

  async function look(): Promise<void> {
    const { rows: late } = await sql<Row & { kind: string; state: string; upload: string | null }>`
      select id, path, taken, kind, state, store_upload as upload from tracking_upload where until < now() - make_interval(hours => ${lateHours}) limit ${looksATick}`.execute(
      db,
    );
    for (const row of late) {
      if (row.kind === "whole") await once(row.id, () => take(row));
      else if (row.state === "open" && row.upload !== null) await store.abortParts(placeOf(row.id), row.upload);
      await store.discard(placeOf(row.id));
      await sql`delete from tracking_upload where id = ${row.id}`.execute(db);
    }
    const { rows } = await sql<Row>`
      update tracking_upload u set looked_at = now() from (
        select id from tracking_upload where kind = 'whole' order by looked_at nulls first limit ${looksATick}) l
      where u.id = l.id returning u.id, u.path, u.taken`.execute(db);
    await takeAll(rows);
  }
  let looked = 0;
  let looking = false;

  return {
    async address(path, seconds) {
      const id = randomUUID();
      const lasting = Math.min(seconds, longestSeconds);
      await insert(db, { id, path, kind: "whole", upload: null, seconds: lasting });
      return store.uploadUrl(placeOf(id), lasting);
    },
    async begin(path, count) {
      if (count < 1 || count > mostParts)
        throw invalidValue(`Invalid value ${count} for parameter 'num_parts' supplied: It must be at least 1 and at most ${mostParts}.`);
      const id = randomUUID();
      const upload = await store.beginParts(placeOf(id));
      await insert(db, { id, path, kind: "parts", upload, seconds: partSeconds });
      const addresses: string[] = [];
      for await (const address of store.partUrls(placeOf(id), upload, count, partSeconds)) {
        addresses.push(address);
        // Signing takes its time, and thousands of them must not hold up other requests.
        if (addresses.length % 50 === 0) await others();
      }
      return { id, addresses };
    },
    async complete(path, id, sent) {
      const { state, upload } = await parts(path, id);
      if (state === "aborted") throw wrongState("The multipart upload was aborted.");
      if (state === "open") await once(id, () => finish(path, id, upload, sent));
    },
    async abort(path, id) {
      const { state, upload } = await parts(path, id);
      if (state === "done") throw wrongState("The multipart upload is complete.");
      await sql`update tracking_upload set state = 'aborted' where id = ${id} and state = 'open'`.execute(db);
      await store.abortParts(placeOf(id), upload);
    },
    downloadAddress: (digest, seconds, disposition) => store.downloadUrl(digest, { seconds: Math.min(seconds, longestSeconds), disposition }),
    settle,
    tick() {
      if (looking || performance.now() - looked < tickMs) return;
      looking = true;
      looked = performance.now();
      // Reading what has come takes its time, for which other work that is due does not wait.
      void look()
        .catch((error) => log.warn({ error }, "artifacts that clients brought to the object store could not be taken over; it is tried again"))
        .finally(() => {
          looking = false;
        });
    },
  };
}

const insert = (
  db: Database,
  { id, path, kind, upload, seconds }: { id: string; path: string; kind: "whole" | "parts"; upload: string | null; seconds: number },
) =>
  sql`insert into tracking_upload (id, path, kind, store_upload, until) values (${id}, ${path}, ${kind}, ${upload}, now() + make_interval(secs => ${seconds}))`.execute(
    db,
  );
