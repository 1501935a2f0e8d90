import type { ColumnRule, ColumnType } from "../spec.js";
import { given, here } from "./place.js";

/** The columns of a table: name → type. A table that is wired to an input has all that the input needs, and may have more. */
export type Columns = Readonly<Record<string, ColumnType>>;

type Rule = Omit<ColumnRule, "type">;
/** Reports tell where a column's rules stand; it is no part of what a user writes. */
type Asked = Omit<Rule, "definedAt">;
/** A column with its type and what is asked of its values. `unit` is for features. */
export interface Column<out T extends ColumnType = ColumnType, out N extends boolean = boolean> {
  readonly type: T;
  readonly rule: Rule;
  readonly unit?: string;
  /** Only for the types: whether a row that fits may have a null there. */
  readonly nullable?: N;
}
export type TypesOf<C extends Readonly<Record<string, Column>>> = { readonly [K in keyof C]: C[K]["type"] };

interface CellTypes {
  string: string;
  int64: number;
  float64: number;
  boolean: boolean;
  timestamp: Date;
  date: Date;
}
export type Cell = string | number | boolean | Date | null;
/** A row as TypeScript sees it; by its columns' types where they are known. Whole numbers that a number can't hold exactly are read as the nearest one. */
export type Row<C extends Columns = Columns> = string extends keyof C ? Record<string, Cell> : { [K in keyof C]: CellTypes[C[K]] | null };
/** A row that fits these columns: null is only where it may be. */
export type RowOf<C extends Readonly<Record<string, Column>>> = {
  readonly [K in keyof C]: CellTypes[C[K]["type"]] | (C[K] extends Column<ColumnType, false> ? never : null);
};

function column<T extends ColumnType>(type: T) {
  /** Rules of the column in a schema, or the unit of a feature. */
  function make(of: Asked & { maxNullShare: 0; required?: true; environments?: never }): Column<T, false>;
  function make(of?: Asked | string): Column<T>;
  function make(of: Asked | string = {}): Column<T> {
    return typeof of === "string" ? { type, rule: {}, unit: of } : { type, rule: given({ ...of, definedAt: here() }) };
  }
  return make;
}

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
