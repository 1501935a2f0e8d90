/** Which keys the runs of an experiment have, and which values: what a table can show, and what a filter can ask for. */
import type { RunColumns, RunValues } from "@millrace/sdk/api";
import { sql } from "kysely";
import { invalidValue, type Sql } from "../mlflow/index.js";
import type { Database, Platform } from "../platform/index.js";
import { within } from "./bounded.js";
import { experimentNumber, findExperiment } from "./experiments.js";
import type { Settling } from "./settling.js";
import type { RunKeys } from "./table-types.js";

/** Params and tags have no index by experiment: at first some runs are looked at, then all of them, once in a while and behind the answers. */
const sample = { newest: 2_000, oldest: 500 };
const keep = { sampleMs: 10_000, wholeMs: 600_000, experiments: 1_000 };
const waits = { sampleMs: 10_000, wholeMs: 60_000 };
const most = { keys: 5_000, counted: 10_000, values: 50 };

type Keys = Pick<RunColumns, "params" | "tags" | "runs">;
interface Known {
  sampled: { at: number; found: Promise<RunColumns> } | undefined;
  whole: { at: number; found: Keys | undefined } | undefined;
}

export function createRunKeys({ db }: Pick<Platform, "db">, { settle }: Pick<Settling, "settle">): RunKeys {
  const known = new Map<number, Known>();
  let looking: Promise<unknown> = Promise.resolve();

  function lookAtAll(experiment: number, of: Known): void {
    // Not asked again meanwhile, nor soon after it failed.
    const mine = { at: performance.now(), found: of.whole?.found };
    of.whole = mine;
    // One experiment after the other: it is nobody's answer.
    looking = looking
      .then(() => within(db, waits.wholeMs, (transaction) => keysOf(transaction, sql`select id from tracking_run where experiment_id = ${experiment}`)))
      .then(
        (found) => {
          mine.found = found ?? mine.found;
        },
        () => {},
      );
  }

  return {
    async columns(id) {
      const experiment = experimentNumber(id);
      const of = known.get(experiment) ?? { sampled: undefined, whole: undefined };
      known.delete(experiment);
      known.set(experiment, of);
      const [oldest] = known.keys();
      if (known.size > keep.experiments && oldest !== undefined) known.delete(oldest);
      const now = performance.now();
      if (of.sampled === undefined || now - of.sampled.at > keep.sampleMs) {
        const found = findExperiment(db, { id })
          .then(settle)
          .then(() => sampled(db, experiment));
        of.sampled = { at: now, found };
        found.catch(() => known.delete(experiment));
      }
      const told = await of.sampled.found;
      if (told.complete) return told;
      if (of.whole === undefined || now - of.whole.at > keep.wholeMs) lookAtAll(experiment, of);
      const whole = of.whole?.found;
      if (whole === undefined) return told;
      return { ...told, ...whole, params: { ...told.params, ...whole.params }, tags: { ...told.tags, ...whole.tags }, complete: true };
    },
    async values(id, key, search) {
      const experiment = experimentNumber(id);
      await findExperiment(db, { id });
      await settle();
      const found = await within(db, waits.sampleMs, (transaction) => valuesOf(transaction, experiment, key, search));
      return found ?? { values: [] };
    },
  };
}

const newest = (experiment: number): Sql =>
  sql`select id from tracking_run where experiment_id = ${experiment} order by start_time desc, id limit ${sample.newest}`;

async function sampled(db: Database, experiment: number): Promise<RunColumns> {
  const some = sql`(${newest(experiment)}) union (select id from tracking_run where experiment_id = ${experiment} order by start_time, id desc limit ${sample.oldest})`;
  const found = await within(db, waits.sampleMs, async (transaction) => {
    // Of each key the index is entered once, however many runs have it.
    const { rows: metrics } = await sql<{ key: string; runs: number }>`
      with recursive k as (
        (select key, 1 as n from tracking_latest_metric where experiment_id = ${experiment} order by key limit 1)
        union all
        select (select m.key from tracking_latest_metric m where m.experiment_id = ${experiment} and m.key > k.key order by m.key limit 1), n + 1
        from k where k.key is not null and n < ${most.keys}
      )
      select k.key, (select count(*)::int from (select 1 from tracking_latest_metric m where m.experiment_id = ${experiment} and m.key = k.key limit ${most.counted}) x) as runs
      from k where k.key is not null`.execute(transaction);
    const { rows: beside } = await sql<{ datasets: boolean; models: boolean; more: boolean }>`
      select exists (select 1 from tracking_dataset where experiment_id = ${experiment}) as datasets,
        exists (select 1 from logged_model where experiment_id = ${experiment} and lifecycle_stage = 'active') as models,
        exists (select 1 from tracking_run where experiment_id = ${experiment} offset ${sample.newest + sample.oldest}) as more`.execute(transaction);
    const keys = await keysOf(transaction, some);
    const { datasets = false, models = false, more = false } = beside[0] ?? {};
    return { metrics: Object.fromEntries(metrics.map(({ key, runs }) => [key, runs])), ...keys, complete: !more, datasets, models };
  });
  return found ?? { metrics: {}, params: {}, tags: {}, runs: 0, complete: false, datasets: false, models: false };
}

