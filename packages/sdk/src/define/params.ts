import type { ParamSpec } from "../spec.js";

export type ParamType = ParamSpec["type"];
/** What a param's value is in TypeScript. */
interface Values {
  string: string;
  int: number;
  float: number;
  boolean: boolean;
  month: `${number}-${number}` | "latest";
  enum: string;
}
export type ValueOf<T extends ParamType> = Values[T];

/** The declaration of a param, of a pipeline or of a Python step. `V` are its values. */
export interface Param<out T extends ParamType = ParamType, out Optional extends boolean = boolean, out V extends ValueOf<T> = ValueOf<T>> {
  readonly param: T;
  readonly optional: Optional;
  readonly default?: V;
  readonly values?: readonly V[];
}
/** What a pipeline's body is given for a param: known when a run starts. */
export interface ParamRef<out T extends ParamType = ParamType, out V extends ValueOf<T> = ValueOf<T>> {
  readonly paramOf: string;
  readonly paramType: T;
  readonly name: string;
  /** Only for the types. */
  readonly value?: V;
}

interface Declare<T extends ParamType> {
  (): Param<T, false>;
  (options: { default: ValueOf<T> }): Param<T, true>;
}
function declare<T extends ParamType>(type: T): Declare<T> {
  function declared(): Param<T, false>;
  function declared(options: { default: ValueOf<T> }): Param<T, true>;
  function declared(options?: { default: ValueOf<T> }): Param<T> {
    return options === undefined ? { param: type, optional: false } : { param: type, optional: true, default: options.default };
  }
  return declared;
}

/** A whole number: `int()`, or `int({ default: 6 })`. */
export const int = declare("int");
export const float = declare("float");
export const bool = declare("boolean");
export const text = declare("string");
/** `month()` of the expressions hands its options here. */
export const monthParam = declare("month");

/** One of the values: `choice(["small", "large"], { default: "small" })`. */
export function choice<const V extends string>(values: readonly V[]): Param<"enum", false, V>;
export function choice<const V extends string>(values: readonly V[], options: { default: NoInfer<V> }): Param<"enum", true, V>;
export function choice<const V extends string>(values: readonly V[], options?: { default: V }): Param<"enum", boolean, V> {
  return options === undefined ? { param: "enum", optional: false, values } : { param: "enum", optional: true, values, default: options.default };
}

export function paramSpec(name: string, declared: Param): ParamSpec {
  const spec: ParamSpec = { name, type: declared.param };
  if (declared.values !== undefined) spec.values = declared.values.map(String);
  if (declared.default !== undefined) spec.default = declared.default;
  return spec;
}
