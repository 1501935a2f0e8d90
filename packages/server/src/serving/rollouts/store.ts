import type { Rollout, RolloutEvent, RolloutStep } from "@millrace/sdk/api";
import type { RolloutSpec } from "@millrace/sdk/spec";
import { sql, type Transaction } from "kysely";
import type { Database } from "../../platform/index.js";
import type { Slot } from "./assignment.js";
import type { Sketch } from "./sketch.js";

type Db = Database | Transaction<unknown>;

/** `switch`: all traffic at once because somebody said so, over as soon as it begins. */
export type Plan = RolloutSpec | { kind: "switch" };
export interface RolloutRow {
  id: string;
  endpoint: string;
  kind: Rollout["kind"];
  plan: Plan;
  candidate: number;
  stable: number | null;
  slots: Slot[];
  state: Rollout["state"];
  weight: number;
  step: number;
  begun_by: string;
  started_at: Date;
  step_started_at: Date;
  paused_at: Date | null;
  finished_at: Date | null;
  reason: string | null;
  result: Rollout["result"];
  requests: number;
  errors: number;
}
const columns = sql`
  id, endpoint, kind, plan, candidate, stable, slots, state, weight, step, begun_by, started_at, step_started_at, paused_at, finished_at, reason, result,
  (select coalesce(sum(t.requests), 0)::float8 from rollout_tally t where t.rollout = rollout.id and t.version is distinct from rollout.stable) as requests,
  (select coalesce(sum(t.errors), 0)::float8 from rollout_tally t where t.rollout = rollout.id and t.version is distinct from rollout.stable) as errors`;

export async function runningRollouts(db: Db): Promise<RolloutRow[]> {
  const { rows } = await sql<RolloutRow>`select ${columns} from rollout where state = 'running'`.execute(db);
  return rows;
}
export async function runningRollout(db: Db, endpoint: string): Promise<RolloutRow | undefined> {
  const { rows } = await sql<RolloutRow>`select ${columns} from rollout where state = 'running' and endpoint = ${endpoint}`.execute(db);
  return rows[0];
}
export async function findRollout(db: Db, endpoint: string, id: string): Promise<RolloutRow | undefined> {
  const { rows } = await sql<RolloutRow>`select ${columns} from rollout where id = ${id} and endpoint = ${endpoint}`.execute(db);
  return rows[0];
}
export async function rolloutExists(db: Db, id: string): Promise<boolean> {
  return (await sql`select 1 from rollout where id = ${id}`.execute(db)).rows.length > 0;
}
export async function listRollouts(db: Db, endpoint: string, limit: number): Promise<RolloutRow[]> {
  const { rows } = await sql<RolloutRow>`
    select ${columns} from rollout where endpoint = ${endpoint} order by ordinal desc limit ${limit}`.execute(db);
  return rows;
}
export async function insertRollout(transaction: Transaction<unknown>, row: Omit<RolloutRow, "requests" | "errors" | "paused_at" | "result">): Promise<void> {
  await sql`
    insert into rollout (id, endpoint, kind, plan, candidate, stable, slots, state, weight, step, begun_by, started_at, step_started_at, finished_at, reason)
    values (${row.id}, ${row.endpoint}, ${row.kind}, ${JSON.stringify(row.plan)}::jsonb, ${row.candidate}, ${row.stable}, ${JSON.stringify(row.slots)}::jsonb, ${row.state},
      ${row.weight}, ${row.step}, ${row.begun_by}, ${row.started_at}, ${row.step_started_at}, ${row.finished_at}, ${row.reason})`.execute(transaction);
}
/** Answers whether it was running until now. `candidate`: the version that won, of several. */
export async function finishRollout(
  transaction: Transaction<unknown>,
  { id, candidate }: { id: string; candidate: number },
  state: Rollout["state"],
  reason: string,
  now: Date,
): Promise<boolean> {
  const { rows } = await sql`
    update rollout set state = ${state}, reason = ${reason}, finished_at = ${now}, paused_at = null, candidate = ${candidate}
    where id = ${id} and state = 'running' returning id`.execute(transaction);
  return rows.length > 0;
}
/** Answers whether it was running at the step until now. */
export async function moveRollout(
  transaction: Transaction<unknown>,
  { id, step }: { id: string; step: number },
  to: { step: number; weight: number; slots: Slot[] },
  now: Date,
): Promise<boolean> {
  const { rows } = await sql`
    update rollout set step = ${to.step}, weight = ${to.weight}, slots = ${JSON.stringify(to.slots)}::jsonb, step_started_at = ${now}
    where id = ${id} and state = 'running' and step = ${step} returning id`.execute(transaction);
  return rows.length > 0;
}
/** Answers whether that changed anything. */
export async function pauseRollout(transaction: Transaction<unknown>, id: string, at: Date | null): Promise<boolean> {
  const { rows } = await sql`
    update rollout set paused_at = ${at} where id = ${id} and state = 'running' and (paused_at is null) = ${at !== null} returning id`.execute(transaction);
  return rows.length > 0;
}
/** Answers whether it had none before. */
export async function setResult(transaction: Transaction<unknown>, id: string, result: Rollout["result"]): Promise<boolean> {
  const { rows } = await sql`
    update rollout set result = ${JSON.stringify(result)}::jsonb where id = ${id} and state = 'running' and result is null returning id`.execute(transaction);
  return rows.length > 0;
}