async function keysOf(db: Database, runs: Sql): Promise<Keys> {
  const { rows } = await sql<{ kind: string; key: string; runs: number }>`
    with looked as materialized (${runs})
    select 'runs' as kind, '' as key, count(*)::int as runs from looked
    union all (select 'params', p.key, count(*)::int from looked r join tracking_param p on p.run_id = r.id group by p.key order by 3 desc limit ${most.keys})
    union all (select 'tags', t.key, count(*)::int from looked r join tracking_tag t on t.run_id = r.id group by t.key order by 3 desc limit ${most.keys})`.execute(
    db,
  );
  const of = (kind: string) => Object.fromEntries(rows.filter((row) => row.kind === kind).map(({ key, runs: count }) => [key, count]));
  return { params: of("params"), tags: of("tags"), runs: rows.find((row) => row.kind === "runs")?.runs ?? 0 };
}

const attributes: Record<string, Sql> = {
  run_name: sql`r.name`,
  user_id: sql`r.user_id`,
  status: sql`r.status`,
  run_id: sql`r.id`,
  lifecycle_stage: sql`r.lifecycle_stage`,
};
const datasets: Record<string, Sql> = { name: sql`d.name`, digest: sql`d.digest`, context: sql`(i.tags ->> 'mlflow.data.context')` };

async function valuesOf(db: Database, experiment: number, key: string, search: string): Promise<RunValues> {
  const at = key.indexOf(".");
  const [kind, name] = [key.slice(0, at), key.slice(at + 1)];
  const like = `%${search.replaceAll(/[\\%_]/g, "\\$&")}%`;
  const frequent = async (value: Sql, from: Sql): Promise<RunValues> => {
    const { rows } = await sql<{ value: string }>`
      with looked as materialized (select * from tracking_run where id in (${newest(experiment)}))
      select left(${value}, 500) as value from ${from} and ${value} ilike ${like} group by 1 order by count(*) desc, 1 limit ${most.values}`.execute(db);
    return { values: rows.map((row) => row.value) };
  };
  if (kind === "metrics") {
    const edge = (direction: Sql) =>
      sql`(select value from tracking_latest_metric where experiment_id = ${experiment} and key = ${name} and value <> 'NaN' order by value ${direction} limit 1)`;
    const { rows } = await sql<{ min: number | null; max: number | null }>`select ${edge(sql`asc`)} as min, ${edge(sql`desc`)} as max`.execute(db);
    const { min, max } = rows[0] ?? {};
    return {
      values: [],
      ...(typeof min === "number" && typeof max === "number" && Number.isFinite(min) && Number.isFinite(max) ? { range: { min, max } } : {}),
    };
  }
  if (kind === "params" || kind === "tags") {
    const table = sql.raw(kind === "params" ? "tracking_param" : "tracking_tag");
    return frequent(sql`x.value`, sql`looked r join ${table} x on x.run_id = r.id where x.key = ${name}`);
  }
  const attribute = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
  if (kind === "attributes" && attribute !== undefined) return frequent(attribute, sql`looked r where true`);
  const dataset = Object.hasOwn(datasets, name) ? datasets[name] : undefined;
  if (kind === "datasets" && dataset !== undefined)
    return frequent(dataset, sql`looked r join tracking_input i on i.run_id = r.id join tracking_dataset d on d.id = i.dataset_id where true`);
  if (kind === "attributes") return { values: [] };
  throw invalidValue(
    `"${key.slice(0, 200)}" has no values to choose from: ask for params.<key>, tags.<key>, metrics.<key>, attributes.<name> or datasets.<name>.`,
  );
}
