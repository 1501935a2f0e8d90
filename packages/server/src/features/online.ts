import type { Columns, OnlineFeatures } from "@millrace/sdk/api";
import type { ColumnType } from "@millrace/sdk/spec";
import { invalid } from "../platform/index.js";
import type { Cache, Needed } from "./cache.js";
import { exprFunction } from "./expr.js";
import { featuresAt, type Timeline } from "./timeline.js";
import { type Micros, microsOf } from "./times.js";
import { readValue, type Value } from "./values.js";
import type { Service, View } from "./views.js";

export const mostRequestRows = 10_000;

/** The key of an entity: its key columns in order. undefined where one of them is missing. */
export function entityOf(values: Value[]): string | undefined {
  return values.includes(null) ? undefined : JSON.stringify(values);
}

type Compute = { name: string; evaluate: ReturnType<typeof exprFunction> };
const computed = new WeakMap<Service, Compute[]>();
function computeOf(service: Service): Compute[] {
  const known = computed.get(service);
  if (known !== undefined) return known;
  const made = service.spec.compute.map(({ name, type, expr }) => ({ name, evaluate: exprFunction(expr, service.types, type) }));
  computed.set(service, made);
  return made;
}

/** The model's inputs for rows of a request, each at its own moment. */
export async function readOnline(cache: Cache, service: Service, request: Columns, at: Date[]): Promise<OnlineFeatures> {
  const rows = at.length;
  if (rows > mostRequestRows) throw invalid(`A request has at most ${mostRequestRows} rows, not ${rows}.`);
  const all = readRequest(service, request, rows);
  const moments = at.map(microsOf);
  const entities = service.views.map((view) => entitiesOf(view, all, rows));
  const timelines = await cache.timelines(service.views.map((view, v) => needed(view, entities[v] ?? [], moments)));

  const status: OnlineFeatures["status"] = {};
  service.views.forEach((view, v) => {
    const found = moments.map((moment, row) => lookUp(view, timelines[v], entities[v]?.[row], moment));
    status[view.name] = found.map((one) => one.status);
    view.features.forEach(({ name }, i) => {
      all[name] = found.map((one) => one.values[i] ?? null);
    });
  });
  for (const { name, evaluate } of computeOf(service)) all[name] = moments.map((_, row) => evaluate(all, row));
  return { features: Object.fromEntries(service.spec.features.map(({ name }) => [name, all[name] ?? []])), status };
}

function lookUp(view: View, timelines: Map<string, Timeline> | undefined, entity: string | undefined, moment: Micros) {
  return featuresAt(view, entity === undefined ? undefined : timelines?.get(entity), moment);
}

function readRequest(service: Service, request: Columns, rows: number): Record<string, Value[]> {
  const all: Record<string, Value[]> = {};
  for (const { name, type } of service.spec.request) {
    const column = request[name];
    if (column === undefined) throw invalid(`The request lacks "${name}" (${type}), which the service "${service.spec.name}" takes.`);
    if (column.length !== rows) throw invalid(`"${name}" has ${column.length} values where the request has ${rows} rows.`);
    all[name] = readColumn(column, type, name);
  }
  return all;
}

/** Rows often share a value, above all their moment. */
function readColumn(column: Columns[string], type: ColumnType, name: string): Value[] {
  let [told, read]: [Columns[string][number] | undefined, Value] = [undefined, null];
  return column.map((value) => {
    if (value !== told) [told, read] = [value, readValue(value, type, name)];
    return read;
  });
}

function entitiesOf(view: View, columns: Record<string, Value[]>, rows: number): (string | undefined)[] {
  return Array.from({ length: rows }, (_, row) => entityOf(view.keys.map(({ name }) => columns[name]?.[row] ?? null)));
}

function needed(view: View, entities: (string | undefined)[], moments: Micros[]): Needed {
  const earliest = new Map<string, Micros>();
  entities.forEach((entity, row) => {
    const moment = moments[row] ?? 0;
    if (entity !== undefined) earliest.set(entity, Math.min(earliest.get(entity) ?? moment, moment));
  });
  return { view, entities: earliest };
}
