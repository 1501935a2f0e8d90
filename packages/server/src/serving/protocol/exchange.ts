/** What a client and an endpoint say to each other by the Open Inference Protocol, version 2, whatever carries it. */
import type { Endpoint } from "@millrace/sdk/api";
import type { RunOptions, Tensor, TensorSpec } from "../../inference/index.js";
import { ApiError, invalid, notFound, version } from "../../platform/index.js";
import { checkWanted, datatypes, type GivenTensor } from "../given.js";
import type { Graph, Graphs } from "../graphs.js";
import type { InferAnswer, Serving, Takes } from "../types.js";

interface TensorMetadata {
  name: string;
  datatype: string;
  /** -1 is any number. */
  shape: number[];
}
interface ModelMetadata {
  name: string;
  versions: string[];
  platform: string;
  inputs: TensorMetadata[];
  outputs: TensorMetadata[];
}
export interface Exchange {
  server(): { name: string; version: string; extensions: string[] };
  /** Throws a 404 where there is no such endpoint, or no such version of its model. */
  model(name: string, version?: string): Promise<ModelMetadata>;
  ready(name: string, version?: string): Promise<boolean>;
  /** What its requests bring. */
  takes(name: string): Promise<Takes>;
  /** Throws a 400 that says what is wrong with the request. */
  infer(
    name: string,
    request: RunOptions & {
      id: string | undefined;
      version: string | undefined;
      /** As the client gave it: a text of 1 to 200 characters, or nothing. */
      key?: unknown;
      /** Who asks, for the log. */
      caller: string;
      inputs: readonly GivenTensor[];
      outputs: readonly string[];
      moment: Date;
      /** As the request has it: `true`, or how many of the largest attributions are wanted. Each row's explanation is one more output, as JSON. */
      explain: unknown;
      /** What `takes` told, where the request was made by it. */
      taken?: Takes;
    },
  ): Promise<{ id: string; ids: string[]; version: number; outputs: Tensor[] }>;
  /** With `ready`, of what is ready alone. */
  index(ready: boolean): Promise<{ name: string; version: string; state: "READY" | "UNAVAILABLE"; reason: string }[]>;
  /** Brings what answers at the endpoint into memory. */
  load(name: string): Promise<void>;
  /** Frees the memory; the next request brings it back. */
  unload(name: string): Promise<void>;
}

/** Says what the features of a row gave to its prediction; at most so many of them. */
export type Explain = (of: { endpoint: string; version: number; given: Readonly<Record<string, unknown>> }, top: number | undefined) => Promise<object>;
/** Of a request: each takes a while. */
const mostExplained = 100;

