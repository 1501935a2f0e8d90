/** Features as they were known at each row's moment, computed by DuckDB. */
import type { DuckDBConnection } from "@duckdb/node-api";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
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
    const nothing = view.features.map((_, i) => `${view.kind === "window" && view.aggregates[i]?.aggregate === "count" ? "0" : "null"} as f${i}`);
    return `select *, ${nothing.join(", ")} from asked`;
  }
  await assertSource(duckdb, connection, view);
  if (view.kind === "latest") return latestSql(view, files, await isIncremental(duckdb, connection, view));
  await connection.run(`create or replace temp table events as select * from ${sourceSql(view, files)}`);
  const whole = await wholeColumns(input, view);
  // Sums of fractions are not taken as differences of longer sums: that would lose digits.
  const exact = view.columns.every((_, i) => whole[i]);
  return exact ? differencesSql(connection, view) : framesSql(view);
}

function latestSql(view: LatestView, files: string[], byPart: boolean): string {
  // Parts in order, so that what came later wins where it speaks of the same moment.
  const parts = byPart
    ? files.map((file, i) => `select * from ${sourceSql(view, [file], `, ${i} as part`)}`)
    : [`select * from ${sourceSql(view, files, ", 0 as part")}`];
  const rows = `(select * from (${parts.join(" union all ")}) qualify ${newestFirst(view)})`;
  if (view.timestamp === undefined) {
    return `select a.*, ${view.columns.map((_, i) => `e.v${i} as f${i}`).join(", ")} from asked a left join ${rows} e on ${sameKeys(view, "a", "e")}`;
  }
  const value = (i: number) => (view.ttl === undefined ? `e.v${i}` : `case when a.q - e.t <= ${view.ttl} then e.v${i} end`);
  return `select a.*, ${view.columns.map((_, i) => `${value(i)} as f${i}`).join(", ")}
    from asked a asof left join ${rows} e on ${sameKeys(view, "a", "e")} and a.q >= e.t`;
}

/** Which columns hold whole numbers only (or true and false), whose sums are exact. */
async function wholeColumns({ duckdb, connection }: HistoricalInput, view: WindowView): Promise<boolean[]> {
  const checks = view.columns.map(({ type }, i) =>
    type === "boolean" ? `true as c${i}` : `coalesce(bool_and(v${i} = trunc(v${i}) and abs(v${i}) < 1e15), true) as c${i}`,
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

/** Sums of each window by itself. */
function framesSql(view: WindowView): string {
  const keys = keyColumns(view);
  const columns = view.columns.map((_, i) => i);
  const lengths = [...new Set(view.aggregates.map((one) => one.over))];
  const all = `select ${keys}, t, false as asking, ${["true as event", ...columns.map((i) => `v${i}::double as v${i}`)].join(", ")} from events
    union all select ${keys}, q, true, ${["null", ...columns.map(() => "null")].join(", ")} from asked`;
  const features = view.aggregates.map(({ aggregate, column, over }, i) => {
    const frame = `over w${lengths.indexOf(over)}`;
    return `${aggregateSql(aggregate, `count(${column === undefined ? "event" : `v${column}`}) ${frame}`, column === undefined ? "null" : `sum(v${column}) ${frame}`)} as f${i}`;
  });
  // Whole microseconds: after t - over is at or after t - over + 1.
  const frames = lengths.map((over, w) => `w${w} as (partition by ${keys} order by t range between ${over - 1} preceding and current row)`);
  return `select * exclude (asking) from (select ${keys}, t as q, asking, ${features.join(", ")} from (${all}) window ${frames.join(", ")}) where asking`;
}

function aggregateSql(aggregate: WindowView["aggregates"][number]["aggregate"], count: string, sum: string): string {
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
  const found = views.flatMap((view, v) => view.features.map(({ name, type }, i) => ({ name, sql: `f${v}.f${i}`, type })));
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
