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
export type Operand = Expression | number | string;
/** The columns that an operand reads. */
export type Refs<E> = E extends Expression<infer R> ? R : never;

function make<R extends string, T extends ColumnType>(expr: Expr, of: readonly Expression<R>[]): Expression<R, T> {
  return { expr, refs: [...new Set(of.flatMap((one) => one.refs))] };
}
function operand<E extends Operand>(value: E): Expression<Refs<E>>;
function operand(value: Operand): Expression {
  return typeof value === "object" ? value : lit(value);
}

/** A column of the request, or a feature of a view. */
export const col = <const N extends string>(name: N): Expression<N> => ({ expr: { op: "column", name }, refs: [name] });
export const lit = (value: number | string | boolean | null): Expression<never> => ({ expr: { op: "literal", value }, refs: [] });

type Binary = Extract<Expr, { left: Expr }>["op"];
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
/** What is left of a division, with the sign of the first. Missing where the second is 0. */
export const modulo = binary<"float64">("modulo");
export const equal = binary<"boolean">("equal");
export const less = binary<"boolean">("less");
export const lessOrEqual = binary<"boolean">("less_or_equal");

export const greater = <L extends Operand, R extends Operand>(left: L, right: R): Expression<Refs<L> | Refs<R>, "boolean"> => less(right, left);
export const greaterOrEqual = <L extends Operand, R extends Operand>(left: L, right: R): Expression<Refs<L> | Refs<R>, "boolean"> => lessOrEqual(right, left);

/** From the first moment to the second; below 0 where the second is the earlier. */
export const secondsBetween = binary<"float64">("seconds_between");
export const hoursBetween = <L extends Operand, R extends Operand>(from: L, to: R) => divide(secondsBetween(from, to), 3_600);
export const daysBetween = <L extends Operand, R extends Operand>(from: L, to: R) => divide(secondsBetween(from, to), 86_400);

/** Whether a text has another one in it. Letters are told apart by their case. */
export const contains = binary<"boolean">("contains");
export const startsWith = binary<"boolean">("starts_with");
export const endsWith = binary<"boolean">("ends_with");

const unary =
  <T extends ColumnType>(op: Extract<Expr, { of: Expr; zone?: never; values?: never; start?: never }>["op"]) =>
  <E extends Operand>(of: E): Expression<Refs<E>, T> => {
    const given: Expression<Refs<E>> = operand(of);
    return make({ op, of: given.expr }, [given]);
  };
export const abs = unary<"int64" | "float64">("abs");
/** Missing where the number is below 0. */
export const sqrt = unary<"float64">("sqrt");
/** The natural logarithm; missing where the number is not above 0. */
export const log = unary<"float64">("log");
export const exp = unary<"float64">("exp");
export const floor = unary<"int64" | "float64">("floor");
export const ceil = unary<"int64" | "float64">("ceil");
/** Halves go away from 0. */
export const round = unary<"int64" | "float64">("round");
/** Of Latin, Greek and Cyrillic letters. */
export const lower = unary<"string">("lower");
export const upper = unary<"string">("upper");
/** Without the spaces before and after. */
export const trim = unary<"string">("trim");
/** Of a text in characters (code points). */
export const length = unary<"int64">("length");
export const notTrue = unary<"boolean">("not");
export const isNull = unary<"boolean">("is_null");

const many = <T extends ColumnType>(op: Exclude<Extract<Expr, { of: Expr[] }>["op"], "coalesce">) => {
  function build<const E extends readonly [Operand, ...Operand[]]>(...values: E): Expression<Refs<E[number]>, T>;
  function build(...values: readonly Operand[]): Expression<string, T> {
    const all = values.map((one) => operand(one));
    return make({ op, of: all.map((one) => one.expr) }, all);
  }
  return build;
};
/** The smallest of some values; missing where one of them is. */
export const least = many<ColumnType>("least");
/** The largest of some values; missing where one of them is. */
export const greatest = many<ColumnType>("greatest");
export const concat = many<"string">("concat");
export const and = many<"boolean">("and");
export const or = many<"boolean">("or");

