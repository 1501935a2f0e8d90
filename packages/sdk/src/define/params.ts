import type { InputRef, ParamSpec } from "../spec.js";
import { given } from "./place.js";

export type ParamType = ParamSpec["type"];
/** What a param's value is in TypeScript. */
interface Values {
  string: string;
  int: number;
  float: number;
  boolean: boolean;
  month: `${number}-${number}` | "latest";
  enum: string;
  list: readonly (string | number)[];
}
export type ValueOf<T extends ParamType> = Values[T];

/** The declaration of a param, of a pipeline or of a step. `V` are its values. */
export interface Param<out T extends ParamType = ParamType, out Optional extends boolean = boolean, out V extends ValueOf<T> = ValueOf<T>> {
  readonly param: T;
  readonly optional: Optional;
  readonly default?: V;
  readonly values?: readonly V[];
  readonly min?: number;
  readonly max?: number;
  readonly description?: string;
}
/** What a pipeline's body is given for a param: known when a run starts. */
export interface ParamRef<out T extends ParamType = ParamType, out V extends ValueOf<T> = ValueOf<T>> {
  readonly paramOf: string;
  readonly paramType: T;
  readonly name: string;
  /** Where the pipeline is used within another one: what it is given there. */
  readonly source?: InputRef;
  /** Only for the types. */
  readonly value?: V;
}

interface Described {
  description?: string;
}
interface Bounded extends Described {
  /** Inclusive. */
  min?: number;
  max?: number;
}
interface Declare<T extends ParamType, O extends Described> {
  (options?: O & { default?: never }): Param<T, false>;
  (options: O & { default: ValueOf<T> }): Param<T, true>;
}
function declare<T extends ParamType, O extends Described = Described>(type: T): Declare<T, O> {
  function declared(options?: O & { default?: never }): Param<T, false>;
  function declared(options: O & { default: ValueOf<T> }): Param<T, true>;
  function declared(options?: O & { default?: ValueOf<T> }): Param<T> {
    return { param: type, optional: options?.default !== undefined, ...options };
  }
  return declared;
}

/** A whole number: `int()`, or `int({ default: 6, min: 1, max: 20 })`. */
export const int = declare<"int", Bounded>("int");
export const float = declare<"float", Bounded>("float");
export const bool = declare("boolean");
export const text = declare("string");
/** `month()` of the expressions hands its options here. */
export const monthParam = declare("month");

/** One of the values: `choice(["small", "large"], { default: "small" })`. */
export function choice<const V extends string>(values: readonly V[], options?: Described & { default?: never }): Param<"enum", false, V>;
export function choice<const V extends string>(values: readonly V[], options: Described & { default: NoInfer<V> }): Param<"enum", true, V>;
export function choice<const V extends string>(values: readonly V[], options: Described & { default?: V } = {}): Param<"enum", boolean, V> {
  return { param: "enum", optional: options.default !== undefined, values, ...options };
}

/** Texts or numbers, what `map` goes over: `list<string>()`, `list({ default: [1, 2, 3] })`. */
export function list<V extends string | number = string | number>(options?: Described & { default?: never }): Param<"list", false, readonly V[]>;
export function list<V extends string | number>(options: Described & { default: readonly V[] }): Param<"list", true, readonly V[]>;
export function list<V extends string | number>(options: Described & { default?: readonly V[] } = {}): Param<"list", boolean, readonly V[]> {
  return { param: "list", optional: options.default !== undefined, ...options };
}

export function paramSpec(name: string, declared: Param): ParamSpec {
  return given({
    name,
    type: declared.param,
    description: declared.description,
    values: declared.values?.map(String),
    min: declared.min,
    max: declared.max,
    default: plain(declared.default),
  });
}

/** A value as the document holds it. */
export function plain(value: string | number | boolean | readonly (string | number)[] | undefined): ParamSpec["default"] {
  return typeof value === "object" ? [...value] : value;
}
