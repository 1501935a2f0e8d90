import type { ColumnType, FeatureServiceSpec } from "@millrace/sdk/spec";
import type { Datatype, ServedModel, TensorSpec } from "../../inference/index.js";
import { identifier } from "../../platform/index.js";

const ofColumn: Record<ColumnType, string> = {
  string: "VARCHAR",
  int64: "BIGINT",
  float64: "DOUBLE",
  boolean: "BOOLEAN",
  timestamp: "TIMESTAMPTZ",
  date: "DATE",
};
const ofDatatype: Record<Datatype, string> = {
  ...{ BOOL: "BOOLEAN", BYTES: "VARCHAR", FP16: "FLOAT", FP32: "FLOAT", FP64: "DOUBLE" },
  ...{ INT8: "TINYINT", INT16: "SMALLINT", INT32: "INTEGER", INT64: "BIGINT", UINT8: "UTINYINT", UINT16: "USMALLINT", UINT32: "UINTEGER", UINT64: "UBIGINT" },
};
/** Columns of the log in their order: name → type in DuckDB. */
export type LogSchema = readonly [name: string, type: string][];

const fixed: LogSchema = [
  ["id", "VARCHAR"],
  ["at", "TIMESTAMPTZ"],
  ["as_of", "TIMESTAMPTZ"],
  ["version", "INTEGER"],
  ["route", "VARCHAR"],
  ["prediction", "DOUBLE"],
  ["key", "VARCHAR"],
  ["latency_ms", "DOUBLE"],
  ["caller", "VARCHAR"],
  ["rollout", "VARCHAR"],
];

/** One schema is one object until what it is of changes: whoever logs compares it at every request. */
function kept<T extends object>(make: (of: T) => LogSchema): (of: T) => LogSchema {
  const known = new WeakMap<T, LogSchema>();
  return (of) => {
    const schema = known.get(of) ?? make(of);
    known.set(of, schema);
    return schema;
  };
}
/** `r_<request column>` and `f_<feature>`. */
export const featureLog = kept((service: FeatureServiceSpec): LogSchema => {
  const columns = (prefix: string, of: { name: string; type: ColumnType }[]): LogSchema => of.map(({ name, type }) => [`${prefix}${name}`, ofColumn[type]]);
  return [...fixed, ...columns("r_", service.request), ...columns("f_", service.features)];
});
/** `i_<input>` and `o_<output>`: a value, or the list of a row's values. Of a model that does not say what they are `inputs` and `outputs`, as JSON. */
export const tensorLog = kept(({ inputs, outputs, batches }: Pick<ServedModel, "inputs" | "outputs" | "batches">): LogSchema => {
  const columns = (prefix: string, all: string, specs: readonly TensorSpec[] | null): LogSchema =>
    specs === null
      ? [[all, "VARCHAR"]]
      : specs.map(({ name, datatype, shape }) => [`${prefix}${name}`, `${ofDatatype[datatype]}${isOne(shape, batches) ? "" : "[]"}`]);
  return [...fixed, ...columns("i_", "inputs", inputs), ...columns("o_", "outputs", outputs)];
});
/** A row of the tensor is one value, and not a list. */
export const isOne = (shape: readonly number[], batches: boolean): boolean =>
  batches ? shape.length <= 1 || (shape.length === 2 && shape[1] === 1) : shape.length === 0;

export const columnList = (schema: LogSchema): string => schema.map(([name, type]) => `${identifier(name)} ${type}`).join(", ");
