/** The rows of steps as a queue: what is claimed, what ended, what follows. Each write names the attempt and the worker it is of. */
import { durationMs } from "@millrace/sdk";
import type { Artifact, StepState } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { sql, type Transaction } from "kysely";
import type { Platform } from "../platform/index.js";
import type { ModelStep } from "./model.js";
import { isOver } from "./model.js";
import type { FailureCause, ProcessFacts } from "./step.js";

/** What is ready for whoever has room, and `cancel <run>`. */
export const channel = "millrace_steps";
/** A worker that was silent for this long is taken for dead. Longer than anything that blocks a process that is well. */
const silentSeconds = 10;

/** What a step takes of the worker that runs it. */
export interface Demand {
  place: "light" | "process" | "remote" | "none";
  cpus: number;
  memory: number;
  gpus: number;
  backend: string | null;
  grouped: string | null;
  groupLimit: number | null;
}
/** What a worker has. */
export interface Room {
  cpus: number;
  memory: number;
  gpus: number;
  /** Steps of kinds that work within this process, and steps whose processes run elsewhere. */
  light: number;
  remote: number;
}
export interface Claimed extends Demand {
  run: string;
  id: string;
  n: string;
  attempt: number;
  failures: number;
}
/** How an attempt ended. `ready`: it is to be done again, after a pause. */
export interface AttemptEnd {
  id: string;
  attempt: number;
  state: "succeeded" | "refused" | "failed" | "ready";
  outcome: "succeeded" | "refused" | FailureCause;
  outputs: Record<string, Artifact>;
  error: string | null;
  metrics: Record<string, number>;
  modelVersion: string | null;
  pauseMs: number;
  process: ProcessFacts | null;
}

/** Why a step did not run that could have. */
export const skippedFor = "another step failed before it began";

const gibibyte = 1024 ** 3;
export function memoryBytes(text: string | undefined): number | undefined {
  const found = /^([0-9]+)(MiB|GiB)$/.exec(text ?? "");
  if (found === null) return undefined;
  return Number(found[1]) * (found[2] === "GiB" ? gibibyte : 1024 ** 2);
}

export function demandOf(node: NodeSpec): Demand {
  const none: Demand = { place: "light", cpus: 0, memory: 0, gpus: 0, backend: null, grouped: null, groupLimit: null };
  switch (node.kind) {
    case "map":
    case "choose":
    case "approval":
    case "wait_event":
      return { ...none, place: "none" };
    case "python":
    case "command":
    case "typescript": {
      const { resources = {}, backend = "local", group } = node;
      return {
        place: backend === "local" ? "process" : "remote",
        cpus: resources.cpus ?? 1,
        memory: memoryBytes(resources.memory) ?? 0,
        gpus: resources.gpus ?? 0,
        backend,
        grouped: group?.name ?? null,
        groupLimit: group?.limit ?? null,
      };
    }
    default:
      return none;
  }
}

/** A pause before the next attempt: each is `factor` times as long as the one before it. */
export function pauseOf(node: NodeSpec, failures: number): number {
  const { wait = "1s", factor = 2, longest = "5m" } = node.retries ?? { times: 0 };
  return Math.min(durationMs(wait) * factor ** failures, durationMs(longest));
}

export interface WorkerFacts {
  id: string;
  host: string;
  machine: string;
  pid: number;
  backends: string[];
  cpus: number;
  memory: number;
  gpus: number;
}
/** A row to be written: a step that is new or has changed. */
export interface StepWrite {
  step: ModelStep;
  /** It is claimed by the worker at once. */
  claimed: boolean;
}

