import type { ColumnType, FeatureServiceSpec } from "../spec.js";
import type { Model, Output, Table } from "./artifacts.js";
import { type Column, type Columns, type TypesOf, typesOf } from "./columns.js";
import { type Definition, define, type Problem } from "./definition.js";
import { type Expression, expressionType } from "./expressions.js";
import type { FeatureView, Told } from "./features.js";
import { given, here } from "./place.js";

/** What a model takes. `R` are the columns of a request, `F` the model's inputs. */
export interface FeatureService<out R extends Columns = Columns, out F extends Columns = Columns> extends Definition<"featureServices"> {
  /** Only for the types. */
  readonly request?: R;
  readonly inputs?: F;
  readonly timestamp: string;
}

/** Rows with the features of a service. */
export interface FeatureTable<out C extends Columns = Columns> extends Table<C> {
  readonly service: FeatureService;
}
/** What an evaluation found. */
export interface Report extends Output<"report"> {
  readonly service: FeatureService;
  readonly model: Model;
}

type FeaturesOf<V extends readonly FeatureView[]> = V[number] extends infer View
  ? View extends FeatureView<Columns, infer F>
    ? keyof F & string
    : never
  : never;
type TypeIn<V extends readonly FeatureView[], N> = V[number] extends infer View
  ? View extends FeatureView<Columns, infer F>
    ? N extends keyof F
      ? F[N]
      : never
    : never
  : never;
/** Every view's keys are columns of the request. */
type Keyed<R extends Columns, V extends readonly FeatureView[]> = {
  readonly [I in keyof V]: V[I] extends FeatureView<infer K> ? (R extends K ? V[I] : `The request lacks a key of this view: ${keyof K & string}`) : V[I];
};
type Compute<Known extends string> = Readonly<Record<string, Expression<Known>>>;
type TypeOfInput<R, V extends readonly FeatureView[], X, N> = N extends keyof X
  ? X[N] extends Expression<string, infer T>
    ? T
    : ColumnType
  : N extends keyof R
    ? R[N]
    : TypeIn<V, N>;
type Inputs<R extends Columns, V extends readonly FeatureView[], X, N extends string> = { readonly [K in N]: Extract<TypeOfInput<R, V, X, K>, ColumnType> };

/** The columns of a request, the features looked up by them, what is computed from both, and which of all these the model takes. */
export function featureService<
  const R extends Readonly<Record<string, Column>>,
  const V extends readonly FeatureView[],
  const X extends Compute<(keyof NoInfer<R> & string) | FeaturesOf<NoInfer<V>>> = Readonly<Record<never, never>>,
  const N extends (keyof R & string) | FeaturesOf<V> | (keyof X & string) = (keyof R & string) | FeaturesOf<V> | (keyof X & string),
>(
  options: {
    name: string;
    /** Columns that a request (online) or a row (offline) brings itself; the keys of the views are among them. */
    request: R;
    /** The request's column with the row's own moment, as of which features are joined. */
    timestamp: keyof NoInfer<R> & string;
    views: V & Keyed<TypesOf<NoInfer<R>>, V>;
    compute?: X;
    /** The model's inputs in order: columns of the request, features of the views, computed ones. */
    features: readonly N[];
  } & Told,
): FeatureService<TypesOf<R>, Inputs<TypesOf<R>, V, X, N>> {
  const problems: Problem[] = [];
  const at = here();
  const views: readonly FeatureView[] = options.views;
  const known: Record<string, ColumnType> = { ...typesOf<R>(options.request) };
  for (const view of views) {
    for (const [name, type] of Object.entries(view.features)) {
      if (name in known) problems.push(given({ message: `the feature "${name}" of the view "${view.name}" has a name that another one has`, at }));
      known[name] = type;
    }
  }
  const computed: Compute<string> = options.compute ?? {};
  const compute: FeatureServiceSpec["compute"] = [];
  const computedTypes: Record<string, ColumnType> = {};
  for (const [name, { expr }] of Object.entries(computed)) {
    const { type, problem } = expressionType(expr, known);
    if (problem !== undefined) problems.push(given({ message: `the computed feature "${name}": ${problem}`, at }));
    if (name in known) problems.push(given({ message: `the computed feature "${name}" has the name of a column or feature`, at }));
    computedTypes[name] = type ?? "string";
    compute.push({ name, type: type ?? "string", expr });
  }
  const types = { ...known, ...computedTypes };
  const names: readonly string[] = options.features;
  const spec: FeatureServiceSpec = given({
    name: options.name,
    request: Object.entries(options.request).map(([name, { type }]) => ({ name, type })),
    description: options.description,
    owner: options.owner,
    tags: options.tags,
    timestamp: options.timestamp,
    views: views.map((view) => view.name),
    compute,
    features: names.map((name) => ({ name, type: types[name] ?? "string" })),
    definedAt: at,
  });
  for (const name of names) {
    if (types[name] === undefined) problems.push(given({ message: `there is no column or feature "${name}" in the service "${options.name}"`, at }));
  }
  return { ...define("featureServices", spec, views, problems), timestamp: options.timestamp };
}
