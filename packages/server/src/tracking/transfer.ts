/** Moving in and out: batches of records with their ids. A batch is taken as a whole or not at all; taken again, it changes nothing. */
import type { ExperimentPlace, MovedExperiment, MovedFile, MovedLoggedModel, MovedRun, MovedSeries, RunMark, TransferCounts } from "@millrace/sdk/api";
import { type RawBuilder, sql, type Transaction } from "kysely";
import { checkKey, type Page } from "../mlflow/index.js";
import { conflict, type Database, float8s, int8s, invalid, notFound, type Platform, texts } from "../platform/index.js";
import { keepLatest } from "./settling.js";

export interface TrackingTransfer {
  /**
   * An experiment that came before is found again. One whose name is taken is joined with the one of that name if that is empty,
   * and is otherwise called `<name> (imported)`; one whose id is taken gets another. Default stays Default.
   */
  takeExperiments(experiments: MovedExperiment[]): Promise<ExperimentPlace[]>;
  /** Answers the marks of those that were there before. What changed at the source changes here; what was added here stays. */
  takeRuns(runs: MovedRun[]): Promise<RunMark[]>;
  markRuns(marks: RunMark[]): Promise<void>;
  takeSeries(series: MovedSeries[]): Promise<void>;
  takeLoggedModels(models: MovedLoggedModel[]): Promise<void>;

  counts(): Promise<Pick<TransferCounts, "experiments" | "runs" | "metrics" | "loggedModels" | "artifacts" | "artifactBytes">>;
  experiments(page: After): Promise<Page<MovedExperiment & { artifactLocation: string }>>;
  runs(page: After): Promise<Page<MovedRun & { points: number }>>;
  /** Points in the order of run, key, step; of all runs or of some. */
  series(page: After, runs?: string[]): Promise<Page<MovedSeries>>;
  loggedModels(page: After): Promise<Page<MovedLoggedModel>>;
  /** All files whose path is below a folder; of the root all. */
  artifacts(folder: string, page: After): Promise<Page<MovedFile>>;
}
export interface After {
  limit: number;
  after: string | undefined;
}
type Tx = Transaction<unknown>;

const longestKeptId = 14;

export function createTrackingTransfer({ db, clock }: Pick<Platform, "db" | "clock">): TrackingTransfer {
  const inTransaction = <T>(work: (transaction: Tx) => Promise<T>): Promise<T> => db.transaction().execute(work);
  return {
    takeExperiments: (experiments) =>
      inTransaction(async (transaction) => {
        // Two that bring experiments at once would both find a name free.
        await sql`select pg_advisory_xact_lock(hashtext('millrace.transfer'))`.execute(transaction);
        const places: ExperimentPlace[] = [];
        for (const experiment of experiments) places.push(await takeExperiment(transaction, experiment));
        return places;
      }),
    takeRuns: (runs) =>
      inTransaction(async (transaction) => {
        checkRuns(runs);
        const sorted = byId(runs);
        await mustHaveExperiments(transaction, sorted);
        const marks = await upsertRuns(transaction, sorted, clock.now().getTime());
        await mustNotBeFreed(transaction, sorted);
        await upsertRunValues(transaction, sorted);
        await upsertInputs(transaction, sorted);
        return marks;
      }),
    async markRuns(marks) {
      await sql`
        update tracking_run r set import_mark = t.mark
        from unnest(${marks.map((m) => m.id)}::text[], ${marks.map((m) => m.mark)}::text[]) as t (id, mark) where r.id = t.id`.execute(db);
    },
    takeSeries: (series) => inTransaction((transaction) => takeSeries(transaction, series)),
    takeLoggedModels: (models) => inTransaction((transaction) => takeLoggedModels(transaction, byId(models))),
    ...createOutgoing(db),
  };
}

// --------------------------------------------------------------------------------------- experiments
async function takeExperiment(transaction: Tx, experiment: MovedExperiment): Promise<ExperimentPlace> {
  const place = await placeOf(transaction, experiment);
  // The source's state, whether it was there before or not. Default is everybody's, and is not deleted or renamed by what comes.
  await sql`
    update experiment set tags = tags || ${JSON.stringify(experiment.tags)}::jsonb,
      lifecycle_stage = case when id = 0 then lifecycle_stage else ${experiment.stage} end,
      deleted_time = case when id = 0 or ${experiment.stage} = 'active' then null else coalesce(deleted_time, ${experiment.updateTime}::bigint) end,
      last_update_time = greatest(last_update_time, ${experiment.updateTime}::bigint)
    where id = ${place.id}::bigint`.execute(transaction);
  return place;
}

