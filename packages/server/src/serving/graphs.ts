/** Several endpoints and functions that answer as one. */
import type { InferenceGraph } from "@millrace/sdk/api";
import { type GraphNode, nodesOf, type TransformSpec } from "@millrace/sdk/spec";
import { type ServedModel, type Tensor, type TensorSpec, valueAt } from "../inference/index.js";
import { ApiError, invalid, newId } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import { checkWanted, datatypes, type GivenTensor, requestTensors, type Value } from "./given.js";
import type { InferAnswer, InferRequest, Serving, Takes } from "./types.js";

export interface Graphs {
  /** At once where it is known. */
  get(name: string): Graph | undefined | Promise<Graph | undefined>;
  list(): Promise<Graph[]>;
  /** What there is and what it waits for. Loads nothing. */
  describe(): Promise<InferenceGraph[]>;
}
/** As an endpoint is asked. */
export interface Graph {
  name: string;
  /** The project version that last changed it. */
  version: number;
  takes(): Promise<Extract<Takes, { kind: "tensors" }>>;
  /** `taken`: what it takes and gives, where that was worked out for this request already. Of `outputs` none may be one that it does not give. */
  infer(request: InferRequest, asked: { outputs: readonly string[]; taken: Takes | undefined }): Promise<Omit<InferAnswer, "logged">>;
  /** Has all that is in it ready to answer. Throws where it can't be. */
  load(): Promise<void>;
}

type On = { serving: Serving; transform(spec: TransformSpec): Promise<ServedModel> };

export function createGraphs(projects: Pick<Projects, "get" | "glance" | "list">, on: On): Graphs {
  const graphOf = ({ name, spec, projectVersion: version }: Definition<"inference_graph">): Graph => ({
    ...{ name, version },
    takes: () => takesOf(spec.node, on),
    async infer(request, { outputs: wanted, taken }) {
      const id = request.id ?? newId();
      // The nodes ask again when it is their turn: a model may change while those before them run.
      const sides = (taken?.kind === "tensors" ? taken : await takesOf(spec.node, on)).model;
      const known = sides.inputs?.map((one) => one.name);
      for (const { name: input } of request.inputs)
        if (known?.includes(input) === false) throw invalid(`There is no input "${input}". The graph takes ${known.join(", ")}.`);
      checkWanted(
        wanted,
        sides.outputs?.map((one) => one.name),
      );
      const outputs = await run(spec.node, new Map(request.inputs.map((one) => [one.name, one])), { ...request, id }, on, new Map());
      const rows = outputs[0]?.shape[0] ?? 1;
      return { ...{ id, version, outputs, from: "tensors" as const }, ids: rows === 1 ? [id] : Array.from({ length: rows }, (_, row) => `${id}:${row}`) };
    },
    async load() {
      await loadAll(spec.node, on);
    },
  });
  async function sought(name: string, glanced: Definition<"inference_graph"> | undefined | Promise<Definition<"inference_graph"> | undefined>) {
    let found = await glanced;
    if (found === undefined && (await projects.glance("endpoint", name)) === undefined) found = await projects.get("inference_graph", name);
    return found === undefined ? undefined : graphOf(found);
  }
  return {
    get(name) {
      const found = projects.glance("inference_graph", name);
      if (found !== undefined && !(found instanceof Promise)) return graphOf(found);
      // Most names are an endpoint's, for which nobody waits.
      const endpoint = found === undefined ? projects.glance("endpoint", name) : undefined;
      return endpoint !== undefined && !(endpoint instanceof Promise) ? undefined : sought(name, found);
    },
    list: async () => (await projects.list("inference_graph")).map(graphOf),
    async describe() {
      const [graphs, endpoints] = await Promise.all([projects.list("inference_graph"), on.serving.endpoints()]);
      const answers = new Map(endpoints.map(({ name, stable }) => [name, stable !== null]));
      return graphs.map(({ name, project, projectVersion: version, spec: { node } }) => {
        const missing = [...nodesOf(node)].find((one) => one.kind === "endpoint" && answers.get(one.endpoint) !== true);
        const reason = missing?.kind === "endpoint" ? noVersion(missing.endpoint) : null;
        return { name, project, version, node, ready: reason === null, reason };
      });
    },
  };
}

// ------------------------------------------------------------------------------------- what it takes and gives

