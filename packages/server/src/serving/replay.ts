/** A logged prediction once more: the same version on the same input. */
import type { Columns, Prediction, Replay } from "@millrace/sdk/api";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import { type Cell, dataOf, type ServedModel, type Tensor, type TensorSpec, valueAt } from "../inference/index.js";
import { ApiError, conflict } from "../platform/index.js";
import type { Deployments } from "./deployments.js";

/** Throws a 409 where no model made it, or what was logged is not all that the version takes; what the version throws where it can't be loaded any more. */
export async function replay(deployments: Deployments, prediction: Prediction, service: FeatureServiceSpec | undefined): Promise<Replay> {
  const { id, endpoint, model, version } = prediction;
  if (version === 0) throw conflict(`No model made the prediction "${id}": it is the fallback of an endpoint that was switched off.`);
  const logged: Record<string, unknown> = service === undefined ? prediction.outputs : { probability: prediction.prediction };
  const replayed =
    service === undefined ? await ofTensors(await deployments.open(model, version), prediction) : await ofFeatures(deployments, prediction, service);
  const difference = differenceOf(logged, replayed);
  return { id, endpoint, model, version, same: difference === 0, difference, logged, replayed };
}

async function ofFeatures(
  deployments: Deployments,
  { id, model, version, features }: Prediction,
  service: FeatureServiceSpec,
): Promise<Record<string, unknown>> {
  const missing = service.features.filter(({ name }) => !Object.hasOwn(features, name)).map(({ name }) => name);
  if (missing.length > 0) throw conflict(`The prediction "${id}" was logged without ${missing.join(", ")}: its endpoint gave other features then.`);
  const columns: Columns = {};
  for (const { name, type } of service.features) {
    const value = features[name];
    const cell = typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : null;
    // The log keeps a date as its first moment.
    columns[name] = [type === "date" && typeof cell === "string" ? cell.slice(0, 10) : cell];
  }
  const [probability] = await (await deployments.fitted(model, version, service)).predict(columns, 1);
  return { probability: probability ?? null };
}

async function ofTensors(served: ServedModel, { id, inputs }: Prediction): Promise<Record<string, unknown>> {
  if (served.inputs === null)
    throw new ApiError(409, "CONFLICT", "The model does not say what it takes, so that the log does not know in which datatypes it was given.");
  const tensors = served.inputs.flatMap((spec): Tensor[] => {
    const value = inputs[spec.name];
    if (value === undefined || (value === null && spec.optional === true)) return [];
    return [tensorOf(spec, value, id)];
  });
  const outputs = await served.run(tensors);
  return Object.fromEntries(
    outputs.map(({ name, datatype, data }) => {
      const values = Array.from({ length: data.length }, (_, at) => plain(valueAt(datatype, data, at)));
      return [name, values.length === 1 ? values[0] : values];
    }),
  );
}

/** One row, as the log has it: a value or a list of them. */
function tensorOf({ name, datatype, shape }: TensorSpec, value: unknown, id: string): Tensor {
  const cells = (Array.isArray(value) ? value : [value]).map(
    (one: unknown): Cell => (typeof one === "string" || typeof one === "number" || typeof one === "boolean" ? one : null),
  );
  const rest = shape.slice(1);
  const open = rest.filter((size) => size === -1).length;
  const known = rest.reduce((product, size) => (size === -1 ? product : product * size), 1);
  const sizes = rest.map((size) => (size === -1 ? cells.length / known : size));
  if (open > 1 || sizes.reduce((product, size) => product * size, 1) !== cells.length)
    throw conflict(`The prediction "${id}" was logged with ${cells.length} values of "${name}", which do not say their shape, or are of several rows.`);
  return { name, datatype, shape: shape.length === 0 ? [] : [1, ...sizes], data: dataOf(datatype, cells) };
}
/** As the log has it. */
function plain(value: ReturnType<typeof valueAt>): string | number | boolean | null {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value;
}

/** The largest of two numbers; null where there are others, or other values differ. */
function differenceOf(logged: Readonly<Record<string, unknown>>, replayed: Readonly<Record<string, unknown>>): number | null {
  let largest = 0;
  for (const name of new Set([...Object.keys(logged), ...Object.keys(replayed)])) {
    const [a, b] = [listOf(logged[name]), listOf(replayed[name])];
    if (a.length !== b.length) return null;
    for (const [at, one] of a.entries()) {
      const other = b[at];
      if (typeof one === "number" && typeof other === "number") largest = Math.max(largest, Math.abs(one - other));
      else if (String(one) !== String(other)) return null;
    }
  }
  return largest;
}
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value ?? null]);