async function placeOf(transaction: Tx, experiment: MovedExperiment): Promise<ExperimentPlace> {
  const origin = `${experiment.id}@${experiment.creationTime}`;
  const found = (condition: RawBuilder<unknown>) =>
    sql<ExperimentPlace & { empty: boolean }>`
      select ${experiment.id} as "from", e.id::text, e.name, e.artifact_location as "artifactLocation",
        not exists (select 1 from tracking_run where experiment_id = e.id) and not exists (select 1 from logged_model where experiment_id = e.id) as empty
      from experiment e where ${condition}`
      .execute(transaction)
      .then(({ rows }) => rows[0]);
  const told = ({ from, id, name, artifactLocation }: ExperimentPlace): ExperimentPlace => ({ from, id, name, artifactLocation });

  const before = await found(experiment.id === "0" ? sql`e.id = 0` : sql`e.imported_from = ${origin}`);
  if (before !== undefined) return told(before);
  const named = await found(sql`e.name = ${experiment.name}`);
  if (named?.empty && named.id !== "0") {
    const { rows } = await sql`update experiment set imported_from = ${origin} where id = ${named.id}::bigint and imported_from is null returning id`.execute(
      transaction,
    );
    if (rows.length > 0) return told(named);
  }
  let name = experiment.name;
  for (let n = 1; (await found(sql`e.name = ${name}`)) !== undefined; n++) name = `${experiment.name.slice(0, 480)} (imported${n === 1 ? "" : ` ${n}`})`;
  const free = experiment.id.length <= longestKeptId && (await found(sql`e.id = ${experiment.id}::bigint`)) === undefined;
  const sequence = sql`pg_get_serial_sequence('experiment', 'id')`;
  const wanted = free ? sql`${experiment.id}::bigint` : sql`nextval(${sequence})`;
  const { rows } = await sql<{ id: string }>`
    with next as (select ${wanted} as id)
    insert into experiment (id, name, artifact_location, creation_time, last_update_time, imported_from)
    select id, ${name}, 'mlflow-artifacts:/' || id, ${experiment.creationTime}, ${experiment.updateTime}, ${origin} from next returning id::text`.execute(
    transaction,
  );
  // The next one that is made here comes after it.
  if (free)
    await sql`select setval(${sequence}, greatest((select max(id) from experiment), pg_sequence_last_value(${sequence}::regclass), 1))`.execute(transaction);
  const made = await found(sql`e.id = ${rows[0]?.id}::bigint`);
  if (made === undefined) throw new Error("an experiment that was made is not there");
  return told(made);
}

// ---------------------------------------------------------------------------------------------- runs
function checkRuns(runs: MovedRun[]): void {
  for (const run of runs) {
    for (const key of Object.keys(run.params)) checkKey(key, `param of the run ${run.id}`);
    for (const key of Object.keys(run.tags)) checkKey(key, `tag of the run ${run.id}`);
  }
}
/** In one order, so that two writers never wait for each other; the last of equal ids counts. */
const byId = <T extends { id: string }>(list: T[]): T[] => [...new Map(list.map((one) => [one.id, one])).values()].sort((a, b) => (a.id < b.id ? -1 : 1));

async function mustHaveExperiments(transaction: Tx, records: { experiment: string }[]): Promise<void> {
  const ids = [...new Set(records.map((record) => record.experiment))];
  const { rows } = await sql<{ id: string }>`select id::text from experiment where id = any(${ids}::bigint[]) for key share`.execute(transaction);
  const there = new Set(rows.map(({ id }) => id));
  const absent = ids.find((id) => !there.has(String(Number(id))));
  if (absent !== undefined) throw notFound("experiment", absent);
}