export function openExchange(serving: Serving, graphs: Graphs, explain: Explain): Exchange {
  async function graphOf(name: string, version: string | undefined): Promise<Graph | undefined> {
    return atVersion(await graphs.get(name), name, version);
  }
  function atVersion(graph: Graph | undefined, name: string, version: string | undefined): Graph | undefined {
    if (graph !== undefined && version !== undefined && Number(version) !== graph.version) throw notFound(`version of the inference graph "${name}"`, version);
    return graph;
  }
  const takes = async (name: string): Promise<Takes> => (await graphs.get(name))?.takes() ?? serving.takes(name);
  async function indexOfGraphs(ready: boolean): ReturnType<Exchange["index"]> {
    const found = await Promise.all(
      (await graphs.list()).map(async (graph) => {
        const reason = await graph.load().then(
          () => "",
          (error: Error) => error.message,
        );
        return { name: graph.name, version: String(graph.version), state: reason === "" ? ("READY" as const) : ("UNAVAILABLE" as const), reason };
      }),
    );
    return found.filter(({ state }) => !ready || state === "READY");
  }
  /** Where a prediction can't be explained, it is answered nevertheless, and the explanation says why. */
  async function explained(name: string, { ids, version: of, from, logged }: InferAnswer, top: number | undefined): Promise<Tensor> {
    const prefix = from === "features" ? "f_" : "i_";
    const texts: string[] = [];
    for (const row of ids.keys()) {
      const columns = Object.entries(logged(row)).flatMap(([column, value]) => (column.startsWith(prefix) ? [[column.slice(prefix.length), value]] : []));
      const told = explain({ endpoint: name, version: of, given: Object.fromEntries(columns) }, top).catch((error: unknown) => {
        if (!(error instanceof ApiError)) throw error;
        return { error: { code: error.code, message: error.message } };
      });
      texts.push(JSON.stringify(await told));
    }
    return { name: "explanation", datatype: "BYTES", shape: [texts.length], data: texts };
  }
  async function checkOutputs(name: string, version: number | undefined, wanted: readonly string[]): Promise<void> {
    if (await serving.isKilled(name)) return;
    const taken = await serving.takes(name, version);
    checkWanted(wanted, taken.kind === "features" ? ["probability", "prediction_id"] : taken.model.outputs?.map((one) => one.name));
  }
  return {
    // What is killed answers whether or not its model can be loaded.
    takes: (name) =>
      takes(name).catch(async (error: unknown) => {
        if (await serving.isKilled(name)) return anything;
        throw error;
      }),
    server: () => ({ name: "millrace", version, extensions: ["binary_tensor_data", "model_repository"] }),
    async model(name, asked) {
      const graph = await graphOf(name, asked);
      if (graph !== undefined) {
        const { platform, inputs, outputs } = (await graph.takes()).model;
        return { name, versions: [String(graph.version)], platform, inputs: (inputs ?? []).map(declared), outputs: (outputs ?? []).map(declared) };
      }
      const versions = versionsOf(await serving.endpoint(name)).map(String);
      const pinned = asked === undefined ? undefined : versionNumber(asked);
      if (pinned !== undefined) await serving.load(name, pinned);
      const taken = await serving.takes(name, pinned);
      if (taken.kind === "tensors") {
        const { platform, inputs, outputs } = taken.model;
        return { name, versions, platform, inputs: (inputs ?? []).map(declared), outputs: (outputs ?? []).map(declared) };
      }
      return {
        ...{ name, versions, platform: "onnxruntime_onnx" },
        inputs: taken.service.request.map(({ name: input, type }) => ({ name: input, datatype: datatypes[type][0] ?? "", shape: [-1] })),
        outputs: [
          { name: "probability", datatype: "FP64", shape: [-1] },
          { name: "prediction_id", datatype: "BYTES", shape: [-1] },
        ],
      };
    },
    async ready(name, asked) {
      const graph = await graphOf(name, asked);
      if (graph !== undefined)
        return graph.load().then(
          () => true,
          () => false,
        );
      const { stable } = await serving.endpoint(name);
      const of = asked === undefined ? stable : versionNumber(asked);
      if (of === null) return false;
      return serving.load(name, of).then(
        () => true,
        (error: unknown) => {
          if (error instanceof ApiError && error.status === 404) throw error;
          return false;
        },
      );
    },
    async infer(name, { version: pinned, outputs: wanted, key: named, explain: toExplain, id, caller, inputs, moment, taken, deadline, signal }) {
      const top = topOf(toExplain, inputs);
      const sought = graphs.get(name);
      const graph = atVersion(sought instanceof Promise ? await sought : sought, name, pinned);
      if (graph !== undefined && top !== undefined) throw invalid(`"${name}" is an inference graph: ask an endpoint that is in it for explanations.`);
      const of = pinned === undefined ? undefined : versionNumber(pinned);
      const request = { id, caller, inputs, moment, deadline, signal, key: keyNamed(named), version: of };
      if (graph !== undefined) {
        const made = await graph.infer(request, { outputs: wanted, taken });
        return { id: made.id, ids: made.ids, version: made.version, outputs: chosen(made, wanted) };
      }
      // Before anything is run.
      if (wanted.length > 0) await checkOutputs(name, of, wanted);
      const made = await serving.infer(name, request);
      const outputs = chosen(made, wanted);
      if (top !== undefined) outputs.push(await explained(name, made, top.most));
      return { id: made.id, ids: made.ids, version: made.version, outputs };
    },
    index: async (ready) => [
      ...(await serving.endpoints())
        .filter(({ stable }) => !ready || stable !== null)
        .map(({ name, stable }) => ({
          ...{ name, version: stable === null ? "" : String(stable), state: stable === null ? ("UNAVAILABLE" as const) : ("READY" as const) },
          reason: stable === null ? "no version is its champion yet" : "",
        })),
      ...(await indexOfGraphs(ready)),
    ],
    async load(name) {
      const graph = await graphs.get(name);
      if (graph !== undefined) return graph.load();
      const endpoint = await serving.endpoint(name);
      if (endpoint.stable === null)
        throw new ApiError(400, "NOT_DEPLOYED", `The endpoint "${name}" has no version to load yet: register one by running its pipeline.`);
      await Promise.all(versionsOf(endpoint).map((one) => serving.load(name, one)));
    },
    async unload(name) {
      if ((await graphs.get(name)) !== undefined) throw invalid(`"${name}" is an inference graph: unload the endpoints that are in it.`);
      await serving.unload(name);
    },
  };
}

/** The outputs that are wanted, in that order; all where none is named. */
function chosen({ outputs, from, ids }: Omit<InferAnswer, "logged">, wanted: readonly string[]): Tensor[] {
  const all = from === "features" ? [...outputs, { name: "prediction_id", datatype: "BYTES" as const, shape: [ids.length], data: ids }] : outputs;
  if (wanted.length === 0) return [...all];
  checkWanted(
    wanted,
    all.map(({ name }) => name),
  );
  return wanted.flatMap((one) => all.find(({ name }) => name === one) ?? []);
}
/** What answers, and what is tried. */
function versionsOf({ stable, candidate, rollout }: Endpoint): number[] {
  const arms = rollout?.state === "running" ? rollout.arms.map((arm) => arm.version) : [];
  return [...new Set([stable, candidate, ...arms])].filter((one) => one !== null);
}
const anything: Takes = { kind: "tensors", model: { platform: "onnxruntime_onnx", inputs: null, outputs: null, batches: true, bytes: 0 } };
function keyNamed(key: unknown): string | undefined {
  if (key === undefined || key === "") return undefined;
  if (typeof key !== "string" || key.length > 200) throw invalid("The key of a request is a text of 1 to 200 characters.");
  return key;
}

function topOf(asked: unknown, inputs: readonly GivenTensor[]): { most: number | undefined } | undefined {
  if (asked === undefined || asked === false) return undefined;
  const isCount = typeof asked === "number" && Number.isInteger(asked) && asked >= 1 && asked <= 1_000;
  if (asked !== true && !isCount) throw invalid("The parameter `explain` is true, or how many of the largest attributions are wanted: 1 to 1000.");
  const rows = inputs[0]?.shape[0] ?? 0;
  if (rows > mostExplained) throw invalid(`At most ${mostExplained} rows of a request are explained, not ${rows}.`);
  return { most: isCount ? asked : undefined };
}

const declared = ({ name, datatype, shape }: TensorSpec): TensorMetadata => ({ name, datatype, shape: [...shape] });

function versionNumber(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw invalid(`"${text}" is no version: versions are whole numbers from 1.`);
  return Number(text);
}
