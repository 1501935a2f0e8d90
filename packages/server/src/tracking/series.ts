/** Values of many metrics of many runs at once, thinned for charts: by stretches of x with their extremes, so that no spike is lost at any zoom. */
import type { MetricKeys, SeriesQuery } from "@millrace/sdk/api";
import { type RawBuilder, sql, type Transaction } from "kysely";
import { invalid, type Platform, texts } from "../platform/index.js";
import { tooSlow, within } from "./bounded.js";
import type { Settling } from "./settling.js";

/** What a browser can draw, and what an answer may weigh. */
const most = { series: 2_500, values: 100_000, keys: 2_000, oddOfOne: 100, metricsOfRun: 1_000, text: 500 };
const usualBuckets = 400;
const waitMs = 15_000;

export interface Series {
  keys(runs: string[]): Promise<MetricKeys>;
  /** JSON of a SeriesAnswer, which PostgreSQL writes. */
  series(query: SeriesQuery): Promise<string>;
  /** JSON of `{items: RunTableRow[]}` with all that the runs have, in the order in which they are given. */
  compare(runs: string[]): Promise<string>;
}
interface Found {
  run: string;
  key: string;
  points: number;
  odd: number;
  low: number;
  high: number;
}
type Sql = RawBuilder<unknown>;

export function createSeries({ db }: Pick<Platform, "db">, { settle }: Pick<Settling, "settle">): Series {
  return {
    async keys(runs) {
      await settle();
      const { rows } = await sql<{ key: string; runs: number }>`
        select key, count(*)::float8 as runs from tracking_latest_metric where run_id = any(${[...new Set(runs)]}::text[])
        group by key order by key limit ${most.keys + 1}`.execute(db);
      return { items: rows.slice(0, most.keys), more: rows.length > most.keys };
    },
    async series(query) {
      const [runs, keys] = [[...new Set(query.runs)], [...new Set(query.keys)]];
      if (runs.length * keys.length > most.series)
        throw invalid(`${runs.length} runs with ${keys.length} metrics are too many for one answer: ask for ${most.series} series at most.`);
      const { from, to } = query;
      if (from !== undefined && to !== undefined && from > to) throw invalid(`'from' must not be larger than 'to': ${from} and ${to} were given.`);
      const answer = await within(db, waitMs, (transaction) => read(transaction, { ...query, runs, keys }));
      if (answer === undefined) throw tooSlow();
      return answer;
    },
    async compare(runs) {
      await settle();
      // What is said of a run is cut as in tables; of metrics that no person compares, a thousand are enough.
      const values = (table: Sql) => sql`coalesce((select json_object_agg(key, left(value, ${most.text}::int)) from ${table} p where p.run_id = r.id), '{}')`;
      const answer = await within(db, waitMs, async (transaction) => {
        const { rows } = await sql<{ items: string }>`
          select coalesce(json_agg(o.run order by o.n), '[]')::text as items from (
            select t.n, json_build_object('id', r.id, 'experimentId', r.experiment_id::text, 'name', r.name, 'status', r.status, 'user', r.user_id,
              'startTime', r.start_time, 'endTime', r.end_time, 'stage', r.lifecycle_stage,
              'metrics', coalesce((select json_object_agg(key, value) from (
                select key, value from tracking_latest_metric m where m.run_id = r.id order by key limit ${most.metricsOfRun}) m), '{}'),
              'params', ${values(sql`tracking_param`)}, 'tags', ${values(sql`tracking_tag`)}) as run
            from unnest(${[...new Set(runs)]}::text[]) with ordinality as t (id, n) join tracking_run r on r.id = t.id
          ) o`.execute(transaction);
        return rows[0]?.items;
      });
      if (answer === undefined) throw tooSlow();
      return `{"items":${answer}}`;
    },
  };
}

async function read(transaction: Transaction<unknown>, query: SeriesQuery): Promise<string> {
  const found = await look(transaction, query);
  if (found.length === 0) return '{"items":[],"range":null}';
  const buckets = Math.max(1, Math.min(query.buckets ?? usualBuckets, Math.floor(most.values / found.length)));
  const range = { from: query.from ?? Math.min(...found.map(({ low }) => low)), to: query.to ?? Math.max(...found.map(({ high }) => high)) };
  const few = found.filter(({ points }) => points <= buckets);
  const many = found.filter(({ points }) => points > buckets);
  const odd = found.filter((one) => one.odd > 0);
  const values = new Map<string, string>();
  const id = ({ run, key }: { run: string; key: string }) => `${run}\n${key}`;
  for (const row of await points(transaction, query, few)) values.set(id(row), row.json);
  for (const row of await stretches(transaction, query, many, range, buckets)) values.set(id(row), row.json);
  const told = new Map((await oddOnes(transaction, query, odd)).map((row) => [id(row), row.json]));
  const items = found.map((one) => {
    const first = told.get(id(one));
    const oddities = first === undefined ? "" : `,"odd":{"count":${one.odd},"first":${first}}`;
    return `{"run":${JSON.stringify(one.run)},"key":${JSON.stringify(one.key)},"points":${one.points},${values.get(id(one)) ?? '"x":[],"value":[]'}${oddities}}`;
  });
  return `{"items":[${items.join(",")}],"range":${JSON.stringify(range)}}`;
}

