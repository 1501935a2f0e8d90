import { sql } from "kysely";
import type { Database } from "./database/index.js";
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
  now(): Date;
  /** Called about once a second (system), or once for each move (replay). Handlers run one after the other, in the order of registration. */
  onTick(name: string, handler: TickHandler): void;
  /** Replay only: sets the time, which never goes back, and runs the ticks. Durable when it returns. */
  advance(to: Date): Promise<void>;
  start(): void;
  stop(): Promise<void>;
}

export async function openClock(db: Database, log: Log, kind: ClockKind, replayFrom?: Date): Promise<Clock> {
  const handlers: { name: string; handler: TickHandler }[] = [];
  let timer: NodeJS.Timeout | undefined;
  let ticking: Promise<void> = Promise.resolve();
  let stopped = false;
  let replayed = 0;

  if (kind === "replay") {
    const start = replayFrom ?? new Date(0);
    const { rows } = await sql<{ now: Date }>`
      insert into clock (id, replayed_to) values (1, ${start})
      on conflict (id) do update set replayed_to = greatest(clock.replayed_to, excluded.replayed_to)
      returning replayed_to as now`.execute(db);
    replayed = (rows[0] as { now: Date }).now.getTime();
  }
  const now = () => (kind === "system" ? new Date() : new Date(replayed));

  /** One process does a handler's work at a time: a session lock named by the handler. */
  async function runHandlers(): Promise<void> {
    const at = now();
    for (const { name, handler } of handlers) {
      if (stopped) return;
      try {
        await db.connection().execute(async (connection) => {
          const lock = await sql<{ held: boolean }>`select pg_try_advisory_lock(hashtext('tick'), hashtext(${name})) as held`.execute(connection);
          if (lock.rows[0]?.held !== true) return;
          try {
            await handler(at);
          } finally {
            await sql`select pg_advisory_unlock(hashtext('tick'), hashtext(${name}))`.execute(connection);
          }
        });
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
    onTick: (name, handler) => void handlers.push({ name, handler }),
    async advance(to) {
      if (kind !== "replay") throw new ApiError(409, "CONFLICT", "The platform runs on the machine's clock. Start it with --replay-from to replay time.");
      if (Number.isNaN(to.getTime())) throw invalid("`to` is not a time.");
      if (to.getTime() < replayed) throw invalid(`A clock never goes back: it is ${now().toISOString()} already.`);
      await sql`update clock set replayed_to = greatest(replayed_to, ${to}) where id = 1`.execute(db);
      replayed = Math.max(replayed, to.getTime());
      await tick();
    },
    start() {
      if (kind !== "system") return;
      const loop = () => {
        timer = setTimeout(() => void tick().finally(() => stopped || loop()), 1_000);
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
