/** What a client gives an endpoint, and how it fits what is asked for: the columns of a feature service, or the tensors of a model. */
import type { Columns } from "@millrace/sdk/api";
import type { ColumnType, FeatureServiceSpec } from "@millrace/sdk/spec";
import { accepted, type Datatype, isDatatype, type ServedModel, type Tensor, type TensorData, type TensorSpec, widened } from "../inference/index.js";
import { invalid } from "../platform/index.js";

/** A tensor of a request, whose values are read when it is known that they are wanted. Throws a 400 where they are not as it says. */
export interface GivenTensor {
  name: string;
  shape: readonly number[];
  datatype: string;
  /** One by one, with what is missing as null. Whole numbers are at most 2^53 − 1. */
  values(count: number): Value[];
  /** As an array of its datatype. */
  data(count: number): TensorData;
}
export type Value = string | number | boolean | null;

/** Of a request. */
export const mostRows = 10_000;
/** No body holds so many values as JSON; as bytes of one each it might. */
const mostValues = 32 * 1024 * 1024;
const numeric: Datatype[] = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"];
/** Which datatypes a request column may come as; the first is the one that is declared. */
export const datatypes: Record<ColumnType, Datatype[]> = {
  string: ["BYTES"],
  int64: ["INT64", ...numeric.filter((type) => type !== "INT64")],
  float64: ["FP64", ...numeric.filter((type) => type !== "FP64")],
  boolean: ["BOOL"],
  timestamp: ["BYTES"],
  date: ["BYTES"],
};

/** The request's columns by the service's definition. Throws a 400 that names the tensor and what was expected. */
export function requestColumns(inputs: readonly GivenTensor[], service: FeatureServiceSpec): { columns: Columns; rows: number } {
  const declared = new Map(service.request.map(({ name, type }) => [name, type]));
  const columns: Columns = {};
  let rows: number | undefined;
  for (const tensor of inputs) {
    const type = declared.get(tensor.name);
    if (type === undefined) throw unknown(tensor, [...declared.keys()]);
    if (columns[tensor.name] !== undefined) throw twice(tensor);
    const expected: readonly string[] = datatypes[type];
    if (!expected.includes(tensor.datatype)) throw invalid(`The input "${tensor.name}" has the datatype ${tensor.datatype}; it takes ${expected.join(", ")}.`);
    const [length, width] = tensor.shape;
    if (length === undefined || tensor.shape.length > 2 || (tensor.shape.length === 2 && width !== 1)) throw misshapen(tensor, "[n] or [n, 1]");
    rows = sameRows(tensor, length, rows, inputs);
    columns[tensor.name] = tensor.values(length);
  }
  const absent = [...declared.keys()].filter((name) => columns[name] === undefined && name !== service.timestamp);
  if (absent.length > 0) throw missing(absent);
  if (rows === undefined || rows === 0) throw invalid("The request has no rows.");
  return { columns, rows };
}

/** The request's tensors as the model takes them. Throws a 400 that names the tensor and what was expected. */
export function requestTensors(inputs: readonly GivenTensor[], model: Pick<ServedModel, "inputs" | "batches">): { tensors: Tensor[]; rows: number } {
  const tensors: Tensor[] = [];
  let rows: number | undefined;
  for (const tensor of inputs) {
    if (tensors.some((one) => one.name === tensor.name)) throw twice(tensor);
    const spec = specOf(tensor, model.inputs);
    const shape = shapeOf(tensor, spec);
    if (model.batches) rows = sameRows(tensor, shape[0] ?? 1, rows, inputs);
    tensors.push({
      name: tensor.name,
      datatype: spec.datatype,
      shape,
      data: dataOf(
        tensor,
        spec,
        shape.reduce((product, size) => product * size, 1),
      ),
    });
  }
  const absent = (model.inputs ?? []).filter(({ name, optional }) => optional !== true && !tensors.some((one) => one.name === name));
  if (absent.length > 0) throw missing(absent.map(({ name }) => name));
  if (rows === 0 || inputs.length === 0) throw invalid("The request has no rows.");
  return { tensors, rows: rows ?? 1 };
}

