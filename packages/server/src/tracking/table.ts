/** Runs as a table shows them: pages with the columns that are looked at, how many there are, and all of them as CSV. */
import { createHash } from "node:crypto";
import type { RunTableQuery, RunTableRow } from "@millrace/sdk/api";
import { sql } from "kysely";
import { attribute, invalidValue, key, type OrderKey, ofView, orderKeys, type Page, readPage, type Sql, type View, where } from "../mlflow/index.js";
import type { Database, Platform } from "../platform/index.js";
import { tooSlow, within } from "./bounded.js";
import { csvLine } from "./csv.js";
import { experimentNumber } from "./experiments.js";
import { searchable } from "./runs.js";
import type { Settling } from "./settling.js";
import type { RunTable } from "./table-types.js";

const waits = { pageMs: 30_000, countMs: 5_000 };
const csvPage = 1_000;
/** Of a param's or tag's value; a table's cell shows no more. */
const shownCharacters = 500;

export function createRunTable({ db }: Pick<Platform, "db">, { settle }: Pick<Settling, "settle">): RunTable {
  return {
    async page(query) {
      await settle();
      return readRows(db, { ...query, characters: shownCharacters });
    },
    async count({ atMost = 100_000, ...query }) {
      const { from, fits } = condition(query);
      await settle();
      const counted = await within(db, waits.countMs, async (transaction) => {
        const { rows } = await sql<{ count: number }>`
          select count(*)::int as count from (select 1 from ${from} where ${fits} limit ${atMost + 1}) r`.execute(transaction);
        return rows[0]?.count ?? 0;
      });
      if (counted === undefined) return { count: 0, exact: false };
      return { count: Math.min(counted, atMost), exact: counted <= atMost };
    },
    async csv(query) {
      const columns = query.columns ?? [];
      const read = (token: string | undefined) => readRows(db, { ...query, limit: csvPage, ...(token === undefined ? {} : { token }), characters: 10_000 });
      await settle();
      const first = await read(undefined);
      return csvLines(columns, first, read);
    },
  };
}

async function* csvLines(columns: string[], first: Page<RunTableRow>, read: (token: string) => Promise<Page<RunTableRow>>): AsyncGenerator<string> {
  yield csvLine(["run_id", "name", "experiment_id", "status", "user", "start_time", "end_time", "duration_s", ...columns]);
  for (let page = first; ; page = await read(page.next)) {
    yield page.items.map((run) => csvLine([...own(run), ...columns.map((column) => cell(run, column))])).join("");
    if (page.next === undefined) return;
  }
}
const own = (run: RunTableRow) => [
  run.id,
  run.name,
  run.experimentId,
  run.status,
  run.user,
  moment(run.startTime),
  run.endTime === null ? "" : moment(run.endTime),
  run.endTime === null ? "" : (run.endTime - run.startTime) / 1_000,
];
/** A client may have told a time that no calendar has. */
const moment = (ms: number): string | number => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : ms);
function cell(run: RunTableRow, column: string): string | number {
  if (column === "datasets") return (run.datasets ?? []).map(({ name, digest }) => `${name} (${digest})`).join(", ");
  if (column === "models") return (run.models ?? []).map(({ name }) => name).join(", ");
  const [kind, name] = split(column);
  return run[kind][name] ?? "";
}

// ------------------------------------------------------------------------------------------ statements
const views: Record<"active" | "deleted" | "all", View> = { active: "ACTIVE_ONLY", deleted: "DELETED_ONLY", all: "ALL" };

function condition({ experiments, filter = "", view = "active", ids }: Pick<RunTableQuery, "experiments" | "filter" | "view" | "ids">): {
  from: Sql;
  fits: Sql;
} {
  const numbers = [...new Set(experiments.map(experimentNumber))];
  // Of one experiment its index has the runs in order.
  const inside = numbers.length === 1 ? sql`r.experiment_id = ${numbers[0]}` : sql`r.experiment_id = any(${numbers}::bigint[])`;
  const chosen = ids === undefined ? sql`true` : sql`r.id = any(${ids}::text[])`;
  return {
    from: sql`tracking_run r join experiment e on e.id = r.experiment_id`,
    fits: sql`${inside} and ${chosen} and ${ofView(views[view], sql`r.lifecycle_stage`)} and ${where(filter, searchable)}`,
  };
}