/** The second where the first is true, else the third. */
export function ifElse<C extends Expression, A extends Operand, B extends Operand>(
  condition: C,
  then: A,
  otherwise: B,
): Expression<Refs<C> | Refs<A> | Refs<B>> {
  const [yes, no]: readonly [Expression<Refs<A> | Refs<B>>, Expression<Refs<A> | Refs<B>>] = [operand(then), operand(otherwise)];
  const of: Expression<Refs<C> | Refs<A> | Refs<B>>[] = [operand(condition), yes, no];
  return make({ op: "if", condition: condition.expr, yes: yes.expr, no: no.expr }, of);
}
export const oneOf = <E extends Operand>(of: E, values: readonly (number | string)[]): Expression<Refs<E>, "boolean"> => {
  const given: Expression<Refs<E>> = operand(of);
  return make({ op: "one_of", of: given.expr, values: [...values] }, [given]);
};
/** So many characters of a text from the one that has the number `start`, counted from 1. */
export const substring = <E extends Operand>(of: E, start: number, characters: number): Expression<Refs<E>, "string"> => {
  const given: Expression<Refs<E>> = operand(of);
  return make({ op: "substring", of: given.expr, start, length: characters }, [given]);
};

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
  description?: string;
}
/** With a moment and a zone: its month, 1 to 12. Without: a param that is a month, as `2013-03`, or `latest` for all there is. */
export function month<E extends Expression>(of: E, zone: string): Expression<Refs<E>, "int64">;
export function month(): Param<"month", false>;
export function month(options: MonthOptions): Param<"month", true>;
export function month(of?: Expression | MonthOptions, zone?: string): Expression<string, "int64"> | Param<"month"> {
  if (of === undefined) return monthParam();
  return "expr" in of ? part("month")(of, zone ?? "UTC") : monthParam(of);
}

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
    case "divide":
    case "modulo": {
      const found = operands([expr.left, expr.right]);
      if ("problem" in found) return found;
      const problem = found.types.flatMap((type) => (isNumber(type) ? [] : [`${expr.op} takes numbers, not ${type}`]))[0];
      if (problem !== undefined) return { problem };
      const whole = expr.op !== "divide" && expr.op !== "modulo" && found.types.length === 2 && found.types.every((type) => type === "int64");
      return { type: whole ? "int64" : "float64" };
    }
    case "equal":
    case "less":
    case "less_or_equal":
      return gives("boolean", operands([expr.left, expr.right]));
    case "seconds_between":
      // A text beside a moment is a moment.
      return gives("float64", operands([expr.left, expr.right], ["timestamp", "string"]));
    case "contains":
    case "starts_with":
    case "ends_with":
      return gives("boolean", operands([expr.left, expr.right], ["string"]));
    case "sqrt":
    case "log":
    case "exp":
      return gives("float64", operands([expr.of], ["int64", "float64"]));
    case "abs":
    case "floor":
    case "ceil":
    case "round": {
      const found = operands([expr.of], ["int64", "float64"]);
      return "problem" in found ? found : { type: found.types[0] === "int64" || expr.op !== "abs" ? "int64" : "float64" };
    }
    case "lower":
    case "upper":
    case "trim":
    case "substring":
      return gives("string", operands([expr.of], ["string"]));
    case "concat":
      return gives("string", operands(expr.of, ["string"]));
    case "length":
      return gives("int64", operands([expr.of], ["string"]));
    case "not":
      return gives("boolean", operands([expr.of], ["boolean"]));
    case "and":
    case "or":
      return gives("boolean", operands(expr.of, ["boolean"]));
    case "one_of":
      return gives("boolean", operands([expr.of], expr.values.some((value) => typeof value === "string") ? ["string", "date"] : ["int64", "float64"]));
    case "is_null":
      return gives("boolean", operands([expr.of]));
    case "if": {
      const problem = gives("boolean", operands([expr.condition], ["boolean"])).problem;
      return problem === undefined ? common([expr.yes, expr.no]) : { problem };
    }
    case "coalesce":
    case "least":
    case "greatest":
      return common(expr.of);
    default: {
      return gives("int64", operands([expr.of], ["timestamp"]));
    }
  }

  /** The types of what is not null, where they are of the kind that is wanted. */
  function operands(all: Expr[], wanted?: ColumnType[]): { types: ColumnType[] } | { problem: string } {
    const types: ColumnType[] = [];
    for (const { type, problem } of all.map(of)) {
      if (problem !== undefined) return { problem };
      if (type === undefined) continue;
      if (wanted !== undefined && !wanted.includes(type)) return { problem: `${expr.op} takes ${wanted.join(" or ")}, not ${type}` };
      types.push(type);
    }
    return { types };
  }
  function common(all: Expr[]): { type?: ColumnType; problem?: string } {
    const found = operands(all);
    if ("problem" in found) return found;
    const types = [...new Set(found.types)];
    if (types.length > 1 && !types.every(isNumber)) return { problem: `${expr.op} takes values of one type, not of ${types.join(" and ")}` };
    return { type: types.length > 1 ? "float64" : (types[0] ?? "string") };
  }
}
const isNumber = (type: ColumnType): boolean => type === "int64" || type === "float64";
const gives = (type: ColumnType, found: { types: ColumnType[] } | { problem: string }): { type?: ColumnType; problem?: string } =>
  "problem" in found ? found : { type };