async function upsertRuns(transaction: Tx, runs: MovedRun[], now: number): Promise<RunMark[]> {
  const of = (pick: (run: MovedRun) => string | number | null) => runs.map(pick);
  const { rows } =
    await sql<RunMark>`select id, import_mark as mark from tracking_run where id = any(${of((r) => r.id)}::text[]) and import_mark is not null`.execute(
      transaction,
    );
  // What went with its experiment comes back with it: both have one time. What was deleted nobody knows when, was deleted now.
  await sql`
    insert into tracking_run as r (id, experiment_id, name, user_id, status, start_time, end_time, lifecycle_stage, deleted_time)
    select t.id, t.experiment_id, t.name, t.user_id, t.status, t.start_time, t.end_time, t.stage, case when t.stage = 'deleted' then
      case when t.deleted_time is null or t.deleted_time >= e.deleted_time then coalesce(e.deleted_time, t.deleted_time, ${now}::bigint) else t.deleted_time end end
    from unnest(${of((r) => r.id)}::text[], ${of((r) => r.experiment)}::bigint[], ${of((r) => r.name)}::text[], ${of((r) => r.user)}::text[],
      ${of((r) => r.status)}::text[], ${of((r) => r.startTime)}::bigint[], ${of((r) => r.endTime)}::bigint[], ${of((r) => r.stage)}::text[],
      ${of((r) => r.deletedTime)}::bigint[]) as t (id, experiment_id, name, user_id, status, start_time, end_time, stage, deleted_time)
    join experiment e on e.id = t.experiment_id order by t.id
    on conflict (id) do update set name = excluded.name, status = excluded.status, end_time = excluded.end_time,
      lifecycle_stage = excluded.lifecycle_stage, deleted_time = case when excluded.lifecycle_stage = 'deleted' then coalesce(r.deleted_time, excluded.deleted_time) end
    where (r.name, r.status, r.end_time, r.lifecycle_stage) is distinct from (excluded.name, excluded.status, excluded.end_time, excluded.lifecycle_stage)`.execute(
    transaction,
  );
  return rows;
}

/** Looked at when the runs are there: a collection that took them away before has noted it by then, and takes their points yet. */
async function mustNotBeFreed(transaction: Tx, runs: MovedRun[]): Promise<void> {
  const { rows } = await sql<{ id: string }>`select id from freed_run where id = any(${runs.map(({ id }) => id)}::text[]) limit 1`.execute(transaction);
  if (rows[0] !== undefined)
    throw conflict(`The run ${rows[0].id} was deleted here and is just being freed. Let \`millrace gc\` end, then repeat the command.`);
}

async function upsertRunValues(transaction: Tx, runs: MovedRun[]): Promise<void> {
  const columns = (values: (run: MovedRun) => Record<string, string>) => {
    const rows = runs.flatMap((run) => Object.entries(values(run)).map(([key, value]) => ({ run: run.id, key, value })));
    rows.sort((a, b) => (a.run === b.run ? (a.key < b.key ? -1 : 1) : a.run < b.run ? -1 : 1));
    return sql`unnest(${rows.map((r) => r.run)}::text[], ${rows.map((r) => r.key)}::text[], ${rows.map((r) => r.value)}::text[])`;
  };
  await sql`insert into tracking_param (run_id, key, value) select * from ${columns((run) => run.params)} on conflict do nothing`.execute(transaction);
  await sql`
    insert into tracking_tag as t (run_id, key, value) select * from ${columns((run) => ({ ...run.tags, "mlflow.runName": run.name }))}
    on conflict (run_id, key) do update set value = excluded.value where t.value <> excluded.value`.execute(transaction);
}

