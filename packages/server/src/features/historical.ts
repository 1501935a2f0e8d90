/** Features as they were known at each row's moment, computed by DuckDB. */
import type { DuckDBConnection } from "@duckdb/node-api";
import type { Aggregate, FeatureServiceSpec } from "@millrace/sdk/spec";
import { type DuckDb, identifier, invalid } from "../platform/index.js";
import { exprSql } from "./expr.js";
import { assertSource, isIncremental, keyColumns, newestFirst, sourceSql } from "./source.js";
import { columnSql } from "./values.js";
import type { LatestView, Service, View, WindowView } from "./views.js";

export interface HistoricalInput {
  duckdb: DuckDb;
  connection: DuckDBConnection;
  service: Service;
  /** SQL that gives the rows, with the service's request columns among them. */
  rows: string;
  /** SQL of a column of the rows that holds their moments in microseconds; without it the service's timestamp is used. */
  moment?: string;
  /** Default `known`: what was created after a row's moment is not seen at it. */
  asOf?: "known" | "event_time";
  /** Where the parts of a view's dataset lie. */
  files: (view: View) => Promise<string[]>;
  log?: (text: string) => void;
}
/** A query over temporary tables of the connection: the rows with the service's features, in the order of their moments. */
export interface HistoricalRows {
  sql: string;
  columns: string[];
}

/**
 * Joins by the moment, not by the interval: each view is looked up once for each pair of entity and moment that is asked for, with
 * ASOF joins on sums up to each event, so that the work grows with the rows and not with the lengths of the windows.
 */
export async function historicalRows(input: HistoricalInput): Promise<HistoricalRows> {
  const { duckdb, connection, service, rows, log } = input;
  const { spec } = service;
  const columns = await duckdb.rows<{ name: string }>(`select column_name as name from (describe select * from (${rows}\n))`, connection);
  const given = new Set(columns.map((column) => column.name));
  const missing = spec.request.filter((column) => !given.has(column.name));
  if (missing.length > 0) {
    throw invalid(
      `The rows lack ${missing.map((column) => `"${column.name}"`).join(", ")}, which the service "${spec.name}" takes. They have ${[...given].join(", ")}.`,
    );
  }
  const casts = spec.request.map(({ name, type }) => `${columnSql(name, type)} as ${identifier(name)}`).join(", ");
  const moment = input.moment ?? `epoch_us(${identifier(spec.timestamp)}::timestamptz)`;
  await connection.run(
    `create or replace temp table base as select row_number() over () as __row, ${moment} as __at, * from (select * replace (${casts}) from (${rows}\n))`,
  );
  for (const [i, view] of service.views.entries()) {
    const began = performance.now();
    await connection.run(`create or replace temp table asked as select distinct ${asked(view)} from base where ${known(view)}`);
    await connection.run(`create or replace temp table found${i} as ${await viewSql(input, view)}`);
    log?.(`${view.name}: joined in ${Math.round(performance.now() - began)} ms`);
  }
  return finalSql(spec, service, given);
}

const asked = (view: View): string => [...view.keys.map(({ name }, i) => `base.${identifier(name)} as k${i}`), "base.__at as q"].join(", ");
const known = (view: View): string => [...view.keys.map(({ name }) => `base.${identifier(name)} is not null`), "base.__at is not null"].join(" and ");
const sameKeys = (view: View, a: string, b: string): string => view.keys.map((_, i) => `${a}.k${i} = ${b}.k${i}`).join(" and ");

/** A query that gives, for each entity and moment of `asked`, the view's features `f0`…. */
async function viewSql(input: HistoricalInput, view: View): Promise<string> {
  const { duckdb, connection } = input;
  const files = await input.files(view);
  if (files.length === 0) {
    const nothing = view.features.map((_, i) => `${isCount(view, i) ? "0" : "null"} as f${i}`);
    return `select *, ${nothing.join(", ")} from asked`;
  }
  await assertSource(duckdb, connection, view);
  const known = view.created !== undefined && input.asOf !== "event_time";
  if (view.kind === "latest") return latestSql(view, files, await isIncremental(duckdb, connection, view), known);
  await connection.run(`create or replace temp table events as select * from ${sourceSql(view, files)}`);
  if (known) {
    const [late] = await duckdb.rows<{ n: number }>("select count(*) as n from events where c > t", connection);
    if ((late?.n ?? 0) > 0) return pairsSql(view);
  }
  if (!view.aggregates.every(({ aggregate }) => additive.has(aggregate))) return framesSql(view);
  const whole = await wholeColumns(input, view);
  // Sums of fractions are not taken as differences of longer sums: that would lose digits.
  const exact = view.columns.every((_, i) => whole[i]);
  return exact ? differencesSql(connection, view) : framesSql(view);
}

/** What is 0 where there is nothing. */
const counts = new Set<Aggregate>(["count", "distinct"]);
const isCount = (view: View, feature: number): boolean => view.kind === "window" && counts.has(view.aggregates[feature]?.aggregate ?? "sum");
/** What can be had as the difference of two sums. */
const additive = new Set<Aggregate>(["count", "sum", "mean", "share"]);