function specOf(tensor: GivenTensor, specs: readonly TensorSpec[] | null): TensorSpec {
  const { name, datatype } = tensor;
  if (!isDatatype(datatype)) throw invalid(`The input "${name}" has the datatype ${datatype}, which is none.`);
  if (specs === null) return { name, datatype, shape: tensor.shape.map(() => -1) };
  const spec = specs.find((one) => one.name === name);
  if (spec === undefined)
    throw unknown(
      tensor,
      specs.map((one) => one.name),
    );
  const takes = accepted(spec.datatype);
  if (!takes.includes(datatype)) throw invalid(`The input "${name}" has the datatype ${datatype}; it takes ${takes.join(", ")}.`);
  return spec;
}
/** As the model declares it: a column may come as [n] or as [n, 1]. */
function shapeOf(tensor: GivenTensor, { shape }: TensorSpec): readonly number[] {
  const given = tensor.shape;
  if (given.reduce((product, size) => product * size, 1) > mostValues)
    throw invalid(`The input "${tensor.name}" has the shape [${given.join(", ")}]: more than ${mostValues} values are not taken.`);
  const fits = (one: readonly number[]) => one.length === shape.length && shape.every((size, at) => size === -1 || size === one[at]);
  if (fits(given)) return given;
  const other = given.length === 1 ? [...given, 1] : given.length === 2 && given[1] === 1 ? given.slice(0, 1) : undefined;
  if (other !== undefined && fits(other)) return other;
  throw misshapen(tensor, `[${shape.join(", ")}]${shape.includes(-1) ? ", where -1 is any number" : ""}`);
}
function dataOf(tensor: GivenTensor, { datatype }: TensorSpec, count: number): TensorData {
  const data = tensor.data(count);
  const from = tensor.datatype;
  if (!("buffer" in data) || datatype === "BYTES" || !isDatatype(from) || from === "BYTES") return data;
  return widened(data, from, datatype);
}

function sameRows(tensor: GivenTensor, length: number, rows: number | undefined, inputs: readonly GivenTensor[]): number {
  if (rows !== undefined && length !== rows) throw invalid(`The input "${tensor.name}" has ${length} rows where "${inputs[0]?.name}" has ${rows}.`);
  if (length > mostRows) throw invalid(`A request has at most ${mostRows} rows, not ${length}.`);
  return length;
}
const unknown = ({ name }: GivenTensor, known: string[]) => invalid(`There is no input "${name}". The model takes ${known.join(", ")}.`);
const twice = ({ name }: GivenTensor) => invalid(`The input "${name}" comes twice.`);
const misshapen = ({ name, shape }: GivenTensor, takes: string) => invalid(`The input "${name}" has the shape [${shape.join(", ")}]; it takes ${takes}.`);
const missing = (names: string[]) =>
  invalid(`The input${names.length === 1 ? "" : "s"} ${names.map((name) => `"${name}"`).join(", ")} ${names.length === 1 ? "is" : "are"} missing.`);

/** Throws where one of the wanted outputs is not among those that there are, as far as these are known. */
export function checkWanted(wanted: readonly string[], known: readonly string[] | undefined): void {
  for (const one of wanted) if (known?.includes(one) === false) throw invalid(`There is no output "${one}". The model gives ${known.join(", ")}.`);
}

/** Why requests for one model are none for the other; undefined where they are. */
export function interfaceProblem(wanted: Pick<ServedModel, "inputs" | "outputs">, found: Pick<ServedModel, "inputs" | "outputs">): string | undefined {
  for (const side of ["inputs", "outputs"] as const) {
    const [theirs, ours] = [found[side], wanted[side]];
    if (theirs === null || ours === null) continue;
    for (const spec of ours) {
      const other = theirs.find(({ name }) => name === spec.name);
      if (other === undefined) {
        if (side === "outputs" || spec.optional !== true) return `it has no ${side === "inputs" ? "input" : "output"} "${spec.name}"`;
      } else if (describe(other) !== describe(spec))
        return `its ${side === "inputs" ? "input" : "output"} "${spec.name}" is ${describe(other)}, not ${describe(spec)}`;
    }
    const more = theirs.find(({ name, optional }) => side === "inputs" && optional !== true && !ours.some((one) => one.name === name));
    if (more !== undefined) return `it takes an input "${more.name}" more`;
  }
  return undefined;
}
const describe = ({ datatype, shape }: { datatype: Datatype; shape: readonly number[] }) => `${datatype} of [${shape.join(", ")}]`;