async function readRows(db: Database, query: RunTableQuery & { characters: number }): Promise<Page<RunTableRow>> {
  const { orderBy = [], columns = [], limit = 100, token, characters } = query;
  const keys = ordered(orderBy);
  const { from, fits } = condition(query);
  const shown = columnsOf(columns, characters);
  const search = createHash("sha256")
    .update(JSON.stringify([query.experiments, query.filter, orderBy, query.view, query.ids]))
    .digest("base64url");
  const { items, next } = await readPage(keys, { limit, token, search }, async (page) => {
    const rows = await within(db, waits.pageMs, async (transaction) => {
      const read = await sql<RunTableRow & { position: (string | null)[] }>`
        select r.id, r.experiment_id::text as "experimentId", r.name, r.status, r.user_id as "user", r.start_time::float8 as "startTime",
          r.end_time::float8 as "endTime", r.lifecycle_stage as stage, ${shown}, r.position
        from (select r.*, ${page.position} as position from ${from} ${page.joins} where ${fits} and ${page.where} order by ${page.orderBy} limit ${page.limit}) r`.execute(
        transaction,
      );
      return read.rows;
    });
    if (rows === undefined) throw tooSlow();
    return rows;
  });
  return { items: items.map(({ position: _, ...row }) => row), ...(next === undefined ? {} : { next }) };
}

/** The newest come first where nothing else is said, and tell apart what is equal. */
function ordered(orderBy: string[]): OrderKey[] {
  const keys = orderKeys(orderBy, searchable);
  const started = keys.some((one) => /(?:^|\.)(?:start_time|created|Created)$/.test(one.name));
  return [...keys, ...(started ? [] : [key("start_time", attribute(sql`r.start_time`, "integer"), true)]), key("run_id", attribute(sql`r.id`, "text"))];
}

const kinds = ["metrics", "params", "tags"] as const;
type Kind = (typeof kinds)[number];
/** `metrics.val/loss` */
function split(column: string): [Kind, string] {
  const at = column.indexOf(".");
  const kind = kinds.find((one) => one === column.slice(0, at));
  if (kind === undefined || at === column.length - 1)
    throw invalidValue(`There is no column "${column.slice(0, 200)}": a column is metrics.<key>, params.<key>, tags.<key>, datasets or models.`);
  return [kind, column.slice(at + 1)];
}
function columnsOf(columns: string[], characters: number): Sql {
  const keyed: Record<Kind, string[]> = { metrics: [], params: [], tags: [] };
  for (const column of columns) {
    if (column === "datasets" || column === "models") continue;
    const [kind, name] = split(column);
    keyed[kind].push(name);
  }
  const values = (table: string, keys: string[], value: Sql): Sql =>
    keys.length === 0
      ? sql`'{}'::json`
      : sql`coalesce((select json_object_agg(x.key, ${value}) from ${sql.raw(table)} x where x.run_id = r.id and x.key = any(${keys}::text[])), '{}'::json)`;
  const text = sql`left(x.value, ${characters}::int)`;
  return sql.join([
    sql`${values("tracking_latest_metric", keyed.metrics, sql`x.value`)} as metrics`,
    sql`${values("tracking_param", keyed.params, text)} as params`,
    sql`${values("tracking_tag", keyed.tags, text)} as tags`,
    ...(columns.includes("datasets")
      ? [
          sql`coalesce((select json_agg(json_build_object('name', d.name, 'digest', d.digest, 'context', i.tags ->> 'mlflow.data.context') order by d.id)
            from tracking_input i join tracking_dataset d on d.id = i.dataset_id where i.run_id = r.id), '[]'::json) as datasets`,
        ]
      : []),
    ...(columns.includes("models")
      ? [
          sql`coalesce((select json_agg(json_build_object('id', m.id, 'name', m.name, 'status', m.status) order by m.creation_time, m.id)
            from logged_model m where m.source_run_id = r.id and m.lifecycle_stage = 'active'), '[]'::json) as models`,
        ]
      : []),
  ]);
}
