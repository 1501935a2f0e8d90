import type { ExpectationSpec, Severity } from "../spec.js";
import type { Row } from "./columns.js";
import { given, here } from "./place.js";

interface Common {
  name: string;
  /** The largest share of rows that may fail it. Default 0. */
  maxFailing?: number;
  /** Default `block`. */
  severity?: Severity;
  /** Only in these validations, as `training`. Default in all. */
  environments?: string[];
  /** Known to a report, and no part of what a user writes. */
  definedAt?: string;
}
/** A condition in SQL over a row. Where it is null it holds. */
interface SqlExpectation extends Common {
  sql: string;
}
/**
 * A function that says of a row whether it is right. It is called for one row after the other, each frozen, and is to depend on the row alone. It may
 * use what its module imports. A row with a null where its type has none is told by that column's rule, and not given to it.
 */
export interface FunctionExpectation<in R> extends Common {
  check: (row: R) => boolean;
}
/** A condition of one's own. A schema takes functions of rows that have at least its columns. */
export type Expectation<R = Row> = SqlExpectation | FunctionExpectation<R>;

/**
 * A condition of one's own for several schemas, whose place in the file a report tells. Written into a schema a function's row has the schema's types by
 * itself; here it says what it needs: `expectation({ name: "fast", check: (row: { km: number | null }) => … })`.
 */
export function expectation<R = Row>(of: Omit<FunctionExpectation<R>, "definedAt">): FunctionExpectation<R>;
export function expectation(of: Omit<SqlExpectation, "definedAt">): SqlExpectation;
export function expectation<T extends object>(of: T): T & { definedAt?: string } {
  const definedAt = here();
  return definedAt === undefined ? of : { ...of, definedAt };
}

/** Its part of the document. Until whoever knows the project's folder bundles it, a function is where it, or its schema, stands. */
export function expectationSpec<R>(one: Expectation<R>, schema: string | undefined): ExpectationSpec {
  if (!("check" in one)) return given(one);
  const { check: _, ...rest } = one;
  return given({ ...rest, bundle: one.definedAt ?? schema ?? "" });
}
