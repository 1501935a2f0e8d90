/** What is asked of a model about rows of a table, and what becomes of its answers. */
import type { DuckDBConnection, DuckDBType, DuckDBValue } from "@duckdb/node-api";
import type { Feature, ServedModel, Tensor, TensorSpec } from "../inference/index.js";
import { fit, isFloat, toHalf, valueAt, zeros } from "../inference/index.js";
import { identifier, invalid } from "../platform/index.js";
import { modelInput, streamColumns, streamValues } from "./columns.js";

export interface Predictor {
  /** Names and types of the columns that the answers make. */
  outputs: { name: string; type: string; duckType: DuckDBType }[];
  /** Reads the table in batches and answers each, column by column. */
  answers(connection: DuckDBConnection, table: string): AsyncGenerator<{ columns: DuckDBValue[][]; rows: number }>;
}

/** One probability a row, from the features of a service. */
export async function featurePredictor(model: ServedModel, features: readonly Feature[], column: string, has: readonly string[]): Promise<Predictor> {
  const { DOUBLE } = await import("@duckdb/node-api");
  const missing = features.find(({ name }) => !has.includes(name));
  if (missing !== undefined) throw noColumn(missing.name, has);
  const fitted = fit(model, features);
  return {
    outputs: [{ name: column, type: "DOUBLE", duckType: DOUBLE }],
    async *answers(connection, table) {
      const query = `select ${features.map((feature) => `${modelInput(feature)} as ${identifier(feature.name)}`).join(", ")} from ${table}`;
      for await (const { columns, rows } of streamColumns(connection, query)) {
        const found = await fitted.predict(columns, rows);
        if (found.length !== rows) throw invalid(`The model gave ${found.length} answers to ${rows} rows.`);
        yield { columns: [[...found]], rows };
      }
    },
  };
}

/** What the model itself takes and gives. */
export async function tensorPredictor(
  model: ServedModel,
  from: Readonly<Record<string, string | readonly string[]>>,
  has: readonly string[],
): Promise<Predictor> {
  const { inputs, outputs } = model;
  if (inputs === null || outputs === null)
    throw invalid("The model has no signature, so it is not known what its columns are: log it with one (mlflow.models.infer_signature).");
  if (!model.batches) throw invalid("The model takes a fixed number of rows at a time, so rows of a table can't go through it.");
  const other = Object.keys(from).find((name) => !inputs.some((input) => input.name === name));
  if (other !== undefined) throw invalid(`The model has no input "${other}". It takes ${inputs.map(({ name }) => name).join(", ")}.`);
  const sources = inputs.flatMap((spec) => {
    const columns = [from[spec.name] ?? spec.name].flat();
    const missing = columns.find((name) => !has.includes(name));
    if (missing === undefined) return [{ spec, columns, sql: selected(spec, columns) }];
    if (spec.optional === true && from[spec.name] === undefined) return [];
    throw invalid(`${noColumn(missing, has).message} Say which are the model's "${spec.name}" with \`inputs\`.`);
  });
  const api = await import("@duckdb/node-api");
  const duckTypes = {
    ...{ BOOL: api.BOOLEAN, BYTES: api.VARCHAR, FP16: api.FLOAT, FP32: api.FLOAT, FP64: api.DOUBLE, INT8: api.TINYINT, INT16: api.SMALLINT },
    ...{ INT32: api.INTEGER, INT64: api.BIGINT, UINT8: api.UTINYINT, UINT16: api.USMALLINT, UINT32: api.UINTEGER, UINT64: api.UBIGINT },
  };
  return {
    outputs: outputs.map(({ name, datatype, shape }) => {
      const one = duckTypes[datatype];
      const duckType = isOne(shape) ? one : api.LIST(one);
      return { name, type: duckType.toString(), duckType };
    }),
    async *answers(connection, table) {
      const query = `select ${sources.map(({ sql, spec }) => `${sql} as ${identifier(spec.name)}`).join(", ")} from ${table}`;
      for await (const { columns, rows } of streamValues(connection, query)) {
        const tensors = sources.map(({ spec }) => tensorOf(spec, columns[spec.name] ?? [], rows));
        const found = await model.run(tensors);
        yield {
          rows,
          columns: outputs.map(({ name, shape }) => {
            const output = found.find((one) => one.name === name);
            if (output === undefined || output.shape[0] !== rows) throw invalid(`The model gave no "${name}" for ${rows} rows.`);
            return valuesOf(output, rows, isOne(shape), api.listValue);
          }),
        };
      }
    },
  };
}

const isOne = (shape: readonly number[]): boolean => shape.length === 1 || (shape.length === 2 && shape[1] === 1);
const noColumn = (name: string, has: readonly string[]) => invalid(`The rows to predict have no column "${name}". They have ${has.join(", ")}.`);
const sqlTypes = {
  ...{ BOOL: "BOOLEAN", BYTES: "VARCHAR", FP16: "FLOAT", FP32: "FLOAT", FP64: "DOUBLE" },
  ...{ INT8: "TINYINT", INT16: "SMALLINT", INT32: "INTEGER", INT64: "BIGINT", UINT8: "UTINYINT", UINT16: "USMALLINT", UINT32: "UINTEGER", UINT64: "UBIGINT" },
} as const;
function selected({ datatype, shape }: TensorSpec, columns: readonly string[]): string {
  const type = sqlTypes[datatype];
  if (columns.length > 1) return `[${columns.map((name) => `${identifier(name)}::${type}`).join(", ")}]`;
  return `${identifier(columns[0] ?? "")}::${type}${isOne(shape) ? "" : "[]"}`;
}

function tensorOf({ name, datatype, shape }: TensorSpec, values: readonly unknown[], rows: number): Tensor {
  const flat = isOne(shape) ? values : values.flat();
  const width = flat.length / rows;
  const dims = shape.slice(1).map((size) => size);
  const known = dims.reduce((product, size) => (size === -1 ? product : product * size), 1);
  const open = dims.filter((size) => size === -1).length;
  if (!Number.isInteger(width) || (open === 0 ? width !== known : open > 1 || width % known !== 0))
    throw invalid(`The rows have ${width} values for the model's "${name}", which takes [${shape.join(", ")}].`);
  const full = [rows, ...dims.map((size) => (size === -1 ? width / known : size))];
  if (datatype === "BYTES") return { name, datatype, shape: full, data: flat.map((value) => (value === null ? null : String(value))) };
  const data = zeros(datatype, flat.length);
  for (const [at, value] of flat.entries()) {
    if (value === null && !isFloat(datatype))
      throw invalid(`The model's "${name}" of ${datatype} takes no missing values, and row ${Math.floor(at / width) + 1} of a batch has one.`);
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[at] = typeof value === "bigint" ? value : BigInt(Number(value));
    else {
      const number = value === null ? Number.NaN : Number(value);
      data[at] = datatype === "FP16" ? toHalf(number) : number;
    }
  }
  return { name, datatype, shape: full, data };
}

function valuesOf({ datatype, data }: Tensor, rows: number, one: boolean, list: (items: DuckDBValue[]) => DuckDBValue): DuckDBValue[] {
  const width = data.length / rows;
  const at = (index: number): DuckDBValue => {
    const value = valueAt(datatype, data, index);
    return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value;
  };
  return Array.from({ length: rows }, (_, row) => (one ? at(row) : list(Array.from({ length: width }, (_item, index) => at(row * width + index)))));
}