function latestSql(view: LatestView, files: string[], byPart: boolean, known: boolean): string {
  // Parts in order, so that what came later wins where it speaks of the same moment.
  const parts = byPart
    ? files.map((file, i) => `select * from ${sourceSql(view, [file], `, ${i} as part`)}`)
    : [`select * from ${sourceSql(view, files, ", 0 as part")}`];
  const all = parts.join(" union all ");
  const rows = known ? knownSql(view, all) : `(select * from (${all}) qualify ${newestFirst(view)})`;
  if (view.timestamp === undefined) {
    return `select a.*, ${view.columns.map((_, i) => `e.v${i} as f${i}`).join(", ")} from asked a left join ${rows} e on ${sameKeys(view, "a", "e")}`;
  }
  const value = (i: number) => (view.ttl === undefined ? `e.v${i}` : `case when a.q - e.t <= ${view.ttl} then e.v${i} end`);
  return `select a.*, ${view.columns.map((_, i) => `${value(i)} as f${i}`).join(", ")}
    from asked a asof left join ${rows} e on ${sameKeys(view, "a", "e")} and a.q >= e.${known ? "known" : "t"}`;
}

/**
 * The rows that were ever the newest of what was known, and from when on: in the order in which rows become known (`known`, not before their own
 * moment), those that no earlier one stands above. So one ASOF join on `known` finds the newest row of all that were known at a moment.
 */
function knownSql(view: LatestView, all: string): string {
  const keys = keyColumns(view);
  const place = `t, c, part, ${view.columns.map((_, i) => `v${i} nulls first`).join(", ")}`;
  return `(select * from (select *, greatest(t, c) as known, row_number() over (partition by ${keys} order by ${place}) as place from (${all}))
    qualify place = max(place) over (partition by ${keys} order by known range unbounded preceding))`;
}

/** Which columns hold whole numbers only (or true and false), whose sums are exact. */
async function wholeColumns({ duckdb, connection }: HistoricalInput, view: WindowView): Promise<boolean[]> {
  const checks = view.columns.map(({ type }, i) =>
    type !== "float64" ? `true as c${i}` : `coalesce(bool_and(v${i} = trunc(v${i}) and abs(v${i}) < 1e15), true) as c${i}`,
  );
  if (checks.length === 0) return [];
  const [row] = await duckdb.rows<Record<string, boolean>>(`select ${checks.join(", ")} from events`, connection);
  return view.columns.map((_, i) => row?.[`c${i}`] === true);
}

const numberSql = (view: WindowView, i: number): string => (view.columns[i]?.type === "boolean" ? `v${i}::int` : `v${i}::hugeint`);

/**
 * Sums up to each event; a window's are the difference of the newest event's at its end and before its beginning. The sums run on over
 * all entities in one stream: a row before all of an entity's events holds where they begin.
 */
async function differencesSql(connection: DuckDBConnection, view: WindowView): Promise<string> {
  const keys = keyColumns(view);
  const columns = view.columns.map((_, i) => i);
  const names = ["c", ...columns.flatMap((i) => [`n${i}`, `s${i}`])];
  const counted = ["count(*) as c", ...columns.flatMap((i) => [`count(v${i}) as n${i}`, `coalesce(sum(${numberSql(view, i)}), 0) as s${i}`])];
  await connection.run(`create or replace temp table sorted as
    with grouped as (select ${keys}, t, ${counted.join(", ")} from events group by ${keys}, t)
    select * from grouped union all select distinct ${keys}, -9000000000000000000, ${names.map(() => "0").join(", ")} from grouped order by ${keys}, t`);
  // A table is read in the order in which it was written.
  await connection.run(`create or replace temp table upto as
    select ${keys}, t, ${names.map((name) => `sum(${name}) over up as ${name}`).join(", ")} from sorted window up as (rows unbounded preceding)`);
  const lengths = [...new Set(view.aggregates.map((one) => one.over))];
  const joins = lengths.map((over, w) => `asof left join upto w${w} on ${sameKeys(view, "a", `w${w}`)} and a.q - ${over} >= w${w}.t`);
  const features = view.aggregates.map(({ aggregate, column, over }, i) => {
    const w = lengths.indexOf(over);
    const between = (what: string) => `(coalesce(e.${what}, 0) - coalesce(w${w}.${what}, 0))`;
    const n = column === undefined ? between("c") : between(`n${column}`);
    return `${aggregateSql(aggregate, n, column === undefined ? "null" : between(`s${column}`))} as f${i}`;
  });
  return `select a.*, ${features.join(", ")} from asked a asof left join upto e on ${sameKeys(view, "a", "e")} and a.q >= e.t ${joins.join(" ")}`;
}