export function openQueue({ db, clock, events }: Pick<Platform, "db" | "clock" | "events">, worker: WorkerFacts) {
  const told = (run: string, steps: { id: string; state: StepState }[]) =>
    steps.map(({ id, state }) => ({ type: "step.changed", subject: `${run}/${id}`, data: { run, step: id, state } }));

  return {
    /** Of what is ready the first that the worker has room for, as `fits` says one after the other. */
    async claim(room: { total: Room; free: Room }, fits: (row: Claimed) => boolean): Promise<Claimed[]> {
      // Most looks find nothing, and need no transaction to know it.
      const { rows } = await sql`select 1 from pipeline_step where ${readyFor(room)} limit 1`.execute(db);
      if (rows.length === 0) return [];
      return db.transaction().execute((transaction) => claimIn(transaction, room, fits));
    },
    /** The same of one run, in the transaction in which something of it ended. */
    claimOf: (transaction: Transaction<unknown>, run: string, room: { total: Room; free: Room }, fits: (row: Claimed) => boolean): Promise<Claimed[]> =>
      claimIn(transaction, room, fits, run),

    /** In how many milliseconds the first of what waits for its next attempt may begin. */
    async nextDue(): Promise<number | undefined> {
      const { rows } = await sql<{ ms: number | null }>`
        select (extract(epoch from min(due) - clock_timestamp()) * 1000)::double precision as ms
        from pipeline_step where state = 'ready' and due > clock_timestamp()`.execute(db);
      return rows[0]?.ms ?? undefined;
    },

    /** Which of the attempts still counted, and now are over: a worker that lost them changes nothing. */
    async end(transaction: Transaction<unknown>, run: string, ends: AttemptEnd[]): Promise<Set<string>> {
      if (ends.length === 0) return new Set();
      const records = ends.map((end) => ({
        ...{ id: end.id, attempt: end.attempt, state: end.state, outcome: end.outcome, error: end.error, outputs: end.outputs, metrics: end.metrics },
        ...{ model_version: end.modelVersion, pause: end.pauseMs, exit_code: end.process?.exitCode ?? null, signal: end.process?.signal ?? null },
        ...{ host: end.process?.host ?? null, peak: end.process?.peakMemoryBytes ?? null, cpu: end.process?.cpuSeconds ?? null },
        counts: end.state === "ready" && end.outcome !== "lost",
      }));
      const { rows } = await sql<{ id: string; state: StepState }>`
        with ended as (
          select * from jsonb_to_recordset(${json(records)}) as e(id text, attempt int, state text, outcome text, error text, outputs jsonb, metrics jsonb,
            model_version text, pause double precision, exit_code int, signal text, host text, peak double precision, cpu double precision, counts boolean)
        ), written as (
          update pipeline_step s set state = e.state, outputs = e.outputs, error = e.error, metrics = e.metrics, model_version = e.model_version,
            host = coalesce(e.host, s.host), worker = case when e.state = 'ready' then null else s.worker end,
            failures = s.failures + case when e.counts then 1 else 0 end,
            due = case when e.state = 'ready' then clock_timestamp() + e.pause * interval '1 millisecond' end,
            finished_at = case when e.state <> 'ready' then ${clock.now()}::timestamptz end,
            real_finished_at = case when e.state <> 'ready' then clock_timestamp() end,
            usage = case when e.peak is null and e.cpu is null then s.usage else jsonb_build_object('memoryBytes', e.peak, 'cpuSeconds', e.cpu) end
          from ended e where s.run = ${run} and s.id = e.id and s.attempt = e.attempt and s.state = 'running' and s.worker = ${worker.id}
          returning s.id, s.state
        ), attempts as (
          update pipeline_attempt a set finished_at = ${clock.now()}, real_finished_at = clock_timestamp(), outcome = e.outcome, exit_code = e.exit_code,
            signal = e.signal, message = left(e.error, 2000), peak_memory = e.peak, cpu_seconds = e.cpu, host = coalesce(e.host, a.host)
          from ended e join written w on w.id = e.id where a.run = ${run} and a.step = e.id and a.attempt = e.attempt
        )
        select id, state from written`.execute(transaction);
      await events.appendAll(
        transaction,
        told(
          run,
          rows.filter((row) => row.state !== "ready"),
        ),
      );
      return new Set(rows.map((row) => row.id));
    },

    /** What others are to be told of is what this worker has no room for. */
    async write(transaction: Transaction<unknown>, run: string, writes: StepWrite[]): Promise<void> {
      if (writes.length === 0) return;
      const records = writes.map(({ step, claimed }) => {
        const demand = demandOf(step.node);
        const over = isOver(step.state);
        return {
          ...{ id: step.id, position: step.place.position, node: step.node.id, parent: step.parent?.id ?? null, item_index: step.index ?? null },
          ...{ item: step.item ?? null, kind: step.node.kind, state: claimed ? "running" : step.state, attempt: step.attempt },
          ...{ place: demand.place, cpus: demand.cpus, memory: demand.memory, gpus: demand.gpus, backend: demand.backend },
          ...{ grouped: demand.grouped, group_limit: demand.groupLimit, cache_key: step.cacheKey, key_parts: step.parts, cached_from: step.cachedFrom },
          ...{ reason: step.reason, error: step.error, inputs: step.inputs, outputs: step.outputs, metrics: step.metrics, model_version: step.modelVersion },
          ...(step.items === undefined
            ? {}
            : {
                items: step.items.kept ? null : step.items.list,
                items_total: step.items.list.length,
                items_begun: step.items.begun,
                items_done: step.items.done,
              }),
          ...{ asks: step.asks, asks_until: step.asksUntil, worker: claimed ? worker.id : null, host: claimed ? worker.host : null },
          started: claimed || step.items !== undefined || step.state === "asking" || (over && step.state !== "skipped"),
          finished: over && step.state !== "skipped",
        };
      });
      const now = clock.now();
      await sql`
        insert into pipeline_step (run, id, position, node, parent, item_index, item, kind, state, attempt, place, cpus, memory, gpus, backend, grouped,
          group_limit, cache_key, key_parts, cached_from, reason, error, inputs, outputs, metrics, model_version, items, items_total, items_begun, items_done,
          asks, asks_until, worker, host, started_at, real_started_at, finished_at, real_finished_at)
        select ${run}, id, position, node, parent, item_index, item, kind, state, attempt, place, cpus, memory, gpus, backend, grouped,
          group_limit, cache_key, key_parts, cached_from, reason, error, inputs, outputs, metrics, model_version, items, items_total, items_begun, items_done,
          asks, asks_until, worker, host, case when started then ${now}::timestamptz end, case when started then clock_timestamp() end,
          case when finished then ${now}::timestamptz end, case when finished then clock_timestamp() end
        from jsonb_to_recordset(${json(records)}) as s(id text, position int, node text, parent text, item_index int, item jsonb, kind text, state text,
          attempt int, place text, cpus double precision, memory double precision, gpus double precision, backend text, grouped text, group_limit int,
          cache_key text, key_parts jsonb, cached_from text, reason text, error text, inputs jsonb, outputs jsonb, metrics jsonb, model_version text,
          items jsonb, items_total int, items_begun int, items_done int, asks jsonb, asks_until timestamptz, worker text, host text, started boolean, finished boolean)
        on conflict (run, id) do update set state = excluded.state, attempt = excluded.attempt, place = excluded.place, cpus = excluded.cpus,
          memory = excluded.memory, gpus = excluded.gpus, backend = excluded.backend, grouped = excluded.grouped, group_limit = excluded.group_limit,
          cache_key = excluded.cache_key, key_parts = excluded.key_parts, cached_from = excluded.cached_from, reason = excluded.reason, error = excluded.error,
          inputs = excluded.inputs, outputs = excluded.outputs, metrics = excluded.metrics, model_version = excluded.model_version,
          items = coalesce(excluded.items, pipeline_step.items), items_total = excluded.items_total, items_begun = excluded.items_begun,
          items_done = excluded.items_done, asks = excluded.asks, asks_until = excluded.asks_until, worker = excluded.worker, host = excluded.host,
          started_at = coalesce(pipeline_step.started_at, excluded.started_at), real_started_at = coalesce(pipeline_step.real_started_at, excluded.real_started_at),
          finished_at = excluded.finished_at, real_finished_at = excluded.real_finished_at`.execute(transaction);
      const claimed = writes
        .filter((write) => write.claimed)
        .map(({ step }) => ({ run, id: step.id, attempt: step.attempt, backend: demandOf(step.node).backend }));
      const changed = writes.filter(
        ({ step }) => isOver(step.state) || step.state === "asking" || (step.items !== undefined && step.items.begun > 0 && !step.items.kept),
      );
      await events.appendAll(
        transaction,
        told(
          run,
          changed.map(({ step }) => ({ id: step.id, state: step.state })),
        ),
      );
      await begin(transaction, claimed);
      if (writes.some((write) => write.step.state === "ready" && !write.claimed)) await sql`select pg_notify(${channel}, '')`.execute(transaction);
    },

    /** What is ready of a run that failed is begun by nobody. */
    async skipReady(transaction: Transaction<unknown>, run: string): Promise<string[]> {
      const { rows } = await sql<{ id: string; state: StepState }>`
        update pipeline_step set state = 'skipped', due = null, reason = ${skippedFor} where run = ${run} and state = 'ready' returning id, state`.execute(
        transaction,
      );
      await events.appendAll(transaction, told(run, rows));
      return rows.map((row) => row.id);
    },

    /** Says that the worker lives. Answers the attempts that are its own. */
    async beat(): Promise<{ run: string; id: string; attempt: number }[]> {
      await sql`
        insert into pipeline_worker (id, host, machine, pid, backends, cpus, memory, gpus)
        values (${worker.id}, ${worker.host}, ${worker.machine}, ${worker.pid}, ${worker.backends}, ${worker.cpus}, ${worker.memory}, ${worker.gpus})
        on conflict (id) do update set seen_at = clock_timestamp()`.execute(db);
      const { rows } = await sql<{ run: string; id: string; attempt: number }>`
        select run, id, attempt from pipeline_step where state = 'running' and worker = ${worker.id}`.execute(db);
      return rows;
    },
    /** Workers of this machine, whose process ids can be looked at. */
    async neighbours(): Promise<{ id: string; pid: number }[]> {
      const { rows } = await sql<{ id: string; pid: number }>`
        select id, pid from pipeline_worker where machine = ${worker.machine} and id <> ${worker.id}`.execute(db);
      return rows;
    },
    /** Gives back what dead workers had: those that were silent, and those known to be gone. Answers how many steps. */
    async giveBack(gone: string[]): Promise<number> {
      return db.transaction().execute(async (transaction) => {
        const dead = await sql<{ id: string }>`
          delete from pipeline_worker where id in (
            select id from pipeline_worker where id = any(${gone}::text[]) or seen_at < clock_timestamp() - make_interval(secs => ${silentSeconds})
            for update skip locked) returning id`.execute(transaction);
        return giveBackOf(transaction, sql`worker is not null and not exists (select 1 from pipeline_worker w where w.id = worker)`, dead.rows.length > 0);
      });
    },
    /** What this worker has no more, though its rows say so: a claim whose answer was lost, or what it stops in the middle of. */
    async giveUp(attempts: { run: string; id: string; attempt: number }[]): Promise<void> {
      if (attempts.length === 0) return;
      await db
        .transaction()
        .execute((transaction) =>
          giveBackOf(
            transaction,
            sql`worker = ${worker.id} and (run, id, attempt) in (select run, id, attempt from jsonb_to_recordset(${json(attempts)}) as g(run text, id text, attempt int))`,
            true,
          ),
        );
    },
    async leave(): Promise<void> {
      await sql`delete from pipeline_worker where id = ${worker.id}`.execute(db);
    },
    /** Of what runs: now and then, so that whoever looks sees it move. */
    async progress(list: { run: string; id: string; attempt: number; progress: unknown; usage: unknown }[]): Promise<void> {
      await sql`
        update pipeline_step s set progress = coalesce(p.progress, s.progress), usage = coalesce(p.usage, s.usage)
        from jsonb_to_recordset(${json(list)}) as p(run text, id text, attempt int, progress jsonb, usage jsonb)
        where s.run = p.run and s.id = p.id and s.attempt = p.attempt and s.state = 'running' and s.worker = ${worker.id}`.execute(db);
    },
  };

  /** What could begin here: no more rows are looked at, and held, than there is room for. */
  function readyFor({ total, free }: { total: Room; free: Room }) {
    return sql`state = 'ready' and (due is null or due <= clock_timestamp()) and (backend is null or backend = any(${worker.backends}::text[])) and (
      (place = 'light' and ${free.light} >= 1) or (place = 'remote' and ${free.remote} >= 1)
      or (place = 'process' and least(cpus, ${total.cpus}) <= ${free.cpus + slack} and least(memory, ${total.memory}) <= ${free.memory} and gpus <= ${free.gpus + slack}))`;
  }
  async function claimIn(
    transaction: Transaction<unknown>,
    room: { total: Room; free: Room },
    fits: (row: Claimed) => boolean,
    run?: string,
  ): Promise<Claimed[]> {
    const most = Math.min(mostClaimed, Math.ceil(room.free.light + room.free.cpus) + (worker.backends.length > localBackends ? room.free.remote : 0));
    if (most < 1) return [];
    const picked: Claimed[] = [];
    for (let after = "0", pages = 0; pages < mostPages; pages++) {
      const { rows } = await sql<Claimed>`
        select run, id, n::text, attempt + 1 as attempt, failures, place, cpus, memory, gpus, backend, grouped, group_limit as "groupLimit"
        from pipeline_step where ${readyFor(room)} and pipeline_step.n > ${after}::bigint ${run === undefined ? sql`` : sql`and run = ${run}`}
        order by pipeline_step.n limit ${most} for update skip locked`.execute(transaction);
      let skipped = 0;
      for (const row of rows) {
        if (row.grouped !== null && !(await groupHasRoom(transaction, row, picked))) skipped += 1;
        else if (fits(row)) picked.push(row);
      }
      after = rows.at(-1)?.n ?? after;
      // Only where a group is full may what stands behind it have a chance.
      if (skipped === 0 || rows.length < most) break;
    }
    if (picked.length === 0) return [];
    await sql`
      update pipeline_step s set state = 'running', attempt = p.attempt, worker = ${worker.id}, host = ${worker.host}, started_at = ${clock.now()},
        real_started_at = clock_timestamp(), finished_at = null, real_finished_at = null, progress = null, usage = null, due = null
      from jsonb_to_recordset(${json(picked)}) as p(run text, id text, attempt int) where s.run = p.run and s.id = p.id`.execute(transaction);
    await begin(transaction, picked);
    return picked;
  }

  async function begin(transaction: Transaction<unknown>, list: { run: string; id: string; attempt: number; backend: string | null }[]): Promise<void> {
    if (list.length === 0) return;
    await sql`
      insert into pipeline_attempt (run, step, attempt, worker, host, backend, started_at)
      select run, id, attempt, ${worker.id}, ${worker.host}, backend, ${clock.now()}
      from jsonb_to_recordset(${json(list)}) as a(run text, id text, attempt int, backend text)`.execute(transaction);
    await events.appendAll(
      transaction,
      list.map(({ run, id }) => ({ type: "step.changed", subject: `${run}/${id}`, data: { run, step: id, state: "running" } })),
    );
  }

  async function giveBackOf(transaction: Transaction<unknown>, which: ReturnType<typeof sql>, look: boolean): Promise<number> {
    if (!look) {
      const { rows } = await sql`select 1 from pipeline_step where state = 'running' and ${which} limit 1`.execute(transaction);
      if (rows.length === 0) return 0;
    }
    const { rows } = await sql<{ run: string; id: string; attempt: number }>`
      with lost as (select run, id from pipeline_step where state = 'running' and ${which} for update skip locked),
      given as (
        update pipeline_step s set state = 'ready', worker = null, due = null, progress = null from lost where s.run = lost.run and s.id = lost.id
        returning s.run, s.id, s.attempt
      ), attempts as (
        update pipeline_attempt a set outcome = 'lost', finished_at = ${clock.now()}, real_finished_at = clock_timestamp()
        from given g where a.run = g.run and a.step = g.id and a.attempt = g.attempt and a.outcome is null
      )
      select * from given`.execute(transaction);
    if (rows.length > 0) await sql`select pg_notify(${channel}, '')`.execute(transaction);
    return rows.length;
  }

  /** Counted under a lock that all workers share, so that no two of them see the same room. */
  async function groupHasRoom(transaction: Transaction<unknown>, row: Claimed, picked: Claimed[]): Promise<boolean> {
    await sql`select pg_advisory_xact_lock(hashtext('pipeline_group'), 0)`.execute(transaction);
    const { rows } = await sql<{ running: number }>`
      select count(*)::int as running from pipeline_step where state = 'running' and grouped = ${row.grouped}`.execute(transaction);
    return (rows[0]?.running ?? 0) + picked.filter((one) => one.grouped === row.grouped).length < (row.groupLimit ?? 1);
  }
}
export type Queue = ReturnType<typeof openQueue>;

const mostClaimed = 64;
const mostPages = 20;
/** Of sums of fractions. */
const slack = 1e-9;
/** Processes of this machine, and its warm ones for TypeScript. */
const localBackends = 2;
export const json = (value: unknown) => sql`${JSON.stringify(value)}::jsonb`;
