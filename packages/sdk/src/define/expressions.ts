import type { ColumnType, Expr } from "../spec.js";
import { monthParam, type Param, type ValueOf } from "./params.js";

/**
 * A computation that gives the same value offline and online. `Refs` are the columns it reads: one that does not exist is an error
 * where the expression is used.
 */
export interface Expression<out Refs extends string = string, out T extends ColumnType = ColumnType> {
  readonly expr: Expr;
  readonly refs: readonly Refs[];
  /** Only for the types. */
  readonly type?: T;
}
type Operand = Expression | number;
/** The columns that an operand reads. */
type Refs<E> = E extends Expression<infer R> ? R : never;

function make<R extends string, T extends ColumnType>(expr: Expr, of: readonly Expression<R>[]): Expression<R, T> {
  return { expr, refs: [...new Set(of.flatMap((one) => one.refs))] };
}
function operand<E extends Operand>(value: E): Expression<Refs<E>>;
function operand(value: Operand): Expression {
  return typeof value === "number" ? lit(value) : value;
}

/** A column of the request, or a feature of a view. */
export const col = <const N extends string>(name: N): Expression<N> => ({ expr: { op: "column", name }, refs: [name] });
export const lit = (value: number | string | boolean | null): Expression<never> => ({ expr: { op: "literal", value }, refs: [] });

type Binary = "add" | "subtract" | "multiply" | "divide" | "equal" | "less" | "less_or_equal";
const binary =
  <T extends ColumnType>(op: Binary) =>
  <L extends Operand, R extends Operand>(left: L, right: R): Expression<Refs<L> | Refs<R>, T> => {
    const [a, b]: readonly [Expression<Refs<L> | Refs<R>>, Expression<Refs<L> | Refs<R>>] = [operand(left), operand(right)];
    return make({ op, left: a.expr, right: b.expr }, [a, b]);
  };
export const add = binary<"int64" | "float64">("add");
export const subtract = binary<"int64" | "float64">("subtract");
export const multiply = binary<"int64" | "float64">("multiply");
export const divide = binary<"float64">("divide");
export const equal = binary<"boolean">("equal");
export const less = binary<"boolean">("less");
export const lessOrEqual = binary<"boolean">("less_or_equal");

type Part = "year" | "month" | "day_of_month" | "day_of_week" | "hour" | "minute";
const part =
  (op: Part) =>
  /** Of a moment as a clock in the zone shows it, as `America/New_York`. */
  <E extends Expression>(of: E, zone: string): Expression<Refs<E>, "int64"> =>
    make({ op, of: of.expr, zone }, [operand(of)]);
export const year = part("year");
export const dayOfMonth = part("day_of_month");
/** 1 is Monday, 7 is Sunday. */
export const dayOfWeek = part("day_of_week");
export const hour = part("hour");
export const minute = part("minute");

interface MonthOptions {
  default: ValueOf<"month">;
}
/** With a moment and a zone: its month, 1 to 12. Without: a param that is a month, as `2013-03`, or `latest` for all there is. */
export function month<E extends Expression>(of: E, zone: string): Expression<Refs<E>, "int64">;
export function month(): Param<"month", false>;
export function month(options: MonthOptions): Param<"month", true>;
export function month(of?: Expression | MonthOptions, zone?: string): Expression<string, "int64"> | Param<"month"> {
  if (of === undefined) return monthParam();
  return "expr" in of ? part("month")(of, zone ?? "UTC") : monthParam(of);
}

export const isNull = <E extends Expression>(of: E): Expression<Refs<E>, "boolean"> => make({ op: "is_null", of: of.expr }, [operand(of)]);
/** The first that is not null. */
export function coalesce<const E extends readonly [Expression, ...Operand[]]>(...values: E): Expression<Refs<E[number]>>;
export function coalesce(...values: readonly [Expression, ...Operand[]]): Expression {
  const all = values.map((one) => operand(one));
  return make({ op: "coalesce", of: all.map((one) => one.expr) }, all);
}

/** The type of the result, or what is wrong. Columns that are not known were reported elsewhere. */
export function expressionType(expr: Expr, columns: Readonly<Record<string, ColumnType>>): { type?: ColumnType; problem?: string } {
  const of = (inner: Expr) => expressionType(inner, columns);
  switch (expr.op) {
    case "column": {
      const type = columns[expr.name];
      return type === undefined ? { problem: `there is no column "${expr.name}" in the request or the views` } : { type };
    }
    case "literal":
      if (expr.value === null) return {};
      if (typeof expr.value === "number") return { type: Number.isInteger(expr.value) ? "int64" : "float64" };
      return { type: typeof expr.value === "string" ? "string" : "boolean" };
    case "add":
    case "subtract":
    case "multiply":
    case "divide": {
      const [a, b] = [of(expr.left), of(expr.right)];
      const problem = a.problem ?? b.problem;
      if (problem !== undefined) return { problem };
      for (const { type } of [a, b]) {
        if (type !== undefined && type !== "int64" && type !== "float64") return { problem: `${expr.op} takes numbers, not ${type}` };
      }
      return { type: expr.op !== "divide" && a.type === "int64" && b.type === "int64" ? "int64" : "float64" };
    }
    case "equal":
    case "less":
    case "less_or_equal": {
      const problem = of(expr.left).problem ?? of(expr.right).problem;
      return problem === undefined ? { type: "boolean" } : { problem };
    }
    case "is_null": {
      const { problem } = of(expr.of);
      return problem === undefined ? { type: "boolean" } : { problem };
    }
    case "coalesce": {
      const all = expr.of.map(of);
      const problem = all.find((one) => one.problem !== undefined)?.problem;
      if (problem !== undefined) return { problem };
      const types = [...new Set(all.flatMap((one) => one.type ?? []))];
      const numbers = types.every((type) => type === "int64" || type === "float64");
      if (types.length > 1 && !numbers) return { problem: `coalesce takes values of one type, not of ${types.join(" and ")}` };
      return { type: types.length > 1 ? "float64" : (types[0] ?? "string") };
    }
    default: {
      const inner = of(expr.of);
      if (inner.problem !== undefined) return inner;
      if (inner.type !== undefined && inner.type !== "timestamp") return { problem: `${expr.op} is taken from a timestamp, not from ${inner.type}` };
      return { type: "int64" };
    }
  }
}