async function upsertInputs(transaction: Tx, runs: MovedRun[]): Promise<void> {
  const inputs = runs.flatMap((run) => run.datasets.map((dataset) => ({ run: run.id, ...dataset })));
  if (inputs.length > 0) {
    const of = (pick: (input: (typeof inputs)[number]) => string | null) => inputs.map(pick);
    const told = sql`unnest(${of((i) => i.run)}::text[], ${of((i) => i.name)}::text[], ${of((i) => i.digest)}::text[], ${of((i) => i.sourceType)}::text[],
      ${of((i) => i.source)}::text[], ${of((i) => i.schema)}::text[], ${of((i) => i.profile)}::text[], ${of((i) => JSON.stringify(i.tags))}::jsonb[])
      as t (run_id, name, digest, source_type, source, schema, profile, tags)`;
    await sql`
      insert into tracking_dataset (experiment_id, name, digest, source_type, source, schema, profile)
      select distinct on (r.experiment_id, t.name, t.digest) r.experiment_id, t.name, t.digest, t.source_type, t.source, t.schema, t.profile
      from ${told} join tracking_run r on r.id = t.run_id order by 1, 2, 3 on conflict do nothing`.execute(transaction);
    await sql`
      insert into tracking_input (run_id, dataset_id, tags)
      select distinct on (r.id, d.id) r.id, d.id, t.tags from ${told} join tracking_run r on r.id = t.run_id
      join tracking_dataset d on d.experiment_id = r.experiment_id and d.name = t.name and d.digest = t.digest order by 1, 2 on conflict do nothing`.execute(
      transaction,
    );
  }
  const models = runs.flatMap((run) => [
    ...run.modelInputs.map((id) => ({ run: run.id, id, role: "input", step: 0 })),
    ...run.modelOutputs.map(({ id, step }) => ({ run: run.id, id, role: "output", step })),
  ]);
  if (models.length === 0) return;
  await sql`
    insert into tracking_run_model (run_id, model_id, role, step)
    select distinct * from unnest(${models.map((m) => m.run)}::text[], ${models.map((m) => m.id)}::text[], ${models.map((m) => m.role)}::text[],
      ${models.map((m) => m.step)}::bigint[]) order by 1, 2, 3, 4 on conflict do nothing`.execute(transaction);
}

// ------------------------------------------------------------------------------------------- metrics
async function takeSeries(transaction: Tx, series: MovedSeries[]): Promise<void> {
  for (const { run, key, step, time, value } of series) {
    checkKey(key, `metric of the run ${run}`);
    if (step.length !== time.length || step.length !== value.length) throw invalid(`The columns of the metric "${key}" of the run ${run} have not one length.`);
  }
  const ids = [...new Set(series.map(({ run }) => run))].sort();
  const { rows } = await sql<{ id: string }>`select id from tracking_run where id = any(${ids}::text[]) for key share`.execute(transaction);
  const there = new Set(rows.map(({ id }) => id));
  const absent = ids.find((id) => !there.has(id));
  if (absent !== undefined) throw notFound("run", absent);
  const points = series.flatMap(({ run, key, step, time, value }) =>
    step.map((at, i) => ({ run, key, step: at, time: time[i] ?? 0, value: Number(value[i]) })),
  );
  const told = sql`unnest(${texts(points, (p) => p.run)}::text[], ${texts(points, (p) => p.key)}::text[], ${int8s(points, (p) => p.step)}::bigint[],
    ${int8s(points, (p) => p.time)}::bigint[], ${float8s(points, (p) => p.value)}::float8[]) as t (run_id, key, step, timestamp, value)`;
  await sql`
    insert into tracking_metric (run_id, key, step, timestamp, value) select * from ${told} order by 1, 2, 3, 4, 5 on conflict do nothing`.execute(transaction);
  await keepLatest(sql`select t.run_id, r.experiment_id, t.key, t.step, t.timestamp, t.value from ${told} join tracking_run r on r.id = t.run_id`).execute(
    transaction,
  );
}

