/**
 * By what each endpoint answers, in the memory of each serving process, so that a change that was acknowledged is heeded by all of them.
 *
 * A change counts up the epoch in its transaction, and waits until no process answers by an older one. Each process says in its row which epoch it has taken over. It answers from memory
 * only as long as the database has said within a second that this epoch is the newest; one that is paused, or cut off, stops by itself when that second is over, so nobody waits longer
 * for it. Both sides measure time by themselves and from the safe end: the process from before it asked, the other from after the change was committed.
 *
 * So every request that begins after a change was acknowledged is answered by the new state, whichever process it comes to.
 */
import { setTimeout as delay } from "node:timers/promises";
import { sql, type Transaction } from "kysely";
import { ApiError, newId, type Platform } from "../platform/index.js";
import type { Slot } from "./rollouts/assignment.js";

/** For how long an answer of the database holds. */
const leaseMs = 1_000;
/** While requests come, it is renewed after so long, without anyone waiting for it; else only so often that others know of the process. */
const renewMs = 300;
const idleMs = 2_000;
/** More than an answer holds, as two clocks do not run alike. */
const waitMs = 1_300;
/** A process that was silent for so long, by the database's clock, is not there. */
const silentMs = 10_000;
/** A request does not wait for longer. */
const answerMs = 5_000;
/** How long a change waits for all processes to have a version in memory. Later, they load it when it is asked for. */
const warmMs = 60_000;
const lookMs = 5;
const channel = "millrace_serving";

export interface RunningRollout {
  id: string;
  kind: "canary" | "blue_green" | "shadow" | "split" | "experiment";
  candidate: number;
  slots: Slot[];
  stickyBy: string[] | null;
  /** Of a shadow: the part of the requests that is copied, and how far apart answers may be that agree. */
  share: number;
  within: number;
}
export interface EndpointState {
  stable: number | null;
  /** Versions that answered before, the last one first. */
  earlier: number[];
  warming: number[];
  killed: { at: string; by: string; reason: string } | null;
  rollout: RunningRollout | null;
}
/** By two clocks: one stands still where the machine sleeps, the other may be set. */
interface Moment {
  monotonic: number;
  wall: number;
}
const now = (): Moment => ({ monotonic: performance.now(), wall: Date.now() });
const within = (since: Moment, ms: number): boolean => performance.now() - since.monotonic < ms && Math.abs(Date.now() - since.wall) < ms;

