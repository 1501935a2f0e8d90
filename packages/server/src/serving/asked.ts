/** What one request asks, in the form in which a version is run on it and in which it is logged. */
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import type { Features } from "../features/index.js";
import { accepted, type RunOptions, type ServedModel, type Tensor, type TensorSpec, valueAt } from "../inference/index.js";
import { invalid } from "../platform/index.js";
import type { Deployments } from "./deployments.js";
import { requestColumns, requestTensors } from "./given.js";
import type { PackedRows } from "./log/packed.js";
import { featureLog, isOne, type LogSchema, tensorLog } from "./log/schema.js";
import { plain } from "./log/values.js";
import type { InferRequest } from "./types.js";

export interface Asked {
  /** Runs a version. Throws a 400 where the request is none for it. */
  run(version: number): Promise<Ran>;
}
export interface Ran {
  outputs: Tensor[];
  /** How many rows it logs. */
  rows: number;
  schema: LogSchema;
  /** As of when the row's features are. */
  asOf(row: number): Date;
  /** The one number that it was about, where there is one. */
  prediction(row: number): number | null;
  /** The columns of the log that the endpoint brings. */
  logged(row: number): Record<string, unknown>;
  /** The same of all rows, as they lie in memory. */
  packed?: Pick<PackedRows, "columns" | "prediction"> | undefined;
}

/** Features of the service, of what the request brings and what is kept online. */
export async function askFeatures(
  on: { deployments: Deployments; features: Pick<Features, "readOnline"> },
  model: string,
  service: FeatureServiceSpec,
  { inputs, moment }: InferRequest,
): Promise<Asked> {
  const given = requestColumns(inputs, service);
  const { rows } = given;
  const { columns, asOf } = momentsOf(service, { ...given, moment });
  const { features } = await on.features.readOnline(service.name, columns, asOf);
  const schema = featureLog(service);
  return {
    async run(version) {
      const probability = checked(await (await on.deployments.fitted(model, version, service)).predict(features, rows));
      return {
        outputs: [{ name: "probability", datatype: "FP64", shape: [rows], data: probability }],
        rows,
        schema,
        asOf: (row) => asOf[row] ?? moment,
        prediction: (row) => probability[row] ?? null,
        logged(row) {
          const logged: Record<string, unknown> = {};
          for (const { name } of service.request) logged[`r_${name}`] = columns[name]?.[row] ?? null;
          for (const { name } of service.features) logged[`f_${name}`] = features[name]?.[row] ?? null;
          return logged;
        },
      };
    },
  };
}

/** The model's own tensors. */
export function askTensors(deployments: Deployments, model: string, { inputs, moment, deadline, signal }: InferRequest): Asked {
  const options: RunOptions = { deadline, signal };
  return {
    async run(version) {
      const opened = deployments.open(model, version);
      const served = opened instanceof Promise ? await opened : opened;
      const { tensors, rows } = requestTensors(inputs, served);
      const outputs = await served.run(tensors, options);
      return {
        outputs,
        rows,
        schema: tensorLog(served),
        asOf: () => moment,
        prediction: (row) => numberOf(outputs.at(-1), rows, row),
        logged: (row) => ({ ...side("inputs", served, tensors, rows, row), ...side("outputs", served, outputs, rows, row) }),
        packed: packedOf(served, tensors, outputs, rows),
      };
    },
  };
}

/** A model may give something else than it says: what has no place in the log is left out of it. */
function hasPlace(spec: TensorSpec, { datatype, shape, data }: Tensor, batches: boolean, rows: number): boolean {
  return accepted(spec.datatype).includes(datatype) && (isOne(spec.shape, batches) ? data.length === rows : !batches || shape[0] === rows);
}

