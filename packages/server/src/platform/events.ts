import { sql, type Transaction } from "kysely";
import type { Clock } from "./clock.js";
import type { Database } from "./database/index.js";
import type { Log } from "./log.js";

export interface PlatformEvent {
  id: string;
  /** `<subject kind>.<what happened>` */
  type: string;
  subject: string;
  data: Record<string, unknown>;
  at: Date;
}
type Handler = (event: PlatformEvent) => Promise<void>;

/**
 * What happened, told to whoever needs it. An event is recorded in the transaction of the fact that it tells of, and each
 * subscriber sees each event at least once, in order, also after a crash: handlers must bear repetition.
 */
export interface Events {
  append(transaction: Transaction<unknown>, type: string, subject: string, data: Record<string, unknown>): Promise<void>;
  /** `subscriber` names a durable position: of all processes, one at a time handles its events. `types` may end in `.*`. */
  subscribe(subscriber: string, types: string[], handler: Handler): void;
  /** Calls when something new may be listed, in this process, until the function that it answers is called. */
  watch(watcher: () => void): () => void;
  list(options: { after?: string; limit: number; types?: string[]; newestFirst?: boolean }): Promise<PlatformEvent[]>;
  /** Resolves when every subscriber in this process has handled everything that was committed, what handlers appended too; at most half a minute. */
  settled(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface EventRow {
  id: string;
  xid: string;
  type: string;
  subject: string;
  data: Record<string, unknown>;
  at: Date;
}

/** How often a process looks for what others appended. */
const pollMs = 250;
const batch = 500;

export function openEvents(db: Database, clock: Clock, log: Log): Events {
  interface Subscriber {
    name: string;
    patterns: RegExp[];
    handler: Handler;
    queued: boolean;
    failed: boolean;
    idle: Promise<void>;
  }
  const subscribers: Subscriber[] = [];
  const watchers = new Set<() => void>();
  let stopped = false;
  let poll: NodeJS.Timeout | undefined;
  let seen = "";

  /**
   * Sequence numbers become visible out of order when transactions overlap. Reading only what is older than every transaction
   * still open, in the order of (transaction, number), misses nothing.
   */
  async function drain({ name, patterns, handler }: Subscriber): Promise<void> {
    await db.connection().execute(async (connection) => {
      const lock = await sql<{ held: boolean }>`select pg_try_advisory_lock(hashtext('events'), hashtext(${name})) as held`.execute(connection);
      if (lock.rows[0]?.held !== true) return;
      const moveTo = (row: EventRow) =>
        sql`
          insert into event_position (subscriber, xid, event_id) values (${name}, ${row.xid}::xid8, ${row.id}::bigint)
          on conflict (subscriber) do update set xid = excluded.xid, event_id = excluded.event_id`.execute(connection);
      try {
        for (;;) {
          const { rows } = await sql<EventRow>`
            with position as (
              select coalesce((select (xid::text) from event_position where subscriber = ${name}), '0')::xid8 as xid,
                coalesce((select event_id from event_position where subscriber = ${name}), 0) as id)
            select event.id::text, event.xid::text, type, subject, data, at from event, position
            where event.xid < pg_snapshot_xmin(pg_current_snapshot()) and (event.xid, event.id) > (position.xid, position.id)
            order by event.xid, event.id limit ${batch}`.execute(connection);
          for (const row of rows) {
            if (stopped) return;
            if (!patterns.some((pattern) => pattern.test(row.type))) continue;
            await handler(row);
            await moveTo(row);
          }
          const last = rows.at(-1);
          if (last === undefined) return;
          await moveTo(last);
          if (rows.length < batch) return;
        }
      } finally {
        await sql`select pg_advisory_unlock(hashtext('events'), hashtext(${name}))`.execute(connection);
      }
    });
  }

  function wake(subscriber: Subscriber): void {
    if (subscriber.queued || stopped) return;
    subscriber.queued = true;
    subscriber.idle = subscriber.idle.then(async () => {
      subscriber.queued = false;
      if (stopped) return;
      try {
        await drain(subscriber);
        subscriber.failed = false;
      } catch (error) {
        subscriber.failed = true;
        log.error({ error, subscriber: subscriber.name }, "an event could not be handled; it is tried again");
        setTimeout(() => wake(subscriber), 1_000).unref();
      }
    });
  }
  function wakeAll(): void {
    for (const subscriber of subscribers) wake(subscriber);
    for (const watcher of watchers) watcher();
  }
  /** Wakes all when something became visible since the last look. */
  async function look(): Promise<void> {
    const { rows } = await sql<{ newest: string }>`
      select concat(xid, '/', id) as newest from event where xid < pg_snapshot_xmin(pg_current_snapshot()) order by xid desc, id desc limit 1`.execute(db);
    const newest = rows[0]?.newest ?? "";
    if (newest === seen) return;
    seen = newest;
    wakeAll();
  }
  /** The subscribers of this process to whom something committed is still to be told. */
  async function behind(): Promise<Set<string>> {
    const { rows } = await sql<{ subscriber: string }>`
      select name as subscriber from unnest(${subscribers.map((s) => s.name)}::text[]) as name left join event_position p on p.subscriber = name
      where exists (select 1 from event where (event.xid, event.id) > (coalesce(p.xid, '0'::xid8), coalesce(p.event_id, 0)))`.execute(db);
    return new Set(rows.map((row) => row.subscriber));
  }

  return {
    async append(transaction, type, subject, data) {
      await sql`insert into event (type, subject, data, at) values (${type}, ${subject}, ${JSON.stringify(data)}::jsonb, ${clock.now()})`.execute(transaction);
      // In this process the transaction's end is near: look soon, and let the poll find the rest.
      setTimeout(() => void look().catch(() => {}), 5).unref();
    },
    subscribe(name, types, handler) {
      subscribers.push({ name, patterns: types.map(pattern), handler, queued: false, failed: false, idle: Promise.resolve() });
    },
    watch(watcher) {
      watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
    async list({ after, limit, types, newestFirst }) {
      const patterns = (types ?? ["*"]).map((t) => t.replaceAll(/[\\%_]/g, "\\$&").replace(/\*$/, "%"));
      const bound = after === undefined ? sql`` : newestFirst === true ? sql`and id < ${after}::bigint` : sql`and id > ${after}::bigint`;
      const { rows } = await sql<EventRow>`
        select id::text, xid::text, type, subject, data, at from event
        where xid < pg_snapshot_xmin(pg_current_snapshot()) and type like any(${patterns}) ${bound}
        order by event.id ${newestFirst === true ? sql`desc` : sql`asc`} limit ${limit}`.execute(db);
      return rows;
    },
    async settled() {
      for (const end = Date.now() + settleMs; Date.now() < end && !stopped; ) {
        const late = await behind();
        const waiting = subscribers.filter((s) => late.has(s.name) && !s.failed);
        if (waiting.length === 0) return;
        for (const subscriber of waiting) wake(subscriber);
        await Promise.all(waiting.map((s) => s.idle));
        if (waiting.some((s) => !s.failed)) await new Promise((resolve) => setTimeout(resolve, 2));
      }
      if (!stopped) log.warn("events are still being handled after half a minute");
    },
    async start() {
      const loop = () => {
        poll = setTimeout(() => {
          void look()
            .catch((error) => log.error({ error }, "events could not be looked for"))
            .finally(() => stopped || loop());
        }, pollMs);
      };
      loop();
      wakeAll();
    },
    async stop() {
      stopped = true;
      clearTimeout(poll);
      await Promise.all(subscribers.map((s) => s.idle));
    },
  };
}

const settleMs = 30_000;
/** `run.*` → every type that begins with `run.` */
const pattern = (type: string): RegExp => new RegExp(`^${type.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*$/, ".*")}$`);
