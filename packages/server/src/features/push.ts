import { createHash } from "node:crypto";
import type { PushedRow } from "../datasets/index.js";
import { invalid } from "../platform/index.js";
import { entityOf } from "./online.js";
import type { RowArrays } from "./store.js";
import { type Micros, parseTime } from "./times.js";
import { readValue, type Value } from "./values.js";
import type { View } from "./views.js";

type PushedColumns = Readonly<Record<string, readonly unknown[] | undefined>>;
export const mostPushedRows = 10_000;

/** What makes rows of one moment different: a window view counts equal ones, a latest view has one, or one of each creation. */
export function rowKey(view: View, values: string, created: Micros | undefined): string {
  if (view.kind === "latest") return created === undefined ? "" : String(created);
  return values.length <= 32 ? values : createHash("md5").update(values).digest("hex");
}

/** Rows of a client as the store has them. Throws a 400 that says what is missing or does not fit. */
export function readPush(view: View, columns: PushedColumns): RowArrays {
  const take = (name: string): readonly unknown[] => {
    const column = columns[name];
    if (column === undefined) throw invalid(`The rows lack "${name}". The view "${view.name}" takes ${expected(view).join(", ")}.`);
    return column;
  };
  const keys = view.keys.map(({ name }) => take(name));
  const times = view.timestamp === undefined ? undefined : take(view.timestamp);
  const values = view.columns.map(({ name }) => take(name));
  const creations = view.created === undefined ? undefined : columns[view.created];
  const rows = keys[0]?.length ?? 0;
  for (const column of [...keys, ...(times === undefined ? [] : [times]), ...values, ...(creations === undefined ? [] : [creations])]) {
    if (column.length !== rows) throw invalid(`The columns differ in length: ${column.length} and ${rows}.`);
  }
  if (rows > mostPushedRows) throw invalid(`A push has at most ${mostPushedRows} rows, not ${rows}.`);

  const counted = new Map<string, { entity: string; at: number; key: string; values: string; n: number; known: Micros | null }>();
  for (let row = 0; row < rows; row++) {
    const entity = entityOf(view.keys.map(({ name, type }, i) => readValue(keys[i]?.[row], type, name)));
    const at = times === undefined ? 0 : momentOf(times[row] ?? null, view.timestamp ?? "");
    // As in the dataset: a row without a key or a moment is none.
    if (entity === undefined || at === undefined) continue;
    const own = view.columns.map(({ name, type }, i): Value => readValue(values[i]?.[row], type, name));
    const created = view.created === undefined ? undefined : (momentOf(creations?.[row] ?? null, view.created) ?? at);
    if (created !== undefined) own.push(created);
    const text = JSON.stringify(own);
    const key = rowKey(view, text, created);
    const id = `${entity} ${at} ${key}`;
    const known = counted.get(id);
    if (known === undefined) counted.set(id, { entity, at, key, values: text, n: 1, known: created === undefined ? null : Math.max(at, created) });
    else if (view.kind === "latest") known.values = text;
    else known.n++;
  }
  const all = [...counted.values()];
  return {
    entity: all.map((row) => row.entity),
    at: all.map((row) => row.at),
    key: all.map((row) => row.key),
    values: all.map((row) => row.values),
    n: all.map((row) => row.n),
    known: all.map((row) => row.known),
  };
}

/** Rows of the view's dataset, as they are. `zone`: of the dataset's times that have none; online such a time would be another one. */
export function readRows(view: View, rows: readonly PushedRow[], zone: string | undefined): RowArrays {
  const names = [...view.keys, ...view.columns].map(({ name }) => name);
  const times = [view.timestamp, view.created].filter((name) => name !== undefined);
  const typed = [...view.keys, ...view.columns].flatMap(({ name, type }) => (type === "timestamp" ? [name] : []));
  const columns: Record<string, unknown[]> = {};
  for (const name of new Set([...names, ...times])) {
    if (rows.some((row) => row[name] !== undefined)) columns[name] = rows.map((row) => row[name] ?? null);
  }
  if (zone !== undefined && zone !== "UTC") {
    for (const name of new Set([...times, ...typed])) {
      const naive = columns[name]?.find((value) => typeof value === "string" && !/(Z|[+-]\d\d(:?\d\d)?)$/.test(value));
      if (naive !== undefined)
        throw invalid(`"${name}" is ${JSON.stringify(naive).slice(0, 100)}, without a zone: what goes online at once says it, as in 2013-03-01T12:00:00Z.`);
    }
  }
  return readPush(view, columns);
}

const expected = (view: View): string[] => [
  ...view.keys.map((key) => key.name),
  ...(view.timestamp === undefined ? [] : [view.timestamp]),
  ...view.columns.map((column) => column.name),
];

function momentOf(value: unknown, column: string): Micros | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value !== "string")
    throw invalid(`"${column}" is a timestamp, and ${JSON.stringify(value).slice(0, 100)} is not: write it as 2013-03-01T12:00:00Z.`);
  return parseTime(value);
}
