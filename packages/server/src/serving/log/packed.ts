/**
 * The rows of one request as one record of the log, as a request with a model's own tensors leaves them: a line of what they share, and behind it their values as
 * they lie in memory. Written in a hundredth of the time that a line for each row takes, with its numbers as text; rows are made of it later, off the requests' path.
 */
import type { Tensor } from "../../inference/index.js";

export interface PackedRows {
  id: string;
  /** Behind the row's id. */
  suffix: string;
  rows: number;
  at: Date;
  version: number;
  route: string;
  key: string | null;
  latency_ms: number | null;
  caller: string | null;
  rollout: string | null;
  /** Columns of the log; a row has one value, or the list of so many as there are. */
  columns: readonly { column: string; one: boolean; tensor: Tensor }[];
  /** The column that the one number of a row is of: its value, or of two the second. */
  prediction: string | null;
}
/** A column's values: so many bytes of an array of this kind behind the line, or as they are. */
export type PackedColumn = [column: string, one: boolean, kind: PackedKind | null, values: number | unknown[]];
export interface PackedLine extends Omit<PackedRows, "columns" | "at"> {
  packed: PackedColumn[];
  /** Milliseconds since 1970. */
  at: number;
  /** So many bytes follow the line's end, those of its columns one after the other, and the end of a line. */
  bytes: number;
}
/** A part of a record: text, or bytes as they are. */
export type Part = string | Uint8Array;

const kinds = [
  "Int8Array",
  "Uint8Array",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "BigInt64Array",
  "BigUint64Array",
  "Float32Array",
  "Float64Array",
] as const;
export type PackedKind = (typeof kinds)[number];
const isKind = (name: string): name is PackedKind => kinds.some((kind) => kind === name);

/** With what every packed line begins, and no other. */
export const packedStart = '{"packed":[';

export function packedParts(packed: PackedRows, plain: (tensor: Tensor) => unknown[]): Part[] {
  const parts: Part[] = [""];
  let text = packedStart;
  let bytes = 0;
  for (const { column, one, tensor } of packed.columns) {
    if (text.length > packedStart.length) text += ",";
    const { datatype, data } = tensor;
    const kind = "buffer" in data && datatype !== "BOOL" && datatype !== "FP16" ? data.constructor.name : "";
    if ("buffer" in data && isKind(kind)) {
      text += `[${quoted(column)},${one},"${kind}",${data.byteLength}]`;
      parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      bytes += data.byteLength;
    } else text += JSON.stringify([column, one, null, plain(tensor)] satisfies PackedColumn);
  }
  const { id, suffix, rows, at, version, route, key, latency_ms: latency, caller, rollout, prediction } = packed;
  text += `],"id":${JSON.stringify(id)},"suffix":${quoted(suffix)},"rows":${rows},"at":${at.getTime()},"version":${version},"route":${quoted(route)}`;
  text += `,"key":${key === null ? key : JSON.stringify(key)},"latency_ms":${latency},"caller":${quoted(caller)},"rollout":${quoted(rollout)}`;
  parts[0] = `${text},"prediction":${quoted(prediction)},"bytes":${bytes}}\n`;
  parts.push("\n");
  return parts;
}

/** Of texts that are the same in many lines. */
const known = new Map<string, string>();
const mostKnown = 1_000;
function quoted(text: string | null): string {
  if (text === null) return "null";
  let made = known.get(text);
  if (made === undefined) {
    made = JSON.stringify(text);
    if (known.size >= mostKnown) known.clear();
    known.set(text, made);
  }
  return made;
}