// ------------------------------------------------------------------------------------- logged models
async function takeLoggedModels(transaction: Tx, models: MovedLoggedModel[]): Promise<void> {
  await mustHaveExperiments(transaction, models);
  const of = (pick: (model: MovedLoggedModel) => string | number | null) => models.map(pick);
  await sql`
    insert into logged_model as m (id, experiment_id, name, artifact_location, status, model_type, source_run_id, lifecycle_stage, creation_time, last_update_time, params, tags)
    select t.id, t.experiment_id, t.name, e.artifact_location || '/models/' || t.id || '/artifacts', t.status, t.model_type, t.source_run_id, t.stage, t.created, t.updated, t.params, t.tags
    from unnest(${of((m) => m.id)}::text[], ${of((m) => m.experiment)}::bigint[], ${of((m) => m.name)}::text[], ${of((m) => m.status)}::text[],
      ${of((m) => m.type)}::text[], ${of((m) => m.sourceRun)}::text[], ${of((m) => m.stage)}::text[], ${of((m) => m.creationTime)}::bigint[],
      ${of((m) => m.updateTime)}::bigint[], ${of((m) => JSON.stringify(m.params))}::jsonb[], ${of((m) => JSON.stringify(m.tags))}::jsonb[])
      as t (id, experiment_id, name, status, model_type, source_run_id, stage, created, updated, params, tags)
    join experiment e on e.id = t.experiment_id order by t.id
    on conflict (id) do update set status = excluded.status, lifecycle_stage = excluded.lifecycle_stage, last_update_time = greatest(m.last_update_time, excluded.last_update_time),
      params = m.params || excluded.params, tags = m.tags || excluded.tags`.execute(transaction);
  const metrics = models.flatMap((model) => model.metrics.map((metric) => ({ model: model.id, ...metric })));
  if (metrics.length === 0) return;
  for (const { key, model } of metrics) checkKey(key, `metric of the model ${model}`);
  const column = (pick: (metric: (typeof metrics)[number]) => string | number) => metrics.map(pick);
  await sql`
    insert into logged_model_metric (model_id, key, run_id, dataset_name, dataset_digest, step, timestamp, value)
    select * from unnest(${column((m) => m.model)}::text[], ${column((m) => m.key)}::text[], ${column((m) => m.run)}::text[], ${column((m) => m.datasetName)}::text[],
      ${column((m) => m.datasetDigest)}::text[], ${column((m) => m.step)}::bigint[], ${column((m) => m.time)}::bigint[], ${column((m) => String(m.value))}::float8[])
    order by 1, 2, 3, 4, 5, 6, 7, 8 on conflict do nothing`.execute(transaction);
}

