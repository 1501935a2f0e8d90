import { setTimeout as delay } from "node:timers/promises";
import { sql, type Transaction } from "kysely";
import type { Clock } from "./clock.js";
import type { Database } from "./database/index.js";
import type { Notifications } from "./database/listen.js";
import { underLock } from "./database/lock.js";
import type { Log } from "./log.js";

export interface PlatformEvent {
  id: string;
  /** `<subject kind>.<what happened>` */
  type: string;
  subject: string;
  data: Record<string, unknown>;
  at: Date;
}
export type NewEvent = Pick<PlatformEvent, "type" | "subject" | "data">;
type Handler = (event: PlatformEvent) => Promise<void>;
/** A place in the order in which events are told. */
export interface EventPosition {
  xid: string;
  id: string;
}

/**
 * What happened, told to whoever needs it. An event is recorded in the transaction of the fact that it tells of, and each
 * subscriber sees each event at least once, in order, also after a crash: handlers must bear repetition.
 */
export interface Events {
  append(transaction: Transaction<unknown>, type: string, subject: string, data: Record<string, unknown>): Promise<void>;
  /** Many in one statement, in their order. */
  appendAll(transaction: Transaction<unknown>, events: NewEvent[]): Promise<void>;
  /** `subscriber` names a durable position: of all processes, one at a time handles its events. `types` may end in `.*`. */
  subscribe(subscriber: string, types: string[], handler: Handler): void;
  /** Calls when something new may be listed, in this process, until the function that it answers is called. */
  watch(watcher: () => void): () => void;
  /** In the order in which subscribers are told; `after` is an event's id. */
  list(options: { after?: string; limit: number; types?: string[]; newestFirst?: boolean }): Promise<PlatformEvent[]>;
  /** Where the newest event stands. */
  position(): Promise<EventPosition>;
  /** Whether something that a subscriber of this process wants was appended after it. */
  wantedSince(position: EventPosition): Promise<boolean>;
  /** Resolves when the subscribers of this process have been told everything that was committed, what handlers appended too; at most half a minute. */
  settled(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface EventsParts {
  db: Database;
  /** Connections that do nothing but hold locks. */
  locks: Database;
  notifications: Notifications;
  clock: Pick<Clock, "now">;
  log: Log;
}
interface EventRow {
  id: string;
  xid: string;
  type: string;
  subject: string;
  data: Record<string, unknown>;
  at: Date;
}
interface Subscriber {
  name: string;
  pattern: RegExp;
  handler: Handler;
  queued: boolean;
  failed: boolean;
  /** There is something after its position, which it need not want. */
  behind: boolean;
  /** Another process has its events in hand; it may be killed. */
  elsewhere: boolean;
  idle: Promise<void>;
}

const channel = "millrace_event";
/** How often a process looks although nothing was told: the net under notifications. */
const pollMs = 1_000;
/** The same while something is committed that an older transaction, still open, keeps from being told. */
const hiddenPollMs = 20;
const retryMs = 1_000;
const settleMs = 30_000;
const batch = 500;
/**
 * Numbers become visible out of order when transactions overlap. Reading only what is older than every transaction still open, in the order of
 * (transaction, number), misses nothing.
 */
const horizon = sql`pg_snapshot_xmin(pg_current_snapshot())`;

export function openEvents({ db, locks, notifications, clock, log }: EventsParts): Events {
  const subscribers: Subscriber[] = [];
  const watchers = new Set<() => void>();
  let stopped = false;
  let started = false;
  let poll: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let lookAgain = false;
  /** The newest that was seen. */
  let seen: EventPosition | undefined;
  notifications.on(channel, () => started && void look());

  /** Tells a subscriber what is new. */
  async function drain(subscriber: Subscriber): Promise<void> {
    const { name, pattern, handler } = subscriber;
    const mine = await underLock(locks, "events", name, async (connection) => {
      const moveTo = (row: EventRow) =>
        sql`
          insert into event_position (subscriber, xid, event_id) values (${name}, ${row.xid}::xid8, ${row.id}::bigint)
          on conflict (subscriber) do update set xid = excluded.xid, event_id = excluded.event_id`.execute(connection);
      const { rows: positions } = await sql<EventPosition>`
        select xid::text, event_id::text as id from event_position where subscriber = ${name}`.execute(connection);
      let { xid, id } = positions[0] ?? { xid: "0", id: "0" };
      for (;;) {
        const { rows } = await sql<EventRow>`
          select id::text, xid::text, type, subject, data, at from event
          where event.xid < ${horizon} and (event.xid, event.id) > (${xid}::xid8, ${id}::bigint)
          order by event.xid, event.id limit ${batch}`.execute(connection);
        let told: EventRow | undefined;
        for (const row of rows) {
          if (stopped) return;
          if (pattern.test(row.type)) {
            await handler(row);
            await moveTo(row);
            told = row;
          }
        }
        const last = rows.at(-1);
        if (last === undefined) return;
        if (last !== told) await moveTo(last);
        ({ xid, id } = last);
        if (rows.length < batch) return;
      }
    });
    subscriber.elsewhere = !mine;
  }

  function wake(subscriber: Subscriber): void {
    if (subscriber.queued || stopped) return;
    Object.assign(subscriber, { queued: true, behind: false });
    subscriber.idle = subscriber.idle.then(async () => {
      subscriber.queued = false;
      if (stopped) return;
      try {
        await drain(subscriber);
        subscriber.failed = false;
      } catch (error) {
        subscriber.failed = true;
        if (stopped) return;
        log.error({ error, subscriber: subscriber.name }, "an event could not be handled; it is tried again");
        setTimeout(() => wake(subscriber), retryMs).unref();
      }
    });
  }

  /** Wakes those who want something of what became visible since the last look. The others move past it when they are woken next, or in a while. */
  function look(): Promise<void> {
    lookAgain = true;
    looking ??= (async () => {
      let hidden = false;
      try {
        while (lookAgain && !stopped) {
          lookAgain = false;
          const after = sql`(${seen?.xid ?? "0"}::xid8, ${seen?.id ?? "0"}::bigint)`;
          const { rows } = await sql<{ xid: string | null; id: string | null; types: string[] | null; hidden: boolean }>`
            select newest.xid, newest.id, exists (select 1 from event where xid >= ${horizon}) as hidden,
              (select array_agg(distinct type) from event where xid < ${horizon} and (xid, id) > ${after} and ${seen !== undefined}) as types
            from (values (1)) one left join
              (select xid::text, id::text from event where xid < ${horizon} order by event.xid desc, event.id desc limit 1) newest on true`.execute(db);
          const { xid = null, id = null, types = null } = rows[0] ?? {};
          hidden = rows[0]?.hidden === true;
          const news = id !== seen?.id;
          for (const subscriber of subscribers) {
            if (news) subscriber.behind = true;
            if (subscriber.elsewhere || (news && (types === null || types.some((type) => subscriber.pattern.test(type))))) wake(subscriber);
          }
          if (news) for (const watcher of watchers) watcher();
          seen = xid === null || id === null ? undefined : { xid, id };
        }
      } catch (error) {
        if (!stopped) log.warn({ error }, "events could not be looked for");
      } finally {
        looking = undefined;
        clearTimeout(poll);
        const again = () => {
          if (!hidden) for (const subscriber of subscribers) if (subscriber.behind) wake(subscriber);
          void look();
        };
        if (!stopped) poll = setTimeout(again, hidden ? hiddenPollMs : pollMs).unref();
      }
    })();
    return looking;
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
      await sql`
        insert into event (type, subject, data, at) values (${type}, ${subject}, ${JSON.stringify(data)}::jsonb, ${clock.now()})
        returning pg_notify(${channel}, '')`.execute(transaction);
    },
    async appendAll(transaction, list) {
      if (list.length === 0) return;
      await sql`
        with added as (
          insert into event (type, subject, data, at)
          select e ->> 'type', e ->> 'subject', e -> 'data', ${clock.now()}
          from jsonb_array_elements(${JSON.stringify(list)}::jsonb) with ordinality as l(e, n) order by n returning 1
        ) select pg_notify(${channel}, '') from (select count(*) from added) counted`.execute(transaction);
    },
    subscribe(name, types, handler) {
      subscribers.push({ name, pattern: patternOf(types), handler, queued: false, failed: false, behind: false, elsewhere: false, idle: Promise.resolve() });
    },
    watch(watcher) {
      watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
    async list({ after, limit, types, newestFirst }) {
      const patterns = (types ?? ["*"]).map((t) => t.replaceAll(/[\\%_]/g, "\\$&").replace(/\*$/, "%"));
      const bound = sql`(select b.xid, b.id from event b where b.id <= ${after ?? "0"}::bigint order by b.id desc limit 1)`;
      const bounded =
        after === undefined
          ? sql``
          : newestFirst === true
            ? sql`and (event.xid, event.id) < ${bound}`
            : sql`and coalesce((event.xid, event.id) > ${bound}, true)`;
      const direction = newestFirst === true ? sql`desc` : sql`asc`;
      const { rows } = await sql<EventRow>`
        select event.id::text, event.xid::text, type, subject, data, at from event
        where event.xid < ${horizon} and type like any(${patterns}) ${bounded}
        order by event.xid ${direction}, event.id ${direction} limit ${limit}`.execute(db);
      return rows;
    },
    async position() {
      const { rows } = await sql<EventPosition>`select xid::text, id::text from event order by event.xid desc, event.id desc limit 1`.execute(db);
      return rows[0] ?? { xid: "0", id: "0" };
    },
    async wantedSince({ xid, id }) {
      const { rows } = await sql<{ type: string }>`
        select distinct type from event where (event.xid, event.id) > (${xid}::xid8, ${id}::bigint)`.execute(db);
      return rows.some(({ type }) => subscribers.some(({ pattern }) => pattern.test(type)));
    },
    async settled() {
      let pause = 1;
      for (const end = performance.now() + settleMs; performance.now() < end && !stopped; pause = Math.min(2 * pause, 50)) {
        const late = await behind();
        const waiting = subscribers.filter((s) => late.has(s.name) && !s.failed);
        if (waiting.length === 0) return;
        for (const subscriber of waiting) wake(subscriber);
        await Promise.all(waiting.map((s) => s.idle));
        // What is still not told waits for an older transaction, or for another process.
        if (pause > 1) await delay(pause);
      }
      if (!stopped) log.warn("events are still being handled after half a minute");
    },
    async start() {
      started = true;
      for (const subscriber of subscribers) wake(subscriber);
      await look();
    },
    async stop() {
      stopped = true;
      clearTimeout(poll);
      await looking;
      await Promise.all(subscribers.map((s) => s.idle));
    },
  };
}

/** `run.*` → every type that begins with `run.` */
function patternOf(types: string[]): RegExp {
  const one = (type: string) => type.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*$/, ".*");
  return new RegExp(`^(?:${types.map(one).join("|")})$`);
}
