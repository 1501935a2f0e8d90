import type { Aggregate, ColumnType, EntitySpec, FeatureViewSpec } from "../spec.js";
import { type Column, type Columns, type TypesOf, typesOf } from "./columns.js";
import { type Source, sourceDataset, sourceSpec } from "./data.js";
import { type Definition, type DurationText, define } from "./definition.js";
import { given, here } from "./place.js";

/** Who answers for a definition, and what it is found by. */
export interface Told {
  description?: string;
  owner?: string;
  tags?: string[];
}

interface ViewOptions<C extends Columns> extends Told {
  /** The column that says when a row's values came to be known, where that can be later than its timestamp: corrections are not seen before. */
  created?: keyof C & string;
  /** How often what the dataset accepted is brought online, as `1h`. Without it, as soon as it is accepted. */
  materialize?: DurationText;
}

/** What features are of. `K` are the columns that name one. */
export interface Entity<out K extends Columns = Columns> extends Definition<"entities"> {
  readonly keys: K;
}
export function entity<const K extends Readonly<Record<string, Column>>>(options: { name: string; keys: K } & Told): Entity<TypesOf<K>> {
  const keys = typesOf(options.keys);
  const spec: EntitySpec = given({ ...options, keys: Object.entries(options.keys).map(([name, { type }]) => ({ name, type })) });
  return { ...define("entities", spec), keys };
}

/** Features of one entity. `K` are its keys, `F` the features. */
export interface FeatureView<out K extends Columns = Columns, out F extends Columns = Columns> extends Definition<"featureViews"> {
  readonly keys: K;
  readonly features: F;
}

/** Each feature is a column of the source, of its type. */
type FromSource<C extends Columns, F> = { [N in keyof F]: N extends keyof C ? Column<C[N]> : `The source has no column "${N & string}".` };

/** The newest row of an entity, not older than `ttl`. */
export function featureView<K extends Columns, C extends Columns, const F extends Readonly<Record<string, Column>>>(
  options: ViewOptions<NoInfer<C>> & {
    name: string;
    entity: Entity<K>;
    source: Source<C>;
    /** The column that says from when on a row's values were known. Without it the values hold for all time. */
    timestamp?: keyof NoInfer<C> & string;
    ttl?: DurationText;
    features: F & FromSource<NoInfer<C>, F>;
  },
): FeatureView<K, TypesOf<F>> {
  const columns: Readonly<Record<string, Column>> = options.features;
  const spec: FeatureViewSpec = given({
    kind: "latest" as const,
    ...options,
    entity: options.entity.name,
    source: sourceSpec(options.source),
    features: Object.entries(columns).map(([name, { type, unit, rule }]) => given({ name, type, unit, description: rule.description })),
    definedAt: here(),
  });
  const features = typesOf<F>(options.features);
  return { ...define("featureViews", spec, [options.entity, sourceDataset(options.source)]), keys: options.entity.keys, features };
}

/** An aggregate over the events of the time before a moment. `N` is the column it reads. */
export interface WindowFeature<out N extends string = string, out T extends ColumnType = ColumnType> {
  readonly aggregate: Aggregate;
  readonly column?: N;
  readonly type: T;
  readonly of?: ColumnType;
  readonly over: DurationText;
}
interface Over<N extends string, T extends ColumnType> {
  /** The length of the window (t − over, t] before a row's moment t. */
  over(length: DurationText): WindowFeature<N, T>;
}
const aggregate = <N extends string, T extends ColumnType>(kind: Aggregate, type: T, column?: N, of?: ColumnType): Over<N, T> => ({
  over: (length) => ({ aggregate: kind, type, over: length, ...(column === undefined ? {} : { column }), ...(of === undefined ? {} : { of }) }),
});
/** How many events. */
export const count = (): Over<never, "int64"> => aggregate<never, "int64">("count", "int64");
export const sum = <const N extends string>(column: N): Over<N, "float64"> => aggregate("sum", "float64", column);
export const mean = <const N extends string>(column: N): Over<N, "float64"> => aggregate("mean", "float64", column);
/** The share, 0 to 1, of events for which a boolean column is true, of those for which it is not null. */
export const share = <const N extends string>(column: N): Over<N, "float64"> => aggregate("share", "float64", column);

export const min = <const N extends string>(column: N): Over<N, "float64"> => aggregate("min", "float64", column);
export const max = <const N extends string>(column: N): Over<N, "float64"> => aggregate("max", "float64", column);
/** The sample's standard deviation; missing where there are less than two values. */
export const stddev = <const N extends string>(column: N): Over<N, "float64"> => aggregate("stddev", "float64", column);
/** The newest value in the window. `type` is the column's; default float64. */
export function last<const N extends string>(column: N): Over<N, "float64">;
export function last<const N extends string, const T extends ColumnType>(column: N, type: T): Over<N, T>;
export function last(column: string, type: ColumnType = "float64"): Over<string, ColumnType> {
  return aggregate("last", type, column);
}
/** How many different values. `type` is the column's; default string. */
export const distinct = <const N extends string>(column: N, type: ColumnType = "string"): Over<N, "int64"> => aggregate("distinct", "int64", column, type);

/** Aggregates of an entity's events over the time before a moment. */
export function window<K extends Columns, C extends Columns, const F extends Readonly<Record<string, WindowFeature<keyof NoInfer<C> & string>>>>(
  options: ViewOptions<NoInfer<C>> & {
    name: string;
    entity: Entity<K>;
    events: Source<C>;
    /** The column that says when an event became known. */
    timestamp: keyof NoInfer<C> & string;
    features: F;
  },
): FeatureView<K, { readonly [N in keyof F]: F[N]["type"] }> {
  const { events, ...rest } = options;
  const spec: FeatureViewSpec = given({
    kind: "window" as const,
    ...rest,
    entity: options.entity.name,
    source: sourceSpec(events),
    features: Object.entries(options.features).map(([name, feature]) => ({ name, ...feature })),
    definedAt: here(),
  });
  const features = Object.fromEntries(Object.entries(options.features).map(([name, { type }]) => [name, type])) as { readonly [N in keyof F]: F[N]["type"] };
  return { ...define("featureViews", spec, [options.entity, sourceDataset(events)]), keys: options.entity.keys, features };
}
