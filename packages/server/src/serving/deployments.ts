import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import { onnxFile } from "../evaluation/index.js";
import { fit, type Inference, type LoadedModel } from "../inference/index.js";
import { ApiError, type ObjectStore } from "../platform/index.js";
import type { Registry } from "../registry/index.js";
import { batched } from "./batching.js";

/** How long a model is kept open after the last time that it was needed, and how many are. */
const keepMs = 600_000;
const mostOpen = 32;
/** Whoever was just given a model still runs it. */
const inUseMs = 60_000;

export interface Deployments {
  /** The version, opened for the service. Opened once, however many ask. */
  open(model: string, version: number, service: FeatureServiceSpec): Promise<LoadedModel>;
  /** Frees the memory of a model's versions, once whoever runs them has done so. */
  unload(model: string): void;
  close(): Promise<void>;
}

/** A definition is one object until it changes: its inputs as text are made once, not at every request. */
const inputs = new WeakMap<FeatureServiceSpec, string>();
function inputsOf(service: FeatureServiceSpec): string {
  const known = inputs.get(service) ?? JSON.stringify(service.features);
  inputs.set(service, known);
  return known;
}

/** Models that are open in this process. */
export function openDeployments(on: { registry: Registry; inference: Inference; objects: ObjectStore }): Deployments {
  const models = new Map<string, { loading: Promise<LoadedModel>; used: number }>();
  // The map's order is that of the last use.
  const closing = setInterval(() => {
    for (const [key, { loading, used }] of models) {
      const idle = performance.now() - used;
      if (idle < (models.size > mostOpen ? inUseMs : keepMs)) return;
      models.delete(key);
      void loading.then((model) => model.close()).catch(() => {});
    }
  }, inUseMs / 4);
  closing.unref();
  /** What is no longer given to anybody. */
  const leaving = new Set<{ loading: Promise<LoadedModel>; timer: NodeJS.Timeout }>();

  async function load(model: string, version: number, service: FeatureServiceSpec): Promise<LoadedModel> {
    const registered = await on.registry.registered(model, version);
    if (registered.service !== null && registered.service !== service.name) {
      throw new ApiError(
        409,
        "CONFLICT",
        `${model}/${version} was trained on the features of "${registered.service}"; the endpoint gives those of "${service.name}".`,
      );
    }
    const opened = batched(await on.inference.open({ onnx: await on.objects.localPath(onnxFile(registered.files)) }));
    try {
      return fit(opened, service.features);
    } catch (error) {
      await opened.close();
      throw error;
    }
  }
  return {
    open(model, version, service) {
      const key = `${model}/${version} ${inputsOf(service)}`;
      const known = models.get(key);
      if (known !== undefined) {
        known.used = performance.now();
        models.delete(key);
        models.set(key, known);
        return known.loading;
      }
      const loading = load(model, version, service);
      models.set(key, { loading, used: performance.now() });
      // What could not be opened is tried again by whoever asks next.
      loading.catch(() => models.delete(key));
      return loading;
    },
    unload(model) {
      for (const [key, { loading }] of models) {
        if (!key.startsWith(`${model}/`)) continue;
        models.delete(key);
        const one = { loading, timer: setTimeout(() => leaving.delete(one) && void loading.then((opened) => opened.close()).catch(() => {}), inUseMs).unref() };
        leaving.add(one);
      }
    },
    async close() {
      clearInterval(closing);
      for (const { loading, timer } of leaving) {
        clearTimeout(timer);
        await loading.then((model) => model.close()).catch(() => {});
      }
      for (const { loading } of models.values()) await loading.then((model) => model.close()).catch(() => {});
      models.clear();
    },
  };
}