/** What a version did in a rollout. */
export interface Tally {
  requests: number;
  errors: number;
  rows: number;
  latency: Sketch;
  predictions: Sketch;
  compared: number;
  agreed: number;
  difference: number;
  dropped: number;
}
export const noTally = (): Tally => ({ requests: 0, errors: 0, rows: 0, latency: {}, predictions: {}, compared: 0, agreed: 0, difference: 0, dropped: 0 });

/** One statement, whoever else adds: the bins are summed where they lie. */
export async function addTally(db: Db, rollout: string, version: number, tally: Tally): Promise<void> {
  const sum = (column: string) => sql`(
    select coalesce(jsonb_object_agg(bin, n), '{}') from (
      select key as bin, sum(value::float8) as n from (
        select * from jsonb_each_text(rollout_tally.${sql.ref(column)}) union all select * from jsonb_each_text(excluded.${sql.ref(column)})) both_of group by key) summed)`;
  await sql`
    insert into rollout_tally (rollout, version, requests, errors, rows, latency, predictions, compared, agreed, difference, dropped)
    select ${rollout}, ${version}, ${tally.requests}, ${tally.errors}, ${tally.rows}, ${JSON.stringify(tally.latency)}::jsonb,
      ${JSON.stringify(tally.predictions)}::jsonb, ${tally.compared}, ${tally.agreed}, ${tally.difference}, ${tally.dropped}
    where exists (select 1 from rollout where id = ${rollout})
    on conflict (rollout, version) do update set requests = rollout_tally.requests + excluded.requests, errors = rollout_tally.errors + excluded.errors,
      rows = rollout_tally.rows + excluded.rows, latency = ${sum("latency")}, predictions = ${sum("predictions")},
      compared = rollout_tally.compared + excluded.compared, agreed = rollout_tally.agreed + excluded.agreed,
      difference = rollout_tally.difference + excluded.difference, dropped = rollout_tally.dropped + excluded.dropped`.execute(db);
}
/** By version. */
export async function tallies(db: Db, rollout: string): Promise<Map<number, Tally>> {
  const { rows } = await sql<Tally & { version: number }>`
    select version, requests::float8, errors::float8, rows::float8, latency, predictions, compared::float8, agreed::float8, difference, dropped::float8
    from rollout_tally where rollout = ${rollout}`.execute(db);
  return new Map(rows.map(({ version, ...tally }) => [version, tally]));
}

interface EventRow {
  id: string;
  endpoint: string;
  rollout: string | null;
  kind: RolloutEvent["kind"];
  at: Date;
  by: string;
  version: number | null;
  weight: number | null;
  reason: string;
  numbers: Record<string, unknown>;
}
export async function insertEvent(transaction: Transaction<unknown>, event: Omit<EventRow, "id">): Promise<void> {
  await sql`
    insert into rollout_event (endpoint, rollout, kind, at, by, version, weight, reason, numbers)
    values (${event.endpoint}, ${event.rollout}, ${event.kind}, ${event.at}, ${event.by}, ${event.version}, ${event.weight}, ${event.reason},
      ${JSON.stringify(event.numbers)}::jsonb)`.execute(transaction);
}
/** Newest first. */
export async function listEvents(
  db: Db,
  endpoint: string,
  { limit, after, rollout }: { limit: number; after?: string | undefined; rollout?: string | undefined },
): Promise<RolloutEvent[]> {
  const { rows } = await sql<EventRow>`
    select id::text, endpoint, rollout, kind, at, by, version, weight, reason, numbers from rollout_event
    where endpoint = ${endpoint} ${after === undefined ? sql`` : sql`and id < ${after}::bigint`} ${rollout === undefined ? sql`` : sql`and rollout = ${rollout}`}
    order by rollout_event.id desc limit ${limit}`.execute(db);
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}

export function toRollout(row: RolloutRow): Rollout {
  const arms = new Map<number, number>();
  for (const { version, from, to } of row.slots) arms.set(version, (arms.get(version) ?? 0) + to - from);
  return {
    id: row.id,
    endpoint: row.endpoint,
    kind: row.kind,
    candidate: row.candidate,
    stable: row.stable,
    arms: [...arms].map(([version, weight]) => ({ version, weight: Number(weight.toFixed(9)) })),
    state: row.state,
    weight: row.weight,
    step: row.step,
    steps: stepsOf(row.plan).length,
    by: row.begun_by,
    startedAt: row.started_at.toISOString(),
    stepStartedAt: row.step_started_at.toISOString(),
    pausedAt: row.paused_at?.toISOString() ?? null,
    finishedAt: row.finished_at?.toISOString() ?? null,
    reason: row.reason,
    result: row.result,
    requests: row.requests,
    errors: row.errors,
  };
}

/** What a plan does in turn; of one that has no time, nothing. */
export function stepsOf(plan: Plan): RolloutStep[] {
  switch (plan.kind) {
    case "canary":
      return plan.steps.map((step) =>
        typeof step === "number"
          ? { weight: step, copied: 0, each: plan.each, hold: false }
          : { weight: step.weight, copied: 0, each: step.each ?? plan.each, hold: step.hold === true },
      );
    case "blue_green":
      return [{ weight: 1, copied: 0, each: plan.watch, hold: false }];
    case "shadow":
      return [{ weight: 0, copied: plan.share, each: plan.each, hold: plan.passed === "wait" }];
    default:
      return [];
  }
}
