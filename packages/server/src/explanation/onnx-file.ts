/** Reads of an ONNX file what explanations need, and asks for tensors within its graph. */
import { fileURLToPath } from "node:url";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { Root } from "protobufjs";

const Bytes = Type.Uint8Array();
/** As the form has it: NaN and the infinities too, which `Type.Number` refuses. */
const Float = Type.Unsafe<number>(Type.Unknown());
const Tensor = Type.Object({
  dims: Type.Array(Type.Number()),
  data_type: Type.Number(),
  float_data: Type.Array(Float),
  int32_data: Type.Array(Type.Number()),
  int64_data: Type.Array(Type.Number()),
  name: Type.String(),
  raw_data: Bytes,
  double_data: Type.Array(Float),
});
export type OnnxTensor = Static<typeof Tensor>;
const Attribute = Type.Object({
  name: Type.String(),
  f: Float,
  i: Type.Number(),
  s: Bytes,
  t: Type.Optional(Type.Union([Tensor, Type.Null()])),
  g: Bytes,
  floats: Type.Array(Float),
  ints: Type.Array(Type.Number()),
  strings: Type.Array(Bytes),
  graphs: Type.Array(Bytes),
});
const Node = Type.Object({
  input: Type.Array(Type.String()),
  output: Type.Array(Type.String()),
  op_type: Type.String(),
  attribute: Type.Array(Attribute),
  domain: Type.String(),
});
export type OnnxNode = Static<typeof Node>;
const Named = Type.Object({ name: Type.String() });
const Graph = Type.Object({ node: Type.Array(Node), initializer: Type.Array(Tensor), input: Type.Array(Named), output: Type.Array(Named) });
export type OnnxGraph = Static<typeof Graph>;
const Model = Type.Object({ graph: Graph });

const file = fileURLToPath(new URL("../../proto/onnx.proto", import.meta.url));
let form: Promise<Root> | undefined;

/** Undefined where the bytes are no model that can be read. */
export async function readGraph(bytes: Uint8Array): Promise<OnnxGraph | undefined> {
  // Loaded when the first model is explained.
  form ??= import("protobufjs").then(({ default: protobuf }) => new protobuf.Root().load(file, { keepCase: true }));
  const type = (await form).lookupType("onnx.Model");
  let told: unknown;
  try {
    told = type.toObject(type.decode(bytes), { arrays: true, defaults: true });
  } catch {
    return undefined;
  }
  return Value.Check(Model, told) ? told.graph : undefined;
}

const text = new TextDecoder();
export const attributeOf = (node: OnnxNode, name: string) => node.attribute.find((one) => one.name === name);
export const textOf = (node: OnnxNode, name: string): string => text.decode(attributeOf(node, name)?.s ?? new Uint8Array());
export const textsOf = (node: OnnxNode, name: string): string[] => (attributeOf(node, name)?.strings ?? []).map((one) => text.decode(one));
export const intsOf = (node: OnnxNode, name: string): number[] => attributeOf(node, name)?.ints ?? [];
/** Floats, or doubles in a tensor, as newer converters write them. */
export function numbersOf(node: OnnxNode, name: string): number[] {
  const floats = attributeOf(node, name)?.floats ?? [];
  if (floats.length > 0) return floats;
  const tensor = attributeOf(node, `${name}_as_tensor`)?.t;
  return tensor == null ? [] : tensorNumbers(tensor);
}

/** ONNX's numbers of datatypes. */
const datatypes = { float: 1, int32: 6, int64: 7, double: 11 } as const;
/** Of a small constant; of another datatype none. */
export function tensorNumbers({ data_type, raw_data: raw, float_data, double_data, int32_data, int64_data }: OnnxTensor): number[] {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const read = (width: number, at: (offset: number) => number) => Array.from({ length: Math.floor(raw.byteLength / width) }, (_, index) => at(index * width));
  switch (data_type) {
    case datatypes.float:
      return float_data.length > 0 ? float_data : read(4, (at) => view.getFloat32(at, true));
    case datatypes.double:
      return double_data.length > 0 ? double_data : read(8, (at) => view.getFloat64(at, true));
    case datatypes.int32:
      return int32_data.length > 0 ? int32_data : read(4, (at) => view.getInt32(at, true));
    case datatypes.int64:
      return int64_data.length > 0 ? int64_data : read(8, (at) => Number(view.getBigInt64(at, true)));
    default:
      return [];
  }
}

/**
 * The model's bytes with inner tensors among its outputs. A message of protocol buffers that comes in two parts is both of them together: what is
 * appended is one more part of the graph, with these outputs alone.
 */
export function revealing(bytes: Uint8Array, names: readonly string[]): Uint8Array {
  const outputs = names.map((name) => field(12, field(1, Buffer.from(name))));
  return Buffer.concat([bytes, field(7, Buffer.concat(outputs))]);
}
function field(number: number, content: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);
}
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  while (left > 127) {
    bytes.push((left & 127) | 128);
    left >>>= 7;
  }
  return Buffer.from([...bytes, left]);
}