function specOf(specs: readonly TensorSpec[], { name }: Tensor): TensorSpec | undefined {
  for (const spec of specs) if (spec.name === name) return spec;
  return undefined;
}
/** Where the model says what there is and gives just that, and rows are what the first dimension counts. */
function packedOf(served: ServedModel, tensors: readonly Tensor[], outputs: readonly Tensor[], rows: number): Ran["packed"] {
  const { inputs, outputs: given, batches } = served;
  if (inputs === null || given === null) return undefined;
  const columns: PackedRows["columns"][number][] = [];
  for (const tensor of tensors) {
    const spec = specOf(inputs, tensor);
    if (spec !== undefined) columns.push({ column: `i_${tensor.name}`, one: isOne(spec.shape, batches), tensor });
  }
  for (const tensor of outputs) {
    const spec = specOf(given, tensor);
    if (spec === undefined || !hasPlace(spec, tensor, batches, rows)) return undefined;
    columns.push({ column: `o_${tensor.name}`, one: isOne(spec.shape, batches), tensor });
  }
  const last = outputs.at(-1);
  return { columns, prediction: last === undefined || last.datatype === "BYTES" ? null : `o_${last.name}` };
}

/** Tensors of a row, each in its column; all of them in one where the model does not say what there are. */
function side(name: "inputs" | "outputs", served: ServedModel, tensors: readonly Tensor[], rows: number, row: number): Record<string, unknown> {
  const specs = served[name];
  const values: Record<string, unknown> = {};
  for (const tensor of tensors) {
    const spec = specs === null ? undefined : specOf(specs, tensor);
    if (specs === null) values[tensor.name] = rowOf(tensor, rows, row, tensor.data.length === rows);
    else if (spec !== undefined) {
      const one = isOne(spec.shape, served.batches);
      values[`${name === "inputs" ? "i" : "o"}_${tensor.name}`] = hasPlace(spec, tensor, served.batches, rows) ? rowOf(tensor, rows, row, one) : null;
    }
  }
  return specs === null ? { [name]: JSON.stringify(values) } : values;
}
/** One value, or a list of them. */
function rowOf({ datatype, data }: Tensor, rows: number, row: number, one: boolean): unknown {
  const width = data.length / rows;
  const at = (index: number) => plain(valueAt(datatype, data, index));
  return one ? at(row) : Array.from({ length: width }, (_, index) => at(row * width + index));
}
/** Of [n] or [n, 1] the value, of [n, 2] the second: of a classifier's last output the probability. */
function numberOf(output: Tensor | undefined, rows: number, row: number): number | null {
  if (output === undefined || !("buffer" in output.data)) return null;
  const width = output.data.length / rows;
  if (width !== 1 && width !== 2) return null;
  const value = Number(valueAt(output.datatype, output.data, row * width + width - 1));
  return Number.isFinite(value) ? value : null;
}

/** The moment of each row: of the service's timestamp, or that of the request where it brings none. */
function momentsOf(
  service: FeatureServiceSpec,
  { columns, rows, moment }: ReturnType<typeof requestColumns> & { moment: Date },
): { columns: ReturnType<typeof requestColumns>["columns"]; asOf: Date[] } {
  const told = columns[service.timestamp];
  if (told === undefined) {
    const asOf = Array.from({ length: rows }, () => moment);
    return { columns: { ...columns, [service.timestamp]: asOf.map((at) => at.toISOString()) }, asOf };
  }
  let last: { text: unknown; at: Date } | undefined;
  const asOf = told.map((value) => {
    if (last?.text === value) return last.at;
    const at = new Date(typeof value === "string" ? value : Number.NaN);
    if (Number.isNaN(at.getTime())) throw invalid(`"${service.timestamp}" holds ${JSON.stringify(value)}, which is no time. Write it as 2013-03-01T12:00:00Z.`);
    last = { text: value, at };
    return at;
  });
  return { columns, asOf };
}

/** What is no probability is no answer. */
function checked(probability: Float64Array): Float64Array {
  for (const value of probability) if (!(value >= 0 && value <= 1)) throw new Error(`the model gave ${value}, which is no probability`);
  return probability;
}