/** Each window by itself. */
function framesSql(view: WindowView): string {
  const keys = keyColumns(view);
  const columns = view.columns.map((_, i) => `v${i}`);
  const created = view.created === undefined ? [] : ["c"];
  const lengths = [...new Set(view.aggregates.map((one) => one.over))];
  const own = view.columns.map(({ type }, i) => (type === "float64" ? `v${i}::double as v${i}` : `v${i}`));
  const all = `select ${keys}, t, false as asking, ${["true as event", ...own, ...created].join(", ")} from events
    union all select ${keys}, q, true, ${["null", ...columns.map(() => "null"), ...created.map(() => "null")].join(", ")} from asked`;
  const features = view.aggregates.map((one, i) => `${aggregateOf(view, one, "", `over w${lengths.indexOf(one.over)}`)} as f${i}`);
  // Whole microseconds: after t - over is at or after t - over + 1.
  const frames = lengths.map((over, w) => `w${w} as (partition by ${keys} order by t range between ${over - 1} preceding and current row)`);
  return `select * exclude (asking) from (select ${keys}, t as q, asking, ${features.join(", ")} from (${all}) window ${frames.join(", ")}) where asking`;
}

/** Each pair of a moment that is asked for and an event of its windows: where events were known later than they happened, no order holds both. */
function pairsSql(view: WindowView): string {
  const features = view.aggregates.map((one, i) => `${aggregateOf(view, one, `e.t > a.q - ${one.over}`, "")} as f${i}`);
  const keys = view.keys.map((_, i) => `a.k${i}`).join(", ");
  return `select ${keys}, a.q, ${features.join(", ")}
    from asked a left join (select *, true as event from events) e on ${sameKeys(view, "a", "e")} and e.t <= a.q and e.t > a.q - ${view.longest} and e.c <= a.q
    group by ${keys}, a.q`;
}

/** One aggregate over the rows of a frame or a group, of those for which `where` holds. */
function aggregateOf(view: WindowView, { aggregate, column }: WindowView["aggregates"][number], where: string, over: string): string {
  const v = column === undefined ? "event" : `v${column}`;
  const filtered = (call: string) => `(${call}${where === "" ? "" : ` filter (where ${where})`} ${over})`;
  const n = filtered(`count(${v})`);
  switch (aggregate) {
    case "min":
    case "max":
      return filtered(`${aggregate}(${v})`);
    case "distinct":
      return filtered(`count(distinct ${v})`);
    case "last": {
      // The newest, of these the one created last, of these the largest.
      const place = `struct_pack(t := t, c := ${view.created === undefined ? "0" : "greatest(c, t)"}, v := ${v})`;
      return `(arg_max(${v}, ${place}) filter (where ${[`${v} is not null`, ...(where === "" ? [] : [where])].join(" and ")}) ${over})`;
    }
    case "stddev":
      // Equal values deviate by nothing, however they are added up.
      return `(case when ${filtered(`min(${v})`)} = ${filtered(`max(${v})`)} and ${n} > 1 then 0 else ${filtered(`stddev_samp(${v})`)} end)`;
    default: {
      const number = column !== undefined && view.columns[column]?.type === "boolean" ? `${v}::int` : v;
      return aggregateSql(aggregate, n, column === undefined ? "null" : filtered(`sum(${number})`));
    }
  }
}

function aggregateSql(aggregate: Aggregate, count: string, sum: string): string {
  switch (aggregate) {
    case "count":
      return `(${count})::bigint`;
    case "sum":
      return `case when (${count}) > 0 then (${sum})::double end`;
    default:
      return `case when (${count}) > 0 then (${sum})::double / (${count})::double end`;
  }
}

function finalSql(spec: FeatureServiceSpec, { views, types }: Service, given: Set<string>): HistoricalRows {
  const request = new Set(spec.request.map((column) => column.name));
  const found = views.flatMap((view, v) =>
    view.features.map(({ name, type }, i) => ({ name, sql: isCount(view, i) ? `coalesce(f${v}.f${i}, 0)` : `f${v}.f${i}`, type })),
  );
  const joins = views.map(
    (view, v) => `left join found${v} f${v} on ${view.keys.map(({ name }, i) => `b.${identifier(name)} = f${v}.k${i}`).join(" and ")} and b.__at = f${v}.q`,
  );
  // What a feature is called is the feature, also where the rows bring a column of that name.
  const features = new Set(spec.features.map((feature) => feature.name).filter((name) => !request.has(name)));
  const hidden = new Set([...features, ...found.map((one) => one.name), ...spec.compute.map((one) => one.name)]);
  const kept = [...given].filter((name) => !hidden.has(name));
  const joined = `select ${[...kept.map((name) => `b.${identifier(name)}`), "b.__row", "b.__at", ...found.map(({ name, sql }) => `${sql} as ${identifier(name)}`)].join(", ")} from base b ${joins.join(" ")}`;
  const values = [...features].map((name) => {
    const type = spec.features.find((feature) => feature.name === name)?.type ?? "float64";
    const computed = spec.compute.find((one) => one.name === name);
    return `${computed === undefined ? columnSql(name, type) : exprSql(computed.expr, types, type)} as ${identifier(name)}`;
  });
  return { sql: `select ${[...kept.map(identifier), ...values].join(", ")} from (${joined}) order by __at, __row`, columns: [...kept, ...features] };
}