// --------------------------------------------------------------------------------------------- going out
type Outgoing = Pick<TrackingTransfer, "counts" | "experiments" | "runs" | "series" | "loggedModels" | "artifacts">;
function createOutgoing(db: Database): Outgoing {
  return {
    async counts() {
      const { rows } = await sql<Awaited<ReturnType<Outgoing["counts"]>>>`
        select (select count(*)::float8 from experiment) as experiments, (select count(*)::float8 from tracking_run) as runs,
          (select count(*)::float8 from tracking_metric) as metrics, (select count(*)::float8 from logged_model) as "loggedModels",
          (select count(*)::float8 from tracking_artifact) as artifacts, (select coalesce(sum(size), 0)::float8 from tracking_artifact) as "artifactBytes"`.execute(
        db,
      );
      if (rows[0] === undefined) throw new Error("a count answers a row");
      return rows[0];
    },
    async experiments({ limit, after }) {
      const { rows } = await sql<MovedExperiment & { artifactLocation: string }>`
        select id::text, name, lifecycle_stage as stage, creation_time::float8 as "creationTime", last_update_time::float8 as "updateTime", tags,
          artifact_location as "artifactLocation"
        from experiment where id > ${after ?? "-1"}::bigint order by experiment.id limit ${limit}`.execute(db);
      return paged(rows, limit, (row) => row.id);
    },
    async runs({ limit, after }) {
      const { rows } = await sql<MovedRun & { points: number }>`
        select r.id, r.experiment_id::text as experiment, r.name, r.user_id as user, r.status, r.start_time::float8 as "startTime", r.end_time::float8 as "endTime",
          r.lifecycle_stage as stage, r.deleted_time::float8 as "deletedTime",
          (select count(*)::float8 from tracking_metric where run_id = r.id) as points,
          coalesce((select jsonb_object_agg(key, value) from tracking_param where run_id = r.id), '{}') as params,
          coalesce((select jsonb_object_agg(key, value) from tracking_tag where run_id = r.id), '{}') as tags,
          coalesce((select jsonb_agg(jsonb_build_object('name', d.name, 'digest', d.digest, 'sourceType', d.source_type, 'source', d.source,
            'schema', d.schema, 'profile', d.profile, 'tags', i.tags) order by d.id)
            from tracking_input i join tracking_dataset d on d.id = i.dataset_id where i.run_id = r.id), '[]') as datasets,
          coalesce((select jsonb_agg(model_id order by model_id) from tracking_run_model where run_id = r.id and role = 'input'), '[]') as "modelInputs",
          coalesce((select jsonb_agg(jsonb_build_object('id', model_id, 'step', step) order by step, model_id)
            from tracking_run_model where run_id = r.id and role = 'output'), '[]') as "modelOutputs"
        from tracking_run r where r.id > ${after ?? ""} order by r.id limit ${limit}`.execute(db);
      return paged(rows, limit, (row) => row.id);
    },
    async series({ limit, after }, runs) {
      const from = after === undefined ? undefined : positionOf(after);
      const beyond =
        from === undefined
          ? sql`true`
          : sql`(run_id, key, step, timestamp, value) > (${from[0]}, ${from[1]}, ${from[2]}::bigint, ${from[3]}::bigint, ${from[4]}::text::float8)`;
      const { rows } = await sql<{ run_id: string; key: string; step: string; timestamp: string; value: number }>`
        select run_id, key, step::text, tracking_metric.timestamp::text, value from tracking_metric where ${beyond} and ${runs === undefined ? sql`true` : sql`run_id = any(${runs}::text[])`}
        order by run_id, key, tracking_metric.step, tracking_metric.timestamp, value limit ${limit}`.execute(db);
      const items: MovedSeries[] = [];
      for (const row of rows) {
        let last = items.at(-1);
        if (last?.run !== row.run_id || last.key !== row.key) {
          last = { run: row.run_id, key: row.key, step: [], time: [], value: [] };
          items.push(last);
        }
        last.step.push(Number(row.step));
        last.time.push(Number(row.timestamp));
        last.value.push(jsonNumber(row.value));
      }
      const end = rows.at(-1);
      if (end === undefined || rows.length < limit) return { items };
      return { items, next: Buffer.from(JSON.stringify([end.run_id, end.key, end.step, end.timestamp, String(end.value)])).toString("base64url") };
    },
    async loggedModels({ limit, after }) {
      const { rows } = await sql<MovedLoggedModel>`
        select m.id, m.experiment_id::text as experiment, m.name, m.status, m.model_type as type, m.source_run_id as "sourceRun", m.lifecycle_stage as stage,
          m.creation_time::float8 as "creationTime", m.last_update_time::float8 as "updateTime", m.params, m.tags,
          coalesce((select json_agg(json_build_object('key', l.key, 'run', l.run_id, 'datasetName', l.dataset_name, 'datasetDigest', l.dataset_digest,
            'step', l.step, 'time', l.timestamp, 'value', l.value)) from logged_model_metric l where l.model_id = m.id), '[]') as metrics
        from logged_model m where m.id > ${after ?? ""} order by m.id limit ${limit}`.execute(db);
      return paged(rows, limit, (row) => row.id);
    },
    async artifacts(folder, { limit, after }) {
      const prefix = folder === "" ? "" : `${folder}/`;
      const { rows } = await sql<MovedFile>`
        select path, digest, size::float8 from tracking_artifact
        where path > ${after ?? ""} and path like ${`${prefix.replaceAll(/[\\%_]/g, "\\$&")}%`} order by path limit ${limit}`.execute(db);
      return paged(rows, limit, (row) => row.path);
    },
  };
}
export function paged<Row>(rows: Row[], limit: number, position: (row: Row) => string): Page<Row> {
  const last = rows.at(-1);
  return { items: rows, ...(last !== undefined && rows.length === limit ? { next: position(last) } : {}) };
}
function positionOf(token: string): [string, string, string, string, string] {
  const invalidToken = () => invalid("`after` is not of an answer of this route: pass on the `next` of the last one.");
  try {
    const given: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (!Array.isArray(given) || !given.every((one): one is string => typeof one === "string")) throw invalidToken();
    const [run, key, step, time, value] = given;
    if (run === undefined || key === undefined || step === undefined || time === undefined || value === undefined) throw invalidToken();
    if (!/^-?[0-9]{1,18}$/.test(step) || !/^-?[0-9]{1,18}$/.test(time) || (Number.isNaN(Number(value)) && value !== "NaN")) throw invalidToken();
    return [run, key, step, time, value];
  } catch {
    throw invalidToken();
  }
}
function jsonNumber(value: number): MovedSeries["value"][number] {
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}
