import type { ColumnRule, ColumnType } from "../spec.js";
import { given, here } from "./place.js";

/** The columns of a table: name → type. A table that is wired to an input has all that the input needs, and may have more. */
export type Columns = Readonly<Record<string, ColumnType>>;

type Rule = Omit<ColumnRule, "type">;
/** Reports tell where a column's rules stand; it is no part of what a user writes. */
type Asked = Omit<Rule, "definedAt">;
/** A column with its type and what is asked of its values. `unit` is for features. */
export interface Column<out T extends ColumnType = ColumnType> {
  readonly type: T;
  readonly rule: Rule;
  readonly unit?: string;
}
export type TypesOf<C extends Readonly<Record<string, Column>>> = { readonly [K in keyof C]: C[K]["type"] };

const column =
  <T extends ColumnType>(type: T) =>
  /** Rules of the column in a schema, or the unit of a feature. */
  (of: Asked | string = {}): Column<T> =>
    typeof of === "string" ? { type, rule: {}, unit: of } : { type, rule: given({ ...of, definedAt: here() }) };

export const string = column("string");
export const int64 = column("int64");
export const float64 = column("float64");
export const boolean = column("boolean");
/** A moment, in UTC. */
export const timestamp = column("timestamp");
export const date = column("date");

/** Only for the types: the builders keep no types at run time but the names'. */
export const typesOf = <C extends Readonly<Record<string, Column>>>(columns: C): TypesOf<C> =>
  Object.fromEntries(Object.entries(columns).map(([name, { type }]) => [name, type])) as TypesOf<C>;
