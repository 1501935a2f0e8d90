/** A request for inference over HTTP, from its body to the bytes of its answer. */
import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { RunOptions, Tensor } from "../../inference/index.js";
import { invalid } from "../../platform/index.js";
import type { GivenTensor } from "../given.js";
import type { Exchange } from "./exchange.js";
import { type Place, scan } from "./scan.js";
import { binaryOf, binaryTensor, jsonTensor, jsonText, listTensor, splitBody } from "./tensors.js";

export const largestBody = 16 * 1024 * 1024;
/** Nobody waits longer. A request may say less. */
export const longestMs = 60_000;

const parameters = Type.Optional(Type.Record(Type.String(), Type.Unknown()));
const Input = Type.Object({
  name: Type.String({ maxLength: 200 }),
  shape: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 8 }),
  datatype: Type.String({ maxLength: 10 }),
  data: Type.Optional(Type.Unknown()),
  parameters,
});
const Request = Type.Object({
  // With a row's number behind it, it is still an id that a label may have.
  id: Type.Optional(Type.String({ minLength: 1, maxLength: 190 })),
  inputs: Type.Array(Input, { minItems: 1, maxItems: 2_000 }),
  outputs: Type.Optional(Type.Array(Type.Object({ name: Type.String(), parameters }), { maxItems: 100 })),
  parameters,
});
type Request = Static<typeof Request>;
const request = TypeCompiler.Compile(Request);

interface HttpRequest {
  name: string;
  version: string | undefined;
  body: Buffer;
  /** Of the header Inference-Header-Content-Length: how much of the body is JSON, where bytes follow it. */
  jsonLength: string | undefined;
  /** Of the header millrace-key: which requests stay with one version. */
  key: string | string[] | undefined;
  caller: string;
  moment: Date;
  signal: RunOptions["signal"];
}
interface HttpAnswer {
  type: string;
  jsonLength?: number;
  body: string | Buffer;
}

export async function inferByHttp(exchange: Exchange, { name, version, body, jsonLength, key, caller, moment, signal }: HttpRequest): Promise<HttpAnswer> {
  const { json, inputs } = read(body, jsonLength);
  const wanted = json.outputs;
  const answer = await exchange.infer(name, {
    id: json.id,
    version,
    key: key ?? json.parameters?.millrace_key,
    inputs,
    moment,
    signal,
    deadline: performance.now() + waitOf(json),
    caller,
    explain: json.parameters?.explain,
    outputs: wanted === undefined ? none : wanted.map((one) => one.name),
  });
  const all = json.parameters?.binary_data_output === true;
  const asBytes = (output: string) => {
    const own = wanted?.find((one) => one.name === output)?.parameters?.binary_data;
    return own === undefined ? all : own === true;
  };
  const parts: Buffer[] = [];
  let outputs = "";
  for (const output of answer.outputs) {
    const said = saidOf(output);
    if (outputs !== "") outputs += ",";
    if (asBytes(output.name)) {
      const bytes = binaryOf(output);
      parts.push(bytes);
      outputs += `${said},"parameters":{"binary_data_size":${bytes.length}}}`;
    } else outputs += `${said},"data":${jsonText(output)}}`;
  }
  const text = `{"model_name":${JSON.stringify(name)},"model_version":"${answer.version}","id":${JSON.stringify(answer.id)},"parameters":{"version":${answer.version}},"outputs":[${outputs}]}`;
  if (parts.length === 0) return { type: "application/json; charset=utf-8", body: text };
  const first = Buffer.from(text);
  return { type: "application/octet-stream", jsonLength: first.length, body: Buffer.concat([first, ...parts]) };
}
const none: readonly string[] = [];

/** What an answer says of an output before its values is mostly what it said the last time. */
const lastSaid = new Map<string, { datatype: string; shape: readonly number[]; text: string }>();
const mostSaid = 1_000;
function saidOf({ name, datatype, shape }: Tensor): string {
  const last = lastSaid.get(name);
  if (last?.datatype === datatype && sameShape(last.shape, shape)) return last.text;
  const text = `{"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join(",")}]`;
  if (lastSaid.size >= mostSaid) lastSaid.clear();
  lastSaid.set(name, { datatype, shape, text });
  return text;
}
function sameShape(a: readonly number[], b: readonly number[]): boolean {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return a.length === b.length;
}

/** Triton's clients say it in microseconds. */
function waitOf({ parameters: given }: Request): number {
  const timeout = given?.timeout;
  return typeof timeout === "number" && timeout > 0 ? Math.min(longestMs, timeout / 1_000) : longestMs;
}

/** What is there beside the values is the same in most requests of a client. */
const known = new Map<string, Request>();
const mostKnown = 256;
const longestKnown = 2_048;

/** Throws a 400 where it is no request. */
function read(body: Buffer, jsonLength: string | undefined): { json: Request; inputs: GivenTensor[] } {
  const scanned = jsonLength === undefined ? scan(body, body.length) : undefined;
  if (scanned !== undefined) {
    const { text, lists } = scanned;
    const before = known.get(text);
    const json = before ?? parsed(text);
    if (json !== undefined) {
      if (before === undefined && text.length <= longestKnown) {
        if (known.size >= mostKnown) known.clear();
        known.set(text, json);
      }
      return { json, inputs: json.inputs.map((input) => given(input, body, lists)) };
    }
  }
  const { json, binary } = splitBody(body, jsonLength);
  if (!request.Check(json)) {
    const first = request.Errors(json).First();
    throw invalid(`The request is malformed${first === undefined ? "" : ` at ${first.path || "/"}: ${first.message}`}.`);
  }
  return { json, inputs: tensorsOf(json.inputs, binary) };
}
/** Undefined where it is no request: it is told why by the whole of it. */
function parsed(text: string): Request | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return request.Check(json) && json.inputs.every((input) => input.parameters?.binary_data_size === undefined) ? json : undefined;
  } catch {
    return undefined;
  }
}
function given(input: Request["inputs"][number], body: Buffer, lists: readonly Place[]): GivenTensor {
  const place = typeof input.data === "number" ? lists[input.data] : undefined;
  return place === undefined ? jsonTensor(input, input.data) : listTensor(input, body, place);
}

/** Bytes follow the JSON in the order of the tensors that say how many are theirs. */
function tensorsOf(inputs: Request["inputs"], binary: Buffer | undefined): GivenTensor[] {
  let offset = 0;
  const tensors = inputs.map((tensor): GivenTensor => {
    const { name } = tensor;
    const size = tensor.parameters?.binary_data_size;
    if (size === undefined) return jsonTensor(tensor, tensor.data);
    if (binary === undefined) throw invalid(`The input "${name}" says binary_data_size, but the request has no header Inference-Header-Content-Length.`);
    if (typeof size !== "number" || !Number.isInteger(size) || size < 0 || offset + size > binary.length)
      throw invalid(`The input "${name}" has ${String(size)} bytes of data; ${binary.length - offset} are left.`);
    const bytes = binary.subarray(offset, offset + size);
    offset += size;
    return binaryTensor(tensor, bytes);
  });
  if (binary !== undefined && offset < binary.length) throw invalid(`${binary.length - offset} bytes follow the data of the last tensor.`);
  return tensors;
}
