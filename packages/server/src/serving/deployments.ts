import { totalmem } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { durationMs } from "@millrace/sdk";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import { modelSource } from "../evaluation/index.js";
import { fit, type Inference, type LoadedModel, type ServedModel } from "../inference/index.js";
import { ApiError, type Limit, limit, type ObjectStore } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import { batched } from "./batching.js";

const megabyte = 1024 ** 2;
/** How long a model is kept open after the last time that it was needed. */
const keepMs = 600_000;
/** What somebody unloads stays for those who were given it. */
const inUseMs = 60_000;
/** Whoever was given a model runs it in the same turn of the event loop. What runs is waited for when a model is closed. */
const justGivenMs = 1_000;
/** Models that are opened at once. */
const opening = 4;
/** For room in memory; who gets none in so long is let in all the same: a model that is larger than the limit answers too. */
const roomMs = 5_000;

export interface Deployments {
  /** Opened once, however many ask. At once where it is open. */
  open(model: string, version: number): ServedModel | Promise<ServedModel>;
  /** The version, as one that predicts from the service's features. Throws a 409 where it was trained on others, a 422 where it takes others. */
  fitted(model: string, version: number, service: FeatureServiceSpec): Promise<LoadedModel>;
  /** These stay in memory, and come into it beside a version of their model that is in use. Others leave it when nobody has needed them for a while. */
  keep(versions: readonly { model: string; version: number }[]): void;
  /** Frees the memory of a model's versions, once whoever runs them has done so. */
  unload(model: string): void;
  close(): Promise<void>;
}
interface Entry {
  loading: Promise<Opened>;
  used: number;
  /** Once it is loaded. */
  opened?: Opened;
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

/** A quarter of what the machine has, or of what this process may have of it. */
function usualMemory(): number {
  const allowed = process.constrainedMemory() ?? 0;
  return Math.min(totalmem(), allowed > 0 ? allowed : Number.POSITIVE_INFINITY) / 4;
}

/**
 * Models that are open in this process. When they take more memory than they may, those that were used longest ago are closed, and the ones that stay for a
 * switch after all others; never one that is in use. Whoever asks next opens them again.
 */
export function openDeployments(
  on: { registry: Pick<Registry, "registered">; inference: Pick<Inference, "open">; objects: Pick<ObjectStore, "localPath">; projects: Pick<Projects, "list"> },
  { memoryBytes = usualMemory(), graceMs = justGivenMs }: { memoryBytes?: number | undefined; graceMs?: number } = {},
): Deployments {
  const models = new Map<string, Entry>();
  /** Sorted when it is needed: an order that each request changes costs every one of them. */
  const longestUnused = () => [...models].sort(([, one], [, other]) => one.used - other.used);
  const atOnce = limit(opening);
  const closing = setInterval(() => {
    shrink();
    for (const [key, { loading, used }] of longestUnused()) {
      if (kept.has(key)) continue;
      if (performance.now() - used < keepMs) return;
      models.delete(key);
      void close(loading);
    }
  }, graceMs + 1_000);
  closing.unref();

  /** Answers whether what is open is within the limit now. */
  function shrink(): boolean {
    let bytes = 0;
    for (const { opened: one } of models.values()) bytes += one?.served.bytes ?? 0;
    if (bytes <= memoryBytes) return true;
    const now = performance.now();
    for (const also of [false, true]) {
      for (const [key, { opened: one, used, loading }] of longestUnused()) {
        if (bytes <= memoryBytes) return true;
        if (one === undefined || kept.has(key) !== also || now - used < graceMs) continue;
        bytes -= one.served.bytes;
        models.delete(key);
        void close(loading);
      }
    }
    return bytes <= memoryBytes;
  }
  const inTurn: Limit = (work) =>
    atOnce(async () => {
      await room();
      return work();
    });
  async function room(): Promise<void> {
    for (const until = performance.now() + roomMs; !shrink() && performance.now() < until; ) await delay(50);
  }
  /** By key. */
  let kept = new Map<string, { model: string; version: number }>();
  /** What is no longer given to anybody. */
  const leaving = new Set<{ loading: Promise<Opened>; timer: NodeJS.Timeout }>();
  const close = (loading: Promise<Opened>): Promise<void> => loading.then(({ served }) => served.close()).catch(() => {});

  async function load(model: string, version: number): Promise<Opened> {
    const { files, service } = await on.registry.registered(model, version);
    const source = await modelSource(on.objects, files, `${model}/${version}`);
    const served = batched(await on.inference.open("mlflow" in source ? { mlflow: { ...source.mlflow, ...(await workersOf(model)) } } : source, inTurn));
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
  function used(key: string): Entry | undefined {
    const known = models.get(key);
    if (known !== undefined) known.used = performance.now();
    return known;
  }
  function opened(model: string, version: number): Promise<Opened> {
    const key = `${model}/${version}`;
    const known = used(key);
    if (known !== undefined) return known.loading;
    const loading = load(model, version);
    const entry: Entry = { loading, used: performance.now() };
    models.set(key, entry);
    loading.then(
      (one) => {
        entry.opened = one;
        entry.used = performance.now();
        shrink();
      },
      // What could not be opened is tried again by whoever asks next.
      () => models.delete(key),
    );
    return loading;
  }
  return {
    open: (model, version) => used(`${model}/${version}`)?.opened?.served ?? opened(model, version).then(({ served }) => served),
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