interface Sides {
  inputs: Map<string, TensorSpec>;
  outputs: Map<string, TensorSpec>;
}
async function takesOf(node: GraphNode, on: On): Promise<Extract<Takes, { kind: "tensors" }>> {
  const { inputs, outputs } = await sidesOf(node, on);
  return { kind: "tensors", model: { platform: "millrace_graph", batches: true, bytes: 0, inputs: [...inputs.values()], outputs: [...outputs.values()] } };
}
async function sidesOf(node: GraphNode, on: On): Promise<Sides> {
  if (node.kind === "sequence") {
    const inputs = new Map<string, TensorSpec>();
    const made = new Set<string>();
    let outputs = new Map<string, TensorSpec>();
    for (const one of node.nodes) {
      const sides = await sidesOf(one, on);
      for (const [name, spec] of sides.inputs) if (!made.has(name) && !inputs.has(name)) inputs.set(name, spec);
      outputs = sides.outputs;
      for (const name of outputs.keys()) made.add(name);
    }
    return { inputs, outputs };
  }
  if (node.kind === "ensemble") {
    const members = await Promise.all(node.members.map(async (member) => ({ name: member.name, ...(await sidesOf(member.node, on)) })));
    const inputs = new Map(members.flatMap((member) => [...member.inputs]));
    if (node.combine === "each")
      return {
        inputs,
        outputs: new Map(
          members.flatMap(({ name, outputs }) => [...outputs.values()].map((spec) => [`${name}.${spec.name}`, { ...spec, name: `${name}.${spec.name}` }])),
        ),
      };
    const [first, ...others] = members;
    const shared = [...(first?.outputs.values() ?? [])].filter(
      ({ name, datatype }) => others.every(({ outputs }) => outputs.has(name)) && (node.combine === "vote" || isNumber(datatype)),
    );
    return { inputs, outputs: new Map(shared.map((spec) => [spec.name, node.combine === "mean" ? { ...spec, datatype: "FP64" } : spec])) };
  }
  const named = (spec: TensorSpec): [string, TensorSpec] => {
    const name = node.inputs?.[spec.name] ?? spec.name;
    return [name, { ...spec, name }];
  };
  if (node.kind === "transform") {
    const { inputs, outputs } = await on.transform(node);
    return { inputs: new Map((inputs ?? []).map(named)), outputs: byName(outputs ?? []) };
  }
  const taken = await on.serving.takes(node.endpoint);
  if (taken.kind === "tensors") return { inputs: new Map((taken.model.inputs ?? []).map(named)), outputs: byName(taken.model.outputs ?? []) };
  const { request, timestamp } = taken.service;
  return {
    inputs: new Map(
      request.map(({ name, type }) => named({ name, datatype: datatypes[type][0] ?? "BYTES", shape: [-1], ...(name === timestamp ? { optional: true } : {}) })),
    ),
    outputs: byName([{ name: "probability", datatype: "FP64", shape: [-1] }]),
  };
}
const byName = (specs: readonly TensorSpec[]): Map<string, TensorSpec> => new Map(specs.map((spec) => [spec.name, spec]));
const isNumber = (datatype: Tensor["datatype"]): boolean => datatype !== "BYTES" && datatype !== "BOOL";

const noVersion = (endpoint: string): string => `The endpoint "${endpoint}" of the graph has no version to answer with yet.`;
async function loadAll(node: GraphNode, on: On): Promise<void> {
  if (node.kind === "sequence") await Promise.all(node.nodes.map((one) => loadAll(one, on)));
  else if (node.kind === "ensemble") await Promise.all(node.members.map((member) => loadAll(member.node, on)));
  else if (node.kind === "transform") await on.transform(node);
  else {
    const { stable } = await on.serving.endpoint(node.endpoint);
    if (stable === null) throw new ApiError(503, "NOT_DEPLOYED", noVersion(node.endpoint));
    await on.serving.load(node.endpoint, stable);
  }
}

// ------------------------------------------------------------------------------------------------- a request