export interface States {
  /** What the endpoint answers by now; at once where that is known. Throws a 503 where the database does not say. */
  of(endpoint: string): Promise<EndpointState | undefined> | EndpointState | undefined;
  /** Counts up the epoch, at the end of a transaction that changes what an endpoint answers by. */
  change(transaction: Transaction<unknown>): Promise<number>;
  /** Resolves when no process answers by what was before the epoch. */
  taken(epoch: number): Promise<void>;
  /** Has all processes load the version, and keep it until `release`. Throws with what one of them says where it can't. Goes on without them after a while, or when the signal says so. */
  warm(endpoint: string, version: number, patience?: { signal?: AbortSignal; longestMs?: number }): Promise<void>;
  /** In the transaction that gives the versions traffic, or decides that they get none. */
  release(transaction: Transaction<unknown>, endpoint: string, versions: readonly number[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * `load` brings a version into this process' memory, and `keep` is told what has to stay there whenever that changes. A process that does not `answer` takes no part before it is asked for the
 * first time.
 */
export function openStates(
  { db, notifications, log }: Pick<Platform, "db" | "notifications" | "log">,
  on: { load(endpoint: string, version: number): Promise<void>; keep(versions: readonly { endpoint: string; version: number }[]): void; answers: boolean },
): States {
  const id = newId();
  let known: { epoch: number; states: Map<string, EndpointState> } = { epoch: 0, states: new Map() };
  /** When the database was asked that said last that `known` is the newest. */
  let asked: Moment | undefined;
  let used = false;
  let joined = on.answers;
  let asking: Promise<void> | undefined;
  let again = false;
  let closed = false;
  const warm = new Map<string, string>();
  let warmTold = "{}";

  async function beat(): Promise<number> {
    const text = JSON.stringify(Object.fromEntries(warm));
    // Not worth a wait for the disk: what a crash of the database loses of it is an older number, for which others wait.
    const { rows } = await sql<{ epoch: number }>`
      with beat as (
        insert into serving_process (id, acknowledged, warm, seen_at)
        select ${id}, ${known.epoch}, ${text}::jsonb, clock_timestamp() from set_config('synchronous_commit', ${known.epoch === 0 ? "on" : "off"}, true)
        on conflict (id) do update set acknowledged = excluded.acknowledged, seen_at = excluded.seen_at
          ${text === warmTold ? sql`` : sql`, warm = excluded.warm`} returning 1)
      select epoch::float8 as epoch from serving_epoch, beat`.execute(db);
    warmTold = text;
    return rows[0]?.epoch ?? 0;
  }
  /** As of one moment: the epoch and all that it counts. */
  async function load(): Promise<void> {
    const { rows } = await sql<{ epoch: number; states: (EndpointState & { endpoint: string })[] | null }>`
      select epoch::float8 as epoch, (
        select jsonb_agg(jsonb_build_object('endpoint', s.endpoint, 'stable', s.stable, 'earlier', s.earlier, 'warming', s.warming,
          'killed', case when s.killed_at is not null then jsonb_build_object('at', s.killed_at, 'by', s.killed_by, 'reason', s.killed_reason) end,
          'rollout', (select jsonb_build_object('id', r.id, 'kind', r.kind, 'candidate', r.candidate, 'slots', r.slots, 'stickyBy', r.plan -> 'stickyBy',
              'share', coalesce(r.plan -> 'share', '0'), 'within', coalesce(jsonb_path_query_first(r.plan, '$.judge[*].within'), '0.05'))
            from rollout r where r.endpoint = s.endpoint and r.state = 'running')))
        from endpoint_state s) as states
      from serving_epoch`.execute(db);
    const [row] = rows;
    if (row === undefined) throw new Error("the table serving_epoch has lost its row");
    known = { epoch: row.epoch, states: new Map((row.states ?? []).map((state) => [state.endpoint, state])) };
    follow();
  }
  /** Brings what is coming into memory, and says what has to stay there. */
  function follow(): void {
    const kept: { endpoint: string; version: number }[] = [];
    const wanted = new Set<string>();
    for (const [endpoint, { stable, earlier, warming, rollout }] of known.states) {
      const [previous] = earlier;
      const versions = [stable, previous, rollout?.candidate, ...(rollout?.slots ?? []).map((slot) => slot.version), ...warming];
      for (const version of new Set(versions)) if (version != null) kept.push({ endpoint, version });
      for (const version of warming) {
        const key = `${endpoint}/${version}`;
        wanted.add(key);
        if (warm.has(key)) continue;
        warm.set(key, "");
        void on.load(endpoint, version).then(
          () => tellWarm(key, "ready"),
          (error: Error) => tellWarm(key, error.message.slice(0, 2_000)),
        );
      }
    }
    for (const key of warm.keys()) if (!wanted.has(key)) warm.delete(key);
    on.keep(kept);
  }
  function tellWarm(key: string, text: string): void {
    if (!warm.has(key)) return;
    warm.set(key, text);
    void ask().catch(() => {});
  }

  /** The newest epoch that was told of. */
  let told = 0;
  async function askOnce(): Promise<void> {
    if (told > known.epoch) await load();
    const began = now();
    const newest = await beat();
    if (newest === known.epoch) {
      asked = began;
      return;
    }
    await load();
    // What was loaded holds when the process has said that it is what it goes by.
    again = true;
  }
  /** Asks until the database says that what is known is the newest. One question at a time; whoever comes meanwhile has one that begins after they came. */
  function ask(): Promise<void> {
    joined = true;
    again = true;
    asking ??= (async () => {
      try {
        while (again && !closed) {
          again = false;
          await askOnce();
        }
      } finally {
        asking = undefined;
      }
    })();
    return asking;
  }
  let failing = false;
  const quietly = (): void =>
    void ask().then(
      () => {
        failing = false;
      },
      (error) => {
        if (!failing && !closed) log.warn({ error }, "what the endpoints answer by could not be asked for; it is tried again until it is");
        failing = true;
      },
    );
  const holds = (): boolean => asked !== undefined && within(asked, leaseMs);

  const timer = setInterval(() => {
    if (joined && (used || asked === undefined || !within(asked, idleMs))) quietly();
    used = false;
  }, renewMs);
  timer.unref();
  notifications.on(channel, (payload) => {
    told = Math.max(told, Number(payload));
    if (joined) quietly();
  });

  /** By turns of the event loop: one that stood still would hear of the time that passed before it hears the answer. */
  async function noAnswer(): Promise<never> {
    for (let waited = 0; waited < answerMs; waited += answerMs / 10) await delay(answerMs / 10, undefined, { ref: false });
    throw new Error(`no answer in ${answerMs} ms`);
  }
  async function whenKnown(endpoint: string): Promise<EndpointState | undefined> {
    // Another change may come while it is asked.
    for (let tries = 0; !holds() && tries < 10; tries++) {
      try {
        await Promise.race([ask(), noAnswer()]);
      } catch (error) {
        log.debug({ error }, "a request waited for what its endpoint answers by");
        throw new ApiError(503, "UNAVAILABLE", "The server can't be sure which version answers now, as its database does not say. Try again.");
      }
    }
    return known.states.get(endpoint);
  }
  async function others(epoch: number): Promise<number> {
    const { rows } = await sql<{ others: number }>`
      select count(*)::int as others from serving_process
      where acknowledged < ${epoch} and seen_at > clock_timestamp() - ${silentMs} * interval '1 millisecond'`.execute(db);
    return rows[0]?.others ?? 0;
  }

  const change: States["change"] = async (transaction) => {
    const { rows } = await sql<{ epoch: number }>`
      with changed as (update serving_epoch set epoch = epoch + 1 returning epoch) select epoch::float8 as epoch, pg_notify(${channel}, epoch::text) from changed`.execute(
      transaction,
    );
    return rows[0]?.epoch ?? 0;
  };
  const taken: States["taken"] = async (epoch) => {
    const committed = performance.now();
    await ask();
    for (let pause = lookMs; (await others(epoch)) > 0 && performance.now() - committed < waitMs; pause = Math.min(2 * pause, 20)) await delay(pause);
  };

  return {
    of(endpoint) {
      used = true;
      return holds() ? known.states.get(endpoint) : whenKnown(endpoint);
    },
    change,
    taken,
    async warm(endpoint, version, { signal, longestMs = warmMs } = {}) {
      const epoch = await db.transaction().execute(async (transaction) => {
        await sql`
          insert into endpoint_state (endpoint, warming) values (${endpoint}, array[${version}::int])
          on conflict (endpoint) do update set warming = array_append(array_remove(endpoint_state.warming, ${version}::int), ${version}::int)`.execute(
          transaction,
        );
        return change(transaction);
      });
      await ask();
      const key = `${endpoint}/${version}`;
      let pause = lookMs;
      for (const end = performance.now() + longestMs; performance.now() < end && !closed && signal?.aborted !== true; await delay(pause)) {
        pause = Math.min(2 * pause, 100);
        const { rows } = await sql<{ told: string | null }>`
          select warm ->> ${key} as told from serving_process
          where (acknowledged < ${epoch} or coalesce(warm ->> ${key}, '') <> 'ready') and seen_at > clock_timestamp() - ${silentMs} * interval '1 millisecond'`.execute(
          db,
        );
        const failed = rows.find((row) => row.told !== null && row.told !== "" && row.told !== "ready");
        if (failed?.told != null) throw new Error(failed.told);
        if (rows.length === 0) return;
      }
    },
    async release(transaction, endpoint, versions) {
      await sql`
        update endpoint_state set warming = array(select one from unnest(warming) one where one <> all(${[...versions]}::int[])) where endpoint = ${endpoint}`.execute(
        transaction,
      );
    },
    async close() {
      closed = true;
      clearInterval(timer);
      await asking?.catch(() => {});
      await sql`delete from serving_process where id = ${id} or seen_at < clock_timestamp() - interval '1 hour'`.execute(db).catch(() => {});
    },
  };
}
