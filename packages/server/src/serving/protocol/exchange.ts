/** What a client and an endpoint say to each other by the Open Inference Protocol, version 2, whatever carries it. */
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import type { Features } from "../../features/index.js";
import { ApiError, invalid, notFound, version } from "../../platform/index.js";
import type { Projects } from "../../projects/index.js";
import type { Serving } from "../types.js";
import { datatypes, type GivenTensor, requestColumns } from "./tensors.js";

export interface TensorMetadata {
  name: string;
  datatype: string;
  /** -1 is any number. */
  shape: number[];
}
export interface OutputTensor extends TensorMetadata {
  data: (string | number)[];
}
export interface ModelMetadata {
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
  service(name: string): Promise<FeatureServiceSpec>;
  /** Throws a 400 that says what is wrong with the request. */
  infer(
    name: string,
    request: { id: string | undefined; version: string | undefined; inputs: readonly GivenTensor[]; outputs: readonly string[]; moment: Date },
  ): Promise<{ version: number; outputs: OutputTensor[] }>;
  /** With `ready`, of what is ready alone. */
  index(ready: boolean): Promise<{ name: string; version: string; state: "READY" | "UNAVAILABLE"; reason: string }[]>;
  /** Brings what answers at the endpoint into memory. */
  load(name: string): Promise<void>;
  /** Frees the memory; the next request brings it back. */
  unload(name: string): Promise<void>;
}

export function openExchange({ serving, projects, features }: { serving: Serving; projects: Projects; features: Pick<Features, "service"> }): Exchange {
  async function service(name: string): Promise<FeatureServiceSpec> {
    const endpoint = await projects.get("endpoint", name);
    if (endpoint === undefined) throw notFound("endpoint", name);
    return features.service(endpoint.spec.service);
  }
  return {
    service,
    server: () => ({ name: "millrace", version, extensions: ["binary_tensor_data", "model_repository"] }),
    async model(name, asked) {
      const { request } = await service(name);
      const { stable, candidate } = await serving.endpoint(name);
      const versions = [stable, candidate].filter((one) => one !== null).map(String);
      if (asked !== undefined && !versions.includes(asked)) await serving.scorer(name, versionNumber(asked));
      return {
        ...{ name, versions, platform: "onnxruntime_onnx" },
        inputs: request.map(({ name: input, type }) => ({ name: input, datatype: datatypes[type][0] ?? "", shape: [-1] })),
        outputs: [
          { name: "probability", datatype: "FP64", shape: [-1] },
          { name: "prediction_id", datatype: "BYTES", shape: [-1] },
        ],
      };
    },
    async ready(name, asked) {
      const { stable } = await serving.endpoint(name);
      const of = asked === undefined ? stable : versionNumber(asked);
      if (of === null) return false;
      return serving.scorer(name, of).then(
        () => true,
        (error: unknown) => {
          if (error instanceof ApiError && error.status === 404) throw error;
          return false;
        },
      );
    },
    async infer(name, { id, version: pinned, inputs, outputs, moment }) {
      const { columns, rows } = requestColumns(inputs, await service(name));
      const answer = await serving.infer(name, { id, columns, rows, moment, ...(pinned === undefined ? {} : { version: versionNumber(pinned) }) });
      const all: OutputTensor[] = [
        { name: "probability", datatype: "FP64", shape: [rows], data: Array.from(answer.probability) },
        { name: "prediction_id", datatype: "BYTES", shape: [rows], data: answer.ids },
      ];
      const chosen = outputs.map((wanted) => {
        const output = all.find((one) => one.name === wanted);
        if (output === undefined) throw invalid(`There is no output "${wanted}". The model gives ${all.map((one) => one.name).join(", ")}.`);
        return output;
      });
      return { version: answer.version, outputs: chosen.length === 0 ? all : chosen };
    },
    index: async (ready) =>
      (await serving.endpoints())
        .filter(({ stable }) => !ready || stable !== null)
        .map(({ name, stable }) => ({
          ...{ name, version: stable === null ? "" : String(stable), state: stable === null ? "UNAVAILABLE" : "READY" },
          reason: stable === null ? "no version is its champion yet" : "",
        })),
    async load(name) {
      const { stable, candidate } = await serving.endpoint(name);
      if (stable === null) throw new ApiError(400, "NOT_DEPLOYED", `The endpoint "${name}" has no version to load yet: register one by running its pipeline.`);
      await Promise.all([stable, candidate].filter((one) => one !== null).map((one) => serving.scorer(name, one)));
    },
    unload: (name) => serving.unload(name),
  };
}

function versionNumber(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw invalid(`"${text}" is no version: versions are whole numbers from 1.`);
  return Number(text);
}
