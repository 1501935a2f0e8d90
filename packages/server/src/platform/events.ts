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
  list(options: { after?: string; limit: number; types?: string[]; newestFirst?: boolean }): Promise<PlatformEvent[]>;
  /** Resolves when every subscriber in this process has handled everything that was committed before the call. */
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

export function openEvents(db: Database, clock: Clock, log: Log): Events {
  const subscribers: { name: string; types: string[]; handler: Handler; wake: () => void; idle: Promise<void> }[] = [];
  let stopped = false;
  let poll: NodeJS.Timeout | undefined;

  /**
   * Sequence numbers become visible out of order when transactions overlap. Reading only what is older than every transaction
   * still open, in the order of (transaction, number), misses nothing.
   */
  async function drain(subscriber: (typeof subscribers)[number]): Promise<void> {
    const patterns = subscriber.types.map((t) => t.replace(/\*$/, "%"));
    await db.connection().execute(async (connection) => {
      const lock = await sql<{ held: boolean }>`select pg_try_advisory_lock(hashtext('events'), hashtext(${subscriber.name})) as held`.execute(connection);
      if (lock.rows[0]?.held !== true) return;
      try {
        for (;;) {
          const position = await sql<{ xid: string; event_id: string }>`
            select xid::text, event_id::text from event_position where subscriber = ${subscriber.name}`.execute(connection);
          const { xid, event_id } = position.rows[0] ?? { xid: "0", event_id: "0" };
          const { rows } = await sql<EventRow>`
            select id::text, xid::text, type, subject, data, at from event
            where xid < pg_snapshot_xmin(pg_current_snapshot()) and (xid, id) > (${xid}::xid8, ${event_id}::bigint) and type like any(${patterns})
            order by xid, id limit 200`.execute(connection);
          if (rows.length === 0) return;
          for (const row of rows) {
            if (stopped) return;
            await subscriber.handler(row);
            await sql`
              insert into event_position (subscriber, xid, event_id) values (${subscriber.name}, ${row.xid}::xid8, ${row.id}::bigint)
              on conflict (subscriber) do update set xid = excluded.xid, event_id = excluded.event_id`.execute(connection);
          }
        }
      } finally {
        await sql`select pg_advisory_unlock(hashtext('events'), hashtext(${subscriber.name}))`.execute(connection);
      }
    });
  }

  function wakeAll(): void {
    for (const subscriber of subscribers) subscriber.wake();
  }

  return {
    async append(transaction, type, subject, data) {
      await sql`insert into event (type, subject, data, at) values (${type}, ${subject}, ${JSON.stringify(data)}::jsonb, ${clock.now()})`.execute(transaction);
      // In this process the transaction's end is near: look soon, and let the poll find the rest.
      setTimeout(wakeAll, 5).unref();
    },
    subscribe(name, types, handler) {
      const subscriber: (typeof subscribers)[number] = { name, types, handler, idle: Promise.resolve(), wake: () => {} };
      let queued = false;
      subscriber.wake = () => {
        if (queued || stopped) return;
        queued = true;
        subscriber.idle = subscriber.idle.then(async () => {
          queued = false;
          try {
            await drain(subscriber);
          } catch (error) {
            log.error({ error, subscriber: name }, "an event could not be handled; it is tried again");
          }
        });
      };
      subscribers.push(subscriber);
    },
    async list({ after, limit, types, newestFirst }) {
      const patterns = (types ?? ["%"]).map((t) => t.replace(/\*$/, "%"));
      const bound = after === undefined ? sql`` : newestFirst === true ? sql`and id < ${after}::bigint` : sql`and id > ${after}::bigint`;
      const { rows } = await sql<EventRow>`
        select id::text, xid::text, type, subject, data, at from event
        where xid < pg_snapshot_xmin(pg_current_snapshot()) and type like any(${patterns}) ${bound}
        order by id ${newestFirst === true ? sql`desc` : sql`asc`} limit ${limit}`.execute(db);
      return rows;
    },
    async settled() {
      wakeAll();
      await Promise.all(subscribers.map((s) => s.idle));
    },
    async start() {
      const loop = () => {
        poll = setTimeout(() => {
          wakeAll();
          if (!stopped) loop();
        }, 250);
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
