/** What Feast's feature server answers, so that its clients read from here and push to here. */
import type { Columns } from "@millrace/sdk/api";
import { invalid } from "../platform/index.js";
import type { Cache } from "./cache.js";
import { entityOf, mostRequestRows } from "./online.js";
import { type Found, featuresAt } from "./timeline.js";
import { formatTime, type Micros, microsOf } from "./times.js";
import { readValue, type Value } from "./values.js";
import type { View, Views } from "./views.js";

export interface FeastRead {
  features?: string[];
  feature_service?: string | null;
  entities: Columns;
  full_feature_names?: boolean;
}
type FeastStatus = "PRESENT" | "NULL_VALUE" | "NOT_FOUND" | "OUTSIDE_MAX_AGE";
export interface FeastAnswer {
  metadata: { feature_names: string[] };
  results: { values: Value[]; statuses: FeastStatus[]; event_timestamps: string[] }[];
}
export interface Feast {
  /** Throws a 400 or a 404 that says what is not there. */
  read(body: FeastRead, at: Date): Promise<FeastAnswer>;
  /** `source` is a view, or a dataset whose views take the rows as they are. */
  push(source: string, rows: Columns): Promise<void>;
  /** All views, or those that are named. */
  materialize(names: string[] | undefined): Promise<void>;
}

interface Parts {
  views: Views;
  cache: Cache;
  push: (view: View, rows: Columns) => Promise<void>;
  materialize: (view: View) => Promise<number>;
}
/** No time at all, as Feast tells it. */
const never = "1970-01-01T00:00:00Z";

export function createFeast({ views, cache, push, materialize }: Parts): Feast {
  return {
    async read(body, at) {
      const asked = await askedOf(views, body);
      const rows = Object.values(body.entities)[0]?.length ?? 0;
      if (rows > mostRequestRows) throw invalid(`A request has at most ${mostRequestRows} rows, not ${rows}.`);
      const entities = new Map<string, Value[]>();
      const own = [...new Set(asked.map((one) => one.view))];
      for (const { name, type } of own.flatMap((view) => view.keys)) {
        const column = body.entities[name];
        if (column === undefined) throw invalid(`The entities lack "${name}" (${type}), by which the features are looked up.`);
        if (column.length !== rows) throw invalid(`"${name}" has ${column.length} values where another entity has ${rows}.`);
        entities.set(
          name,
          column.map((value) => readValue(value, type, name)),
        );
      }
      const moment = microsOf(at);
      const keys = own.map((view) => Array.from({ length: rows }, (_, row) => entityOf(view.keys.map(({ name }) => entities.get(name)?.[row] ?? null))));
      const needed = own.map((view, v) => ({
        view,
        entities: new Map((keys[v] ?? []).flatMap((entity): [string, Micros][] => (entity === undefined ? [] : [[entity, moment]]))),
      }));
      const timelines = await cache.timelines(needed);
      const found = own.map((view, v) =>
        (keys[v] ?? []).map((entity) => featuresAt(view, entity === undefined ? undefined : timelines[v]?.get(entity), moment)),
      );
      const times = found.map((rows) => rows.map((one) => (one.at === undefined ? never : formatTime(one.at))));
      const full = body.full_feature_names === true;
      const names = [...entities.keys(), ...asked.map(({ view, name }) => (full ? `${view.name}__${name}` : name))];
      const twice = names.find((name, i) => names.indexOf(name) !== i);
      if (twice !== undefined) throw invalid(`Two features are named "${twice}": ask with full_feature_names.`);
      return {
        metadata: { feature_names: names },
        results: [
          ...[...entities.values()].map((values) => ({ values, statuses: values.map(() => "PRESENT" as const), event_timestamps: values.map(() => never) })),
          ...asked.map(({ view, feature }) => vectorOf(found[own.indexOf(view)] ?? [], times[own.indexOf(view)] ?? [], feature)),
        ],
      };
    },
    async push(source, rows) {
      const all = (await views.all()).map((one) => one.spec);
      const named = all.filter((spec) => spec.name === source);
      const targets = named.length > 0 ? named : all.filter((spec) => spec.source.dataset === source && spec.source.sql === undefined);
      if (targets.length === 0) throw invalid(`There is no feature view "${source}", and no view that takes the rows of a dataset "${source}" as they are.`);
      const resolved = await Promise.all(targets.map((spec) => views.view(spec.name)));
      await Promise.all(resolved.map((view) => push(view, withTimes(view, rows))));
    },
    async materialize(names) {
      const all = (await views.all()).map((one) => one.spec.name);
      for (const name of names ?? all) await materialize(await views.view(name));
    },
  };
}

function vectorOf(found: Found[], times: string[], feature: number): FeastAnswer["results"][number] {
  const values = found.map((one) => one.values[feature] ?? null);
  return {
    values,
    statuses: found.map((one, row) => (one.status === "PRESENT" && values[row] === null ? "NULL_VALUE" : one.status)),
    event_timestamps: times,
  };
}

/** The features that are asked for, each with its view and its place in it. */
async function askedOf(views: Views, body: FeastRead): Promise<{ view: View; name: string; feature: number }[]> {
  const { features = [], feature_service: service } = body;
  if (typeof service === "string" && service !== "") {
    const { spec, views: own } = await views.service(service);
    const wanted = new Set(spec.features.map((one) => one.name));
    return own.flatMap((view) => view.features.flatMap(({ name }, feature) => (wanted.has(name) ? [{ view, name, feature }] : [])));
  }
  if (features.length === 0) throw invalid('Name the features, as "weather:temp", or a feature_service.');
  return Promise.all(
    features.map(async (reference) => {
      const [of = "", name = "", ...rest] = reference.split(":");
      if (name === "" || rest.length > 0) throw invalid(`"${reference.slice(0, 100)}" names no feature: write it as view:feature.`);
      const view = await views.view(of);
      const feature = view.features.findIndex((one) => one.name === name);
      if (feature < 0) throw invalid(`The view "${of}" has no feature "${name}". It has ${view.features.map((one) => one.name).join(", ")}.`);
      return { view, name, feature };
    }),
  );
}

/** Feast's clients call the times `event_timestamp` and `created`, whatever the view calls them, and leave the zone out. */
function withTimes(view: View, rows: Columns): Columns {
  const made = { ...rows };
  for (const [own, theirs] of [
    [view.timestamp, "event_timestamp"],
    [view.created, "created"],
  ] as const) {
    const column = rows[theirs];
    if (own !== undefined && rows[own] === undefined && column !== undefined) made[own] = column;
  }
  return made;
}
