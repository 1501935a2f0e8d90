/**
 * Reads without a question to the database, where one process does all the reading and changing of a view, as a single server does. It holds the view by a token
 * in the view's row. As long as that is there, the database refuses changes by other processes. Who is refused revokes the token, and waits until its holder
 * has given it up or, where that was killed or paused, for longer than its last answer from the database holds. So a push that was answered is seen by every
 * read that begins afterwards, whoever reads.
 *
 * Both sides measure time by themselves and from the safe end: the holder from before it asked, the other from after the revocation was committed.
 */
import { setTimeout as delay } from "node:timers/promises";
import { type Kysely, sql } from "kysely";
import { newId } from "../platform/index.js";

type Db = Kysely<unknown>;

/** For how long an answer of the database holds. */
const leaseMs = 500;
/** An answer that is in use is renewed after so long, without anyone waiting for it. */
const renewMs = 100;
/** More than an answer holds, as two clocks do not run alike. */
const waitMs = 650;
const lookMs = 10;
/** A process whose token was revoked leaves the view to others for so long, and twice as long where it had not held it for long. */
const firstPauseMs = 30_000;
const longestPauseMs = 3_600_000;

/** By two clocks: one stands still where the machine sleeps, the other may be set. */
export interface Moment {
  monotonic: number;
  wall: number;
}
const now = (): Moment => ({ monotonic: performance.now(), wall: Date.now() });
const within = (since: Moment, ms: number): boolean => performance.now() - since.monotonic < ms && Math.abs(Date.now() - since.wall) < ms;
export const holds = (asked: Moment): boolean => within(asked, leaseMs);
export const isDue = (asked: Moment): boolean => !within(asked, renewMs);

/** How far a view has changed; `alone`: when that was asked, where nobody but this process has changed it since. */
export interface Standing {
  change: number;
  alone: Moment | undefined;
}
interface Row {
  id: number;
  change: number;
  holder: string | null;
  revoked: boolean;
}
interface Held {
  /** When the database first said that it is held; undefined where it is not. */
  since: number | undefined;
  /** Not before this, by the monotonic clock, is it held again. */
  from: number;
  pauseMs: number;
  busy: boolean;
}

export function openSoleReader(db: Db) {
  const writer = newId();
  const views = new Map<number, Held>();
  let tokens = 0;
  let closed = false;

  async function hold(id: number): Promise<void> {
    // Whoever is changing the view just now holds its row: this waits for them, and those who come later find the token.
    await sql`
      update feature_online set sole_reader = ${`${writer}/${++tokens}`}, sole_revoked = false where id = ${id} and sole_reader is null`.execute(db);
  }
  /** There are others who change the view. */
  function leave(held: Held): void {
    const ms = held.since !== undefined && performance.now() - held.since > 10 * held.pauseMs ? firstPauseMs : held.pauseMs;
    Object.assign(held, { since: undefined, from: performance.now() + ms, pauseMs: Math.min(2 * ms, longestPauseMs) });
  }
  async function giveUp(id: number, token: string): Promise<void> {
    await sql`update feature_online set sole_reader = null, sole_revoked = false where id = ${id} and sole_reader = ${token}`.execute(db);
  }
  /** When the answer has been heeded: the memory is not read any more when others find the token gone. What fails is tried again after the next question. */
  function later(held: Held, work: () => Promise<void>): void {
    held.busy = true;
    void new Promise((resolve) => setImmediate(resolve))
      .then(work)
      .catch(() => {})
      .finally(() => {
        held.busy = false;
      });
  }

  function heldOf(id: number): Held {
    const held = views.get(id) ?? { since: undefined, from: 0, pauseMs: firstPauseMs, busy: false };
    views.set(id, held);
    return held;
  }

  return {
    /** Names this process to the database as one that changes views. */
    writer,
    /** Asks for all views. Of those that are in use, the ones that nobody holds are held from now on. */
    async ask(inUse: number[]): Promise<Map<number, Standing>> {
      const asked = now();
      const { rows } = await sql<Row>`
        select id, change::float8 as change, sole_reader as holder, sole_revoked as revoked from feature_online`.execute(db);
      const used = new Set(inUse);
      return new Map(
        rows.map(({ id, change, holder, revoked }): [number, Standing] => {
          if (!used.has(id)) return [id, { change, alone: undefined }];
          const held = heldOf(id);
          const mine = holder?.startsWith(writer) === true;
          const alone = mine && !revoked && !closed ? asked : undefined;
          if (alone !== undefined && held.since === undefined) held.since = performance.now();
          // Revoked, or taken while this process did not ask.
          if (alone === undefined && held.since !== undefined) leave(held);
          if (mine && revoked && !held.busy) later(held, () => giveUp(id, holder));
          else if (holder === null && !held.busy && !closed && performance.now() > held.from) later(held, () => hold(id));
          return [id, { change, alone }];
        }),
      );
    },
    async takeBack(id: number): Promise<void> {
      if (await takeBack(db, id, writer)) leave(heldOf(id));
    },
    /** Others need not wait then. */
    async close(): Promise<void> {
      closed = true;
      await sql`update feature_online set sole_reader = null, sole_revoked = false where starts_with(sole_reader, ${writer})`.execute(db);
    },
  };
}

/** The error of a change that was refused because another process holds the view. */
export const isHeld = (error: unknown): boolean => (error as { code?: unknown }).code === "MR001";

/** Resolves when no process but `writer` reads the view from its memory, unless one begins to again. Answers whether one did. */
export async function takeBack(db: Db, id: number, writer: string): Promise<boolean> {
  const { rows } = await sql<{ holder: string }>`
    update feature_online set sole_revoked = true where id = ${id} and not starts_with(sole_reader, ${writer}) returning sole_reader as holder`.execute(db);
  const holder = rows[0]?.holder;
  if (holder === undefined) return false;
  for (const revoked = performance.now(); performance.now() - revoked < waitMs; await delay(lookMs)) {
    const { rows: left } = await sql`select 1 from feature_online where id = ${id} and sole_reader = ${holder} and sole_revoked`.execute(db);
    if (left.length === 0) return true;
  }
  await sql`update feature_online set sole_reader = null, sole_revoked = false where id = ${id} and sole_reader = ${holder} and sole_revoked`.execute(db);
  return true;
}
