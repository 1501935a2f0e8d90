import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import type { Database } from "./database/index.js";
import type { Notifications } from "./database/listen.js";
import { underLock } from "./database/lock.js";
import { ApiError, invalid } from "./errors.js";
import type { Log } from "./log.js";

export type ClockKind = "system" | "replay";
type TickHandler = (now: Date) => Promise<void>;

/**
 * The time by which the platform lives. A system clock is the machine's; a replayed one stands still until it is moved, so that a
 * year can pass in minutes. Work that is due by time registers with `onTick`; across processes one of them does it at a time.
 */
export interface Clock {
  readonly kind: ClockKind;
  /** Replay: what this process knows; another's move is known here as soon as PostgreSQL has told of it. */
  now(): Date;
  /** Replay: takes over what another process has moved. */
  refresh(): Promise<void>;
  /** Called about once a second (system), or for each move (replay). Handlers run one after the other, in the order of registration. */
  onTick(name: string, handler: TickHandler): void;
  /** Replay only: sets the time, which never goes back, and runs the ticks. Durable when it returns. */
  advance(to: Date): Promise<void>;
  start(): void;
  stop(): Promise<void>;
}

interface ClockParts {
  db: Database;
  /** Connections that do nothing but hold locks. */
  locks: Database;
  notifications: Notifications;
  log: Log;
}

const tickMs = 1_000;
/** How long a move waits for another process that does a handler's work. */
const lockMs = 60_000;
const channel = "millrace_clock";

export async function openClock({ db, locks, notifications, log }: ClockParts, kind: ClockKind, replayFrom?: Date): Promise<Clock> {
  const handlers: { name: string; handler: TickHandler }[] = [];
  let timer: NodeJS.Timeout | undefined;
  let ticking: Promise<void> = Promise.resolve();
  let stopped = false;
  let replayed = 0;
  const know = (time: Date) => {
    replayed = Math.max(replayed, time.getTime());
  };

  if (kind === "replay") {
    const start = replayFrom ?? new Date(0);
    const { rows } = await sql<{ now: Date }>`
      insert into clock (id, replayed_to) values (1, ${start})
      on conflict (id) do update set replayed_to = greatest(clock.replayed_to, excluded.replayed_to)
      returning replayed_to as now`.execute(db);
    for (const row of rows) know(row.now);
    notifications.on(channel, (payload) => {
      if (payload !== "") know(new Date(payload));
      else void refresh().catch((error) => log.warn({ error }, "the clock could not be read"));
    });
  }
  const now = () => (kind === "system" ? new Date() : new Date(replayed));

  async function refresh(): Promise<void> {
    if (kind !== "replay") return;
    const { rows } = await sql<{ now: Date }>`select replayed_to as now from clock where id = 1`.execute(db);
    for (const row of rows) know(row.now);
  }

  /** One process does a handler's work at a time. A replayed tick comes once, so it waits for its turn; another machine's tick comes again. */
  async function runHandlers(): Promise<void> {
    const at = now();
    for (const { name, handler } of handlers) {
      try {
        for (const end = performance.now() + lockMs; !stopped; await delay(20)) {
          const done = await underLock(locks, "tick", name, () => handler(at));
          if (done || kind === "system") break;
          if (performance.now() > end) throw new Error("Another process has been at it for a minute.");
        }
      } catch (error) {
        log.error({ error, tick: name }, "work that was due failed; it is tried again at the next tick");
      }
    }
  }
  function tick(): Promise<void> {
    ticking = ticking.then(runHandlers);
    return ticking;
  }

  return {
    kind,
    now,
    refresh,
    onTick: (name, handler) => void handlers.push({ name, handler }),
    async advance(to) {
      if (kind !== "replay") throw new ApiError(409, "CONFLICT", "The platform runs on the machine's clock. Start it with --replay-from to replay time.");
      if (Number.isNaN(to.getTime())) throw invalid("`to` is not a time.");
      const { rows } = await sql`
        update clock set replayed_to = ${to} where id = 1 and replayed_to <= ${to}
        returning pg_notify(${channel}, ${to.toISOString()})`.execute(db);
      if (rows.length === 0) {
        await refresh();
        throw invalid(`A clock never goes back: it is ${now().toISOString()} already.`);
      }
      know(to);
      await tick();
    },
    start() {
      if (kind !== "system") return;
      const loop = () => {
        timer = setTimeout(() => void tick().finally(() => stopped || loop()), tickMs);
      };
      loop();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await ticking;
    },
  };
}