/** `there` is what the request brought and what came before the node. `asked` counts how often an endpoint was asked, which makes its predictions' ids. */
async function run(
  node: GraphNode,
  there: ReadonlyMap<string, GivenTensor>,
  request: InferRequest & { id: string },
  on: On,
  asked: Map<string, number>,
): Promise<Tensor[]> {
  if (node.kind === "sequence") {
    const all = new Map(there);
    let outputs: Tensor[] = [];
    for (const one of node.nodes) {
      outputs = await run(one, all, request, on, asked);
      for (const output of outputs) all.set(output.name, asGiven(output));
    }
    return outputs;
  }
  if (node.kind === "ensemble") {
    const members = await Promise.all(
      node.members.map(async ({ name, weight, node: member }) => ({ name, weight, outputs: await run(member, there, request, on, asked) })),
    );
    return combined(node.combine, members);
  }
  const pick = (names: readonly string[]): GivenTensor[] =>
    names.flatMap((name) => {
      const found = there.get(node.inputs?.[name] ?? name);
      return found === undefined ? [] : [found.name === name ? found : { ...found, name }];
    });
  if (node.kind === "transform") {
    const served = await on.transform(node);
    const given = pick((served.inputs ?? []).map(({ name }) => name));
    // Of any shape: its function sees lists.
    const inputs = (served.inputs ?? []).map((spec) => ({ ...spec, shape: given.find(({ name }) => name === spec.name)?.shape.map(() => -1) ?? spec.shape }));
    const { tensors } = requestTensors(given, { inputs, batches: false });
    try {
      return await served.run(tensors, request);
    } catch (error) {
      if (error instanceof ApiError) throw error;
      throw new ApiError(503, "MODEL_FAILED", `The transform "${node.name}" could not answer: ${(error as Error).message}`);
    }
  }
  const taken = await on.serving.takes(node.endpoint);
  const names = taken.kind === "features" ? taken.service.request.map(({ name }) => name) : (taken.model.inputs?.map(({ name }) => name) ?? [...there.keys()]);
  const times = (asked.get(node.endpoint) ?? 0) + 1;
  asked.set(node.endpoint, times);
  const { version: _, ...rest } = request;
  const id = `${request.id}/${node.endpoint}${times === 1 ? "" : `.${times}`}`;
  return (await on.serving.infer(node.endpoint, { ...rest, id, inputs: pick(names) })).outputs;
}

/** What one node gave, as another is given it. */
function asGiven({ name, datatype, shape, data }: Tensor): GivenTensor {
  return {
    ...{ name, shape, datatype },
    data: () => data,
    values: (count) =>
      Array.from({ length: count }, (_, at): Value => {
        const value = valueAt(datatype, data, at);
        if (typeof value === "bigint") return Number(value);
        return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : value;
      }),
  };
}

interface Member {
  name: string;
  weight: number;
  outputs: readonly Tensor[];
}
function combined(how: "mean" | "vote" | "each", members: readonly Member[]): Tensor[] {
  if (how === "each") return members.flatMap(({ name, outputs }) => outputs.map((output) => ({ ...output, name: `${name}.${output.name}` })));
  const [first] = members;
  return (first?.outputs ?? []).flatMap((output) => {
    const all = members.flatMap((member) => {
      const theirs = member.outputs.find(({ name }) => name === output.name);
      return theirs === undefined ? [] : [{ weight: member.weight, tensor: theirs }];
    });
    if (all.length < members.length || (how === "mean" && !isNumber(output.datatype))) return [];
    const other = all.find(({ tensor }) => tensor.shape.join() !== output.shape.join());
    if (other !== undefined)
      throw new ApiError(
        503,
        "MODEL_FAILED",
        `The members of an ensemble gave "${output.name}" as [${output.shape.join(", ")}] and as [${other.tensor.shape.join(", ")}].`,
      );
    return [how === "mean" ? meanOf(output, all) : voted(output, all)];
  });
}
type Weighted = readonly { weight: number; tensor: Tensor }[];
function meanOf(first: Tensor, all: Weighted): Tensor {
  const total = all.reduce((sum, { weight }) => sum + weight, 0);
  const data = new Float64Array(first.data.length);
  for (const { weight, tensor } of all)
    for (let at = 0; at < data.length; at++) data[at] = (data[at] ?? 0) + (weight / total) * Number(valueAt(tensor.datatype, tensor.data, at));
  return { name: first.name, datatype: "FP64", shape: first.shape, data };
}
function voted(first: Tensor, all: Weighted): Tensor {
  const winners = Array.from({ length: first.data.length }, (_, at) => {
    const votes = new Map<string, { weight: number; member: number }>();
    for (const [member, { weight, tensor }] of all.entries()) {
      const value = String(valueAt(tensor.datatype, tensor.data, at));
      const known = votes.get(value) ?? { weight: 0, member };
      votes.set(value, { ...known, weight: known.weight + weight });
    }
    // Of equals the first: sorting keeps their order.
    return [...votes.values()].sort((a, b) => b.weight - a.weight)[0]?.member ?? 0;
  });
  const { data } = first;
  if (!("buffer" in data))
    return {
      ...first,
      data: winners.map((member, at) => {
        const value = all[member]?.tensor.data[at];
        return typeof value === "string" || value instanceof Uint8Array ? value : null;
      }),
    };
  const into = data.slice();
  for (const [at, member] of winners.entries()) Reflect.set(into, at, all[member]?.tensor.data[at] ?? data[at]);
  return { ...first, data: into };
}
