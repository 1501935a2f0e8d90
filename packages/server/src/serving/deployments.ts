import { durationMs } from "@millrace/sdk";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import { modelSource } from "../evaluation/index.js";
import { fit, type Inference, type LoadedModel, type ServedModel } from "../inference/index.js";
import { ApiError, type ObjectStore } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import { batched } from "./batching.js";

const megabyte = 1024 ** 2;
/** How long a model is kept open after the last time that it was needed, and how many are. */
const keepMs = 600_000;
const mostOpen = 32;
/** Whoever was just given a model still runs it. */
const inUseMs = 60_000;

export interface Deployments {
  /** Opened once, however many ask. */
  open(model: string, version: number): Promise<ServedModel>;
  /** The version, as one that predicts from the service's features. Throws a 409 where it was trained on others, a 422 where it takes others. */
  fitted(model: string, version: number, service: FeatureServiceSpec): Promise<LoadedModel>;
  /** These stay in memory, and come into it beside a version of their model that is in use. Others leave it when nobody has needed them for a while. */
  keep(versions: readonly { model: string; version: number }[]): void;
  /** Frees the memory of a model's versions, once whoever runs them has done so. */
  unload(model: string): void;
  close(): Promise<void>;
}
interface Opened {
  served: ServedModel;
  /** The feature service that it was trained on, where that is known. */
  trainedOn: string | null;
  /** By the features' text. */
  fitted: Map<string, LoadedModel>;
}

/** A definition is one object until it changes: its inputs as text are made once, not at every request. */
const inputs = new WeakMap<FeatureServiceSpec, string>();
function inputsOf(service: FeatureServiceSpec): string {
  const known = inputs.get(service) ?? JSON.stringify(service.features);
  inputs.set(service, known);
  return known;
}

/** Models that are open in this process. */
export function openDeployments(on: { registry: Registry; inference: Inference; objects: ObjectStore; projects: Pick<Projects, "list"> }): Deployments {
  const models = new Map<string, { loading: Promise<Opened>; used: number }>();
  // The map's order is that of the last use.
  const closing = setInterval(() => {
    for (const [key, { loading, used }] of models) {
      if (kept.has(key)) continue;
      const idle = performance.now() - used;
      if (idle < (models.size > mostOpen ? inUseMs : keepMs)) return;
      models.delete(key);
      void close(loading);
    }
  }, inUseMs / 4);
  closing.unref();
  /** By key. */
  let kept = new Map<string, { model: string; version: number }>();
  /** What is no longer given to anybody. */
  const leaving = new Set<{ loading: Promise<Opened>; timer: NodeJS.Timeout }>();
  const close = (loading: Promise<Opened>): Promise<void> => loading.then(({ served }) => served.close()).catch(() => {});

  async function load(model: string, version: number): Promise<Opened> {
    const { files, service } = await on.registry.registered(model, version);
    const source = await modelSource(on.objects, files, `${model}/${version}`);
    const served = batched(await on.inference.open("mlflow" in source ? { mlflow: { ...source.mlflow, ...(await workersOf(model)) } } : source));
    return { served, trainedOn: service, fitted: new Map() };
  }
  /** Endpoints that have the model in common have its workers in common: as many as the one that asks for most. */
  async function workersOf(model: string): Promise<{ workers: number; callMs?: number; memoryBytes?: number }> {
    const asked = (await on.projects.list("endpoint")).flatMap(({ spec }) => (spec.model === model && spec.workers !== undefined ? [spec.workers] : []));
    const most = (values: (number | undefined)[]) => values.reduce((largest = 0, value = 0) => Math.max(largest, value), 0) || undefined;
    const callMs = most(asked.map(({ timeout }) => (timeout === undefined ? undefined : durationMs(timeout))));
    const memoryMb = most(asked.map((one) => one.memoryMb));
    return {
      workers: most(asked.map(({ count }) => count)) ?? 1,
      ...(callMs === undefined ? {} : { callMs }),
      ...(memoryMb === undefined ? {} : { memoryBytes: memoryMb * megabyte }),
    };
  }
  function opened(model: string, version: number): Promise<Opened> {
    const key = `${model}/${version}`;
    const known = models.get(key);
    if (known !== undefined) {
      known.used = performance.now();
      models.delete(key);
      models.set(key, known);
      return known.loading;
    }
    const loading = load(model, version);
    models.set(key, { loading, used: performance.now() });
    // What could not be opened is tried again by whoever asks next.
    loading.catch(() => models.delete(key));
    return loading;
  }
  return {
    open: async (model, version) => (await opened(model, version)).served,
    async fitted(model, version, service) {
      const { served, trainedOn, fitted } = await opened(model, version);
      if (trainedOn !== null && trainedOn !== service.name)
        throw new ApiError(
          409,
          "CONFLICT",
          `${model}/${version} was trained on the features of "${trainedOn}"; the endpoint gives those of "${service.name}".`,
        );
      const key = inputsOf(service);
      const known = fitted.get(key) ?? fit(served, service.features);
      fitted.set(key, known);
      return known;
    },
    keep(versions) {
      kept = new Map(versions.map((one) => [`${one.model}/${one.version}`, one]));
      const inUse = new Set([...models.keys()].map((key) => key.slice(0, key.lastIndexOf("/"))));
      for (const [key, { model, version }] of kept) if (!models.has(key) && inUse.has(model)) opened(model, version).catch(() => {});
    },
    unload(model) {
      for (const [key, { loading }] of models) {
        if (!key.startsWith(`${model}/`)) continue;
        models.delete(key);
        const one = { loading, timer: setTimeout(() => leaving.delete(one) && void close(loading), inUseMs).unref() };
        leaving.add(one);
      }
    },
    async close() {
      clearInterval(closing);
      for (const { loading, timer } of leaving) {
        clearTimeout(timer);
        await close(loading);
      }
      for (const { loading } of models.values()) await close(loading);
      models.clear();
    },
  };
}
