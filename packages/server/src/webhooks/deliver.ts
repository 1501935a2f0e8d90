/** Deliveries that are due: claimed by one process at a time, sent, and tried again where that may help. */
import { sql } from "kysely";
import type { Platform } from "../platform/index.js";
import type { SealedLetter } from "./secrets.js";
import type { Sent } from "./types.js";

/** At once, of this process; of one webhook fewer, so that a slow receiver holds up only itself. */
const mostAtOnce = 16;
const mostOfOne = 4;
const pollMs = 1_000;
const longestPauseMs = 3_600_000;
/** For how long finished deliveries are shown. */
const keptFor = "30 days";
const pruneMs = 3_600_000;

interface Claimed extends SealedLetter {
  attempt: number;
}

export interface Delivering {
  /** Something may be due. */
  wake(): void;
  start(): void;
  stop(): Promise<void>;
}

export function createDelivering(
  { db, log }: Pick<Platform, "db" | "log">,
  {
    send,
    timeoutMs,
    attempts,
    retryMs,
  }: { send: (letter: SealedLetter, stop: AbortSignal) => Promise<Sent>; timeoutMs: number; attempts: number; retryMs: number },
): Delivering {
  const busy = new Map<string, number>();
  const inFlight = new Set<Promise<void>>();
  let timer: NodeJS.Timeout | undefined;
  const stopping = new AbortController();
  let looking: Promise<void> | undefined;
  let again = false;
  let prunedAt = Number.NEGATIVE_INFINITY;

  /** What is claimed and not told of within the lease was lost with its process, and is due again. */
  async function claim(): Promise<Claimed[]> {
    const full = [...busy].flatMap(([id, count]) => (count >= mostOfOne ? id : []));
    const { rows } = await sql<Claimed>`
      with due as (
        select d.id from webhook w cross join lateral (
          select id from webhook_delivery where webhook_id = w.id and state = 'pending' and due_at <= clock_timestamp()
          order by due_at limit ${mostOfOne} for update skip locked) d
        where w.status = 'ACTIVE' and not (w.id = any(${full}::text[])) limit ${mostAtOnce - inFlight.size}
      )
      update webhook_delivery d set attempt = d.attempt + 1, due_at = clock_timestamp() + ${`${2 * timeoutMs} ms`}::interval
      from due, webhook w where d.id = due.id and w.id = d.webhook_id
      returning d.id as "deliveryId", w.id as webhook, d.attempt, d.body, w.url, w.sealed`.execute(db);
    return rows;
  }

  async function deliver(one: Claimed): Promise<void> {
    const began = performance.now();
    const at = new Date();
    const sent = await send(one, stopping.signal);
    if (sent.cutOff) {
      // For whichever process is next, as if it had not been tried.
      await sql`
        update webhook_delivery set attempt = attempt - 1, due_at = clock_timestamp() where id = ${one.deliveryId} and attempt = ${one.attempt} and state = 'pending'`.execute(
        db,
      );
      return;
    }
    const record = { attempt: one.attempt, at, status: sent.status ?? null, durationMs: Math.round(performance.now() - began), error: sent.error ?? null };
    const over = sent.error === undefined ? "delivered" : sent.again && one.attempt < attempts ? "pending" : "failed";
    await sql`
      update webhook_delivery set state = ${over}, attempts = attempts || ${JSON.stringify([record])}::jsonb,
        due_at = clock_timestamp() + ${`${pause(one.attempt, sent.retryAfterMs)} ms`}::interval,
        finished_at = ${over === "pending" ? null : at}
      where id = ${one.deliveryId} and attempt = ${one.attempt} and state = 'pending'`.execute(db);
    if (over === "failed") log.warn({ webhook: one.webhook, delivery: one.deliveryId, error: sent.error }, "a webhook could not be told");
  }
  /** Four times longer after each attempt, and somewhere in its upper half, so that not all come again at once. */
  function pause(attempt: number, asked = 0): number {
    const usual = retryMs * 4 ** (attempt - 1) * (0.5 + Math.random() / 2);
    return Math.round(Math.min(Math.max(usual, asked), longestPauseMs));
  }

  function begin(one: Claimed): void {
    busy.set(one.webhook, (busy.get(one.webhook) ?? 0) + 1);
    const work = deliver(one)
      .catch((error) => log.error({ error, delivery: one.deliveryId }, "a delivery's end could not be kept; it comes again"))
      .finally(() => {
        inFlight.delete(work);
        const left = (busy.get(one.webhook) ?? 1) - 1;
        if (left === 0) busy.delete(one.webhook);
        else busy.set(one.webhook, left);
        wake();
      });
    inFlight.add(work);
  }

  async function prune(): Promise<void> {
    if (performance.now() - prunedAt < pruneMs) return;
    prunedAt = performance.now();
    await sql`delete from webhook_delivery where state <> 'pending' and finished_at < clock_timestamp() - ${keptFor}::interval`.execute(db);
  }

  function wake(): void {
    again = true;
    if (stopping.signal.aborted) return;
    looking ??= (async () => {
      try {
        while (again && !stopping.signal.aborted && inFlight.size < mostAtOnce) {
          again = false;
          const claimed = await claim();
          for (const one of claimed) begin(one);
          if (claimed.length > 0) again = true;
        }
        await prune();
      } catch (error) {
        if (!stopping.signal.aborted) log.warn({ error }, "deliveries of webhooks could not be looked for");
      } finally {
        looking = undefined;
        clearTimeout(timer);
        if (!stopping.signal.aborted) timer = setTimeout(wake, pollMs).unref();
      }
    })();
  }

  return {
    wake,
    start: wake,
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await looking;
      await Promise.all(inFlight);
    },
  };
}
