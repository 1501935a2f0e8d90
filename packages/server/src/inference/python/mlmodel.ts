/** What an MLflow model says of itself: the file `MLmodel` in its folder. */
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { parse } from "yaml";
import { unfit } from "../onnx/index.js";
import type { Datatype, TensorSpec } from "../types.js";

const mostBytes = 4 * 1024 ** 2;

/** A tensor, and what the model gets for it: `json` is a list or an object as JSON, the others are MLflow's names of columns' types and NumPy's of arrays'. */
export interface Field extends TensorSpec {
  kind: string;
  /** How the model itself calls it; null where it has no name for it. */
  column: string | null;
}
export interface MlflowModel {
  /** What its function takes: a DataFrame, one array, or arrays by their names. Null without a signature. */
  form: "frame" | "array" | "arrays" | null;
  inputs: readonly Field[] | null;
  outputs: readonly Field[] | null;
  /** `3.11` */
  python: string | null;
  mlflow: string | null;
  /** Files that say what it needs, where it names them. */
  environment: { virtualenv: string | null; conda: string | null };
}

const Signature = Type.Object({ inputs: Type.Optional(Type.Unknown()), outputs: Type.Optional(Type.Unknown()) });
const Declared = Type.Object({
  flavors: Type.Object({
    python_function: Type.Object({
      env: Type.Optional(Type.Unknown()),
      python_version: Type.Optional(Type.Unknown()),
    }),
  }),
  signature: Type.Optional(Type.Union([Signature, Type.Null()])),
  mlflow_version: Type.Optional(Type.Unknown()),
});
const ByKind = Type.Object({ conda: Type.Optional(Type.String()), virtualenv: Type.Optional(Type.String()) });
const Column = Type.Object({ type: Type.String(), name: Type.Optional(Type.String()), required: Type.Optional(Type.Boolean()) });
const TensorColumn = Type.Object({
  type: Type.Literal("tensor"),
  name: Type.Optional(Type.String()),
  "tensor-spec": Type.Object({ dtype: Type.String(), shape: Type.Array(Type.Integer({ minimum: -1 })) }),
});
const Schema = Type.Union([Type.Array(TensorColumn), Type.Array(Column)]);

export async function readMlmodel(folder: string): Promise<MlflowModel> {
  const text = await readText(folder, "MLmodel");
  if (text === undefined) throw unfit("The model has no file MLmodel: log it with MLflow, or register a file model.onnx.");
  const told = fitting(Declared, readYaml(text, "MLmodel"), () => "The file MLmodel names no flavor python_function, by which a model of MLflow's is served.");
  const { env, python_version } = told.flavors.python_function;
  const inputs = fieldsOf(told.signature?.inputs, "inputs");
  const outputs = fieldsOf(told.signature?.outputs, "outputs");
  return {
    form: inputs?.form ?? null,
    inputs: inputs?.fields ?? null,
    outputs: outputs?.fields ?? null,
    python: minorOf(python_version),
    mlflow: typeof told.mlflow_version === "string" && /^\d+\.\d+(\.\d+)?$/.test(told.mlflow_version) ? told.mlflow_version : null,
    environment: Value.Check(ByKind, env)
      ? { virtualenv: env.virtualenv ?? null, conda: env.conda ?? null }
      : { virtualenv: null, conda: typeof env === "string" ? env : null },
  };
}

/** `3.11` of `3.11.7`; null of what is no version. */
export const minorOf = (version: unknown): string | null => (typeof version === "string" ? (/^(3\.\d+)(\.|$)/.exec(version)?.[1] ?? null) : null);

/** A file within the model's folder; undefined where there is none. */
export async function readText(folder: string, name: string): Promise<string | undefined> {
  const file = path.join(folder, name);
  const from = path.relative(folder, file);
  if (path.isAbsolute(name) || from === "" || from.split(path.sep)[0] === "..") throw unfit(`The model names the file "${name}", which is not within it.`);
  const found = await stat(file).catch(() => undefined);
  if (found === undefined || !found.isFile()) return undefined;
  if (found.size > mostBytes) throw unfit(`The model's file ${name} has ${found.size} bytes; at most ${mostBytes} are read.`);
  return readFile(file, "utf8");
}

export function readYaml(text: string, name: string): unknown {
  try {
    // Of aliases there are none in what MLflow writes; many could make much of little.
    return parse(text, { maxAliasCount: 0, logLevel: "silent" });
  } catch (error) {
    throw unfit(`The model's file ${name} is no YAML: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`);
  }
}

export function fitting<T extends TSchema>(schema: T, value: unknown, otherwise: () => string): Static<T> {
  if (Value.Check(schema, value)) return value;
  throw unfit(otherwise());
}

function fieldsOf(said: unknown, which: "inputs" | "outputs"): { form: NonNullable<MlflowModel["form"]>; fields: Field[] } | null {
  if (said === undefined || said === null) return null;
  let value = said;
  try {
    if (typeof said === "string") value = JSON.parse(said);
  } catch {
    throw unfit(`The ${which} of the model's signature are no JSON.`);
  }
  const columns = fitting(Schema, value, () => `The ${which} of the model's signature are neither columns nor tensors.`);
  const alone = which === "inputs" ? "input" : "output";
  const named = (column: { name?: string | undefined }, at: number) => column.name ?? (columns.length === 1 ? alone : `${alone}_${at}`);
  const fields = columns.map((column, at): Field => {
    const name = named(column, at);
    if ("tensor-spec" in column) {
      const { dtype, shape } = column["tensor-spec"];
      const datatype = datatypeOf(dtype);
      if (datatype === undefined) throw unfit(`The tensor "${name}" of the model's signature is of type ${dtype}, which has no tensor to carry it.`);
      return { name, datatype, shape, kind: datatype === "BYTES" && dtype.startsWith("datetime") ? "datetime" : dtype, column: column.name ?? null };
    }
    const datatype = columnTypes[column.type];
    const kind = datatype === undefined ? "json" : column.type;
    const more = { ...(column.required === false ? { optional: true } : {}), ...(kind === "json" ? { json: true } : {}) };
    return { name, datatype: datatype ?? "BYTES", shape: [-1], kind, column: column.name ?? null, ...more };
  });
  const twice = fields.find((field, at) => fields.findIndex((one) => one.name === field.name) !== at);
  if (twice !== undefined) throw unfit(`The ${which} of the model's signature have "${twice.name}" twice.`);
  const form = columns.some((column) => "tensor-spec" in column) ? (columns.some((column) => column.name !== undefined) ? "arrays" : "array") : "frame";
  if (form === "array" && fields.length > 1) throw unfit(`The ${which} of the model's signature are several tensors without names.`);
  return { form, fields };
}

const columnTypes: Record<string, Datatype> = {
  boolean: "BOOL",
  integer: "INT32",
  long: "INT64",
  float: "FP32",
  double: "FP64",
  string: "BYTES",
  binary: "BYTES",
  datetime: "BYTES",
};
const numberTypes: Record<string, Datatype> = {
  ...{ bool: "BOOL", int8: "INT8", int16: "INT16", int32: "INT32", int64: "INT64", uint8: "UINT8", uint16: "UINT16", uint32: "UINT32", uint64: "UINT64" },
  ...{ float16: "FP16", float32: "FP32", float64: "FP64" },
};
/** NumPy's names of types, of which texts may carry their length. */
function datatypeOf(dtype: string): Datatype | undefined {
  if (/^(str\d*|object|bytes\d*|[<>|]?[US]\d+|datetime64.*)$/.test(dtype)) return "BYTES";
  return numberTypes[dtype];
}