// --------------------------------------------------------------------------------------------- statements
const finite = sql`m.value > '-Infinity' and m.value < 'Infinity'`;
/** x as a number; only steps are in the order of the index. */
const along = ({ x = "step" }: SeriesQuery): Sql =>
  x === "step" ? sql`m.step::float8` : x === "time" ? sql`m.timestamp::float8` : sql`(m.timestamp - s.start_time)::float8`;
function inWindow(query: SeriesQuery): Sql {
  const { x = "step", from, to } = query;
  const bounds = [sql`m.run_id = s.run and m.key = s.key`];
  // Whole numbers, so that the index can begin and end at them.
  if (from !== undefined) bounds.push(x === "step" ? sql`m.step >= ${whole(Math.ceil(from))}::bigint` : sql`${along(query)} >= ${from}::float8`);
  if (to !== undefined) bounds.push(x === "step" ? sql`m.step <= ${whole(Math.floor(to))}::bigint` : sql`${along(query)} <= ${to}::float8`);
  return sql.join(bounds, sql` and `);
}
const whole = (value: number): number => Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value));
const listed = (of: Found[]): Sql =>
  sql`(select t.run, t.key, r.start_time from unnest(${texts(of, ({ run }) => run)}::text[], ${texts(of, ({ key }) => key)}::text[]) as t (run, key)
    join tracking_run r on r.id = t.run) s`;

async function look(transaction: Transaction<unknown>, query: SeriesQuery): Promise<Found[]> {
  const { rows } = await sql<Found>`
    select s.run, s.key, p.points::float8, p.odd::float8, p.low, p.high
    from (select r.id as run, k.key, r.start_time from unnest(${query.runs}::text[]) with ordinality as t (id, n) join tracking_run r on r.id = t.id
      cross join unnest(${query.keys}::text[]) as k (key)) s
    cross join lateral (
      select count(*) filter (where ${finite}) as points, count(*) filter (where not (${finite})) as odd, min(${along(query)}) as low, max(${along(query)}) as high
      from tracking_metric m where ${inWindow(query)}
    ) p
    where p.low is not null order by s.key, s.run`.execute(transaction);
  return rows;
}

async function points(transaction: Transaction<unknown>, query: SeriesQuery, of: Found[]): Promise<{ run: string; key: string; json: string }[]> {
  if (of.length === 0) return [];
  const { rows } = await sql<{ run: string; key: string; json: string }>`
    select s.run, s.key, p.json from ${listed(of)} cross join lateral (
      select concat('"x":', coalesce(json_agg(x), '[]'), ',"value":', coalesce(json_agg(value), '[]')) as json from (
        select ${along(query)} as x, m.value from tracking_metric m where ${inWindow(query)} and ${finite} order by 1, m.timestamp, m.step, m.value
      ) o
    ) p`.execute(transaction);
  return rows;
}

async function stretches(
  transaction: Transaction<unknown>,
  query: SeriesQuery,
  of: Found[],
  { from, to }: { from: number; to: number },
  buckets: number,
): Promise<{ run: string; key: string; json: string }[]> {
  if (of.length === 0) return [];
  // A sum of the largest doubles is none: the mean leaves them out, their extremes are told all the same.
  const { rows } = await sql<{ run: string; key: string; json: string }>`
    select s.run, s.key, p.json from ${listed(of)} cross join lateral (
      select concat('"x":', json_agg(x), ',"value":', json_agg(coalesce(mean, max)), ',"min":', json_agg(min), ',"max":', json_agg(max)) as json from (
        select avg(x) as x, avg(value) filter (where abs(value) < 1e300) as mean, min(value) as min, max(value) as max from (
          select ${along(query)} as x, m.value from tracking_metric m where ${inWindow(query)} and ${finite}
        ) o
        group by least(floor((x - ${from}::float8) / nullif(${to}::float8 - ${from}::float8, 0) * ${buckets}::float8), ${buckets - 1}::float8) order by 1
      ) b
    ) p`.execute(transaction);
  return rows;
}

async function oddOnes(transaction: Transaction<unknown>, query: SeriesQuery, of: Found[]): Promise<{ run: string; key: string; json: string }[]> {
  if (of.length === 0) return [];
  const { rows } = await sql<{ run: string; key: string; json: string }>`
    select s.run, s.key, p.json from ${listed(of)} cross join lateral (
      select json_agg(json_build_object('x', x, 'value', value::text))::text as json from (
        select ${along(query)} as x, m.value from tracking_metric m where ${inWindow(query)} and not (${finite}) order by 1 limit ${most.oddOfOne}
      ) o
    ) p`.execute(transaction);
  return rows;
}
