import { createHash } from "node:crypto";
import { durationMs } from "@millrace/sdk";
import type { ColumnType, EntitySpec, FeatureServiceSpec, FeatureViewSpec } from "@millrace/sdk/spec";
import { invalid } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { exprFunction } from "./expr.js";
import type { Micros } from "./times.js";

type WindowSpec = Extract<FeatureViewSpec, { kind: "window" }>;
export type WindowFeature = WindowSpec["features"][number];

/** A column of a view's source whose values are kept for each row. */
export interface SourceColumn {
  name: string;
  type: ColumnType;
}

interface ViewBase {
  name: string;
  keys: { name: string; type: ColumnType }[];
  dataset: string;
  sql: string | undefined;
  columns: SourceColumn[];
  /** The column that says when a row became known; without it, its moment does. */
  created: string | undefined;
  /** How often it is materialized; undefined: at each arrival. */
  every: number | undefined;
  features: { name: string; type: ColumnType }[];
  /** Of all that decides about the stored rows. */
  digest: string;
}
export interface LatestView extends ViewBase {
  kind: "latest";
  timestamp: string | undefined;
  ttl: Micros | undefined;
}
export interface WindowView extends ViewBase {
  kind: "window";
  timestamp: string;
  /** For each feature: its aggregate, the number of its column (undefined: it counts rows), the length of its window. */
  aggregates: { aggregate: WindowFeature["aggregate"]; column: number | undefined; over: Micros }[];
  longest: Micros;
}
/** A feature view with what it refers to. */
export type View = LatestView | WindowView;

export interface Service {
  spec: FeatureServiceSpec;
  views: View[];
  /** The types of the request's columns and of the views' features, by name. */
  types: Record<string, ColumnType>;
}

export function resolveView(spec: FeatureViewSpec, entity: EntitySpec): View {
  const base = {
    ...{ name: spec.name, keys: entity.keys, dataset: spec.source.dataset, sql: spec.source.sql, created: spec.created },
    every: spec.materialize === undefined ? undefined : Math.max(durationMs(spec.materialize), 1_000),
  };
  if (spec.created !== undefined && spec.timestamp === undefined)
    throw invalid(`The view "${spec.name}" says when its rows were created and names no timestamp.`);
  const features = spec.features.map(({ name, type }) => ({ name, type }));
  if (spec.kind === "latest") {
    const ttl = spec.ttl === undefined ? undefined : durationMs(spec.ttl) * 1_000;
    return { ...base, kind: "latest", timestamp: spec.timestamp, ttl, features, columns: features, digest: digestOf(spec, entity, features) };
  }
  const columns: SourceColumn[] = [];
  const aggregates = spec.features.map((feature) => {
    const { name, aggregate, column, type, of = "string" } = feature;
    if (column === undefined && aggregate !== "count") throw invalid(`The feature "${name}" of the view "${spec.name}" is a ${aggregate} and names no column.`);
    if (column !== undefined && aggregate === "count") throw invalid(`The feature "${name}" of the view "${spec.name}" counts events and takes no column.`);
    return {
      aggregate,
      column: column === undefined ? undefined : columnNumber(columns, column, columnType(aggregate, type, of)),
      over: durationMs(feature.over) * 1_000,
    };
  });
  const longest = Math.max(...aggregates.map((one) => one.over));
  return { ...base, kind: "window", timestamp: spec.timestamp, features, aggregates, columns, longest, digest: digestOf(spec, entity, columns) };
}

/** A share is of a column that is true or false; what is summed is a number; the last value is what the feature is. */
function columnType(aggregate: WindowFeature["aggregate"], feature: ColumnType, of: ColumnType): ColumnType {
  if (aggregate === "share") return "boolean";
  if (aggregate === "last") return feature;
  return aggregate === "distinct" ? of : "float64";
}
function columnNumber(columns: SourceColumn[], name: string, type: ColumnType): number {
  const known = columns.findIndex((column) => column.name === name && column.type === type);
  return known >= 0 ? known : columns.push({ name, type }) - 1;
}

function digestOf(spec: FeatureViewSpec, entity: EntitySpec, columns: SourceColumn[]): string {
  const parts = [1, spec.kind, entity.keys, spec.source.dataset, spec.source.sql ?? null, spec.timestamp ?? null, columns];
  const text = JSON.stringify(spec.created === undefined ? parts : [...parts, spec.created]);
  return createHash("sha256").update(text).digest("hex");
}

/** Views and services as applied last. A definition that has not changed is resolved once. */
export function openViews(projects: Pick<Projects, "require" | "list">) {
  const services = new WeakMap<FeatureServiceSpec, { views: View[]; service: Service }>();
  const views = new WeakMap<FeatureViewSpec, { entity: EntitySpec; view: View }>();

  async function view(name: string): Promise<View> {
    const { spec } = await projects.require("feature_view", name);
    const entity = (await projects.require("entity", spec.entity)).spec;
    const known = views.get(spec);
    if (known?.entity === entity) return known.view;
    const resolved = resolveView(spec, entity);
    views.set(spec, { entity, view: resolved });
    return resolved;
  }
  async function service(name: string): Promise<Service> {
    const { spec } = await projects.require("feature_service", name);
    const resolved = await Promise.all(spec.views.map(view));
    const known = services.get(spec);
    if (known?.views.every((one, i) => one === resolved[i])) return known.service;
    const made = { spec, views: resolved, types: typesOf(spec, resolved) };
    services.set(spec, { views: resolved, service: made });
    return made;
  }
  return { view, service, all: async () => projects.list("feature_view") };
}
export type Views = ReturnType<typeof openViews>;

function typesOf(spec: FeatureServiceSpec, views: View[]): Record<string, ColumnType> {
  const types: Record<string, ColumnType> = Object.fromEntries(spec.request.map(({ name, type }) => [name, type]));
  for (const view of views) {
    for (const key of view.keys) {
      if (types[key.name] === undefined)
        throw invalid(`The service "${spec.name}" needs "${key.name}" in its request: the view "${view.name}" is looked up by it.`);
    }
    for (const { name, type } of view.features) {
      if (types[name] !== undefined) throw invalid(`The service "${spec.name}" has two columns "${name}": give the feature of "${view.name}" another name.`);
      types[name] = type;
    }
  }
  if (types[spec.timestamp] !== "timestamp")
    throw invalid(`The timestamp "${spec.timestamp}" of the service "${spec.name}" must be a timestamp of its request.`);
  const computed = spec.compute.map(({ name, type, expr }) => {
    exprFunction(expr, types, type);
    return [name, type] as const;
  });
  const all: Record<string, ColumnType> = { ...types, ...Object.fromEntries(computed) };
  const unknown = spec.features.find(({ name }) => all[name] === undefined);
  if (unknown !== undefined) throw invalid(`The service "${spec.name}" names the feature "${unknown.name}", which nothing gives.`);
  return types;
}
