/** For tests: a server of what serving needs and no more, and a model of two inputs to serve. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { EndpointSpec, FeatureServiceSpec, ProjectSpec } from "@millrace/sdk/spec";
import { createCompute } from "../compute/index.js";
import { createDatasets } from "../datasets/index.js";
import { createExplanations, explanationRoutes } from "../explanation/index.js";
import { createFeatures } from "../features/index.js";
import { createInference, createPythonModels, createTransforms } from "../inference/index.js";
import { newId, notFound, openHttp, platformRoutes, type ServerConfig } from "../platform/index.js";
import { openMetrics } from "../platform/metrics.js";
import { openPlatform } from "../platform/open.js";
import { createProjects } from "../projects/index.js";
import { applyProject } from "../projects/testing.js";
import { createRegistry } from "../registry/index.js";
import { createValidation } from "../validation/index.js";
import { createGraphs, createServing, openExchange, openGrpc, openInferenceProtocolRoutes, openInvocationRoutes, servingRoutes } from "./index.js";
import { wishingEndpoints } from "./rollouts/wishes.js";

export async function openServingServer(dataDir: string, clock: ServerConfig["clock"]) {
  const { platform, close } = await openPlatform({ host: "127.0.0.1", port: 0, dataDir, clock, logLevel: "silent" });
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  platformRoutes(app, platform);
  const projects = createProjects(platform);
  const registry = createRegistry(platform);
  const compute = createCompute(platform);
  const datasets = createDatasets(platform, { projects, validation: createValidation(platform, { compute, projects }) });
  const features = createFeatures(platform, { projects, datasets });
  const inference = createInference({ python: createPythonModels(platform, { compute }) });
  const parts = { projects, registry, features, inference };
  const serving = await createServing(platform, parts);
  const transforms = createTransforms(platform);
  // There are no pipelines: no version says what it was trained on.
  const get = async (id: string) => Promise.reject(notFound("run", id));
  const explanations = createExplanations(platform, { serving, registry, inference, pipelines: { get } });
  explanationRoutes(app, explanations);
  const graphs = createGraphs(projects, { serving, transform: transforms.open });
  servingRoutes(app, serving, graphs);
  const exchange = openExchange(serving, graphs, explanations.explain);
  openInferenceProtocolRoutes(app, platform, exchange);
  openInvocationRoutes(app, exchange);
  const grpc = await openGrpc(platform, async () => ({ name: "anna" }), exchange, 0);
  serving.launch();
  await platform.events.start();
  const url = await app.listen({ host: "127.0.0.1", port: 0 });

  /** A version of the model `shade` or of another, of one of inference's fixtures. */
  async function register(
    fixture: "columns" | "reversed" | "faulty" | "matrix" | "datatypes" | "trees",
    { model, service }: { model: string; service: string | null } = { model: "shade", service: "shade_features" },
  ): Promise<number> {
    const bytes = await readFile(fileURLToPath(new URL(`../inference/fixtures/${fixture}.onnx`, import.meta.url)));
    const { digest, size } = await platform.objects.put(bytes);
    const files = [{ path: "model.onnx", digest, size }];
    const report = {
      ...{ candidate: noMetrics, champion: null, championVersion: null, slices: [], calibration: [], parity: null },
      latency: { p50Ms: 1, p99Ms: 1 },
    };
    const { version } = await registry.register({
      ...{ model, digest, files, service, runId: newId(), trackingRunId: null, metrics: {}, gates: [] },
      report,
    });
    return version;
  }
  return {
    ...{ url, grpc: grpc.address, platform, projects, registry, serving, register },
    applySpec: (spec: Partial<ProjectSpec>) => applyProject(projects, spec),
    apply: (endpoint: Partial<EndpointSpec> = {}) => applyProject(projects, shadeProject(endpoint)),
    /** Resolves when what was set has led to all that it does: versions are made ready beside the events. */
    async settled() {
      await platform.events.settled();
      while ((await wishingEndpoints(platform.db)).length > 0) await delay(10);
      await platform.events.settled();
    },
    /** Another process beside this one: it shares what both keep, and is told nothing. */
    beside: () =>
      createServing(
        { ...platform, events: { ...platform.events, subscribe: () => {} }, clock: { ...platform.clock, onTick: () => {} }, metrics: openMetrics() },
        parts,
      ),
    /** Sets the replayed clock and waits for what follows. */
    async advance(to: string) {
      await platform.clock.advance(new Date(to));
      await platform.events.settled();
    },
    async stop() {
      await app.close();
      await grpc.stop();
      await serving.halt();
      await explanations.close();
      inference.stop();
      await serving.stop();
      await transforms.stop();
      await close();
    },
  };
}
export type ServingServer = Awaited<ReturnType<typeof openServingServer>>;

const noMetrics = { rows: 0, positives: 0, auc: null, log_loss: null, brier: null, calibration_error: null, mean_prediction: null };

/** A color and a number, which the request brings. */
export const shadeFeatures: FeatureServiceSpec = JSON.parse(readFileSync(new URL("../inference/fixtures/shade_features.json", import.meta.url), "utf8"));
/** The endpoint `shade`, whose models take `shadeFeatures`. */
export const shadeProject = (endpoint: Partial<EndpointSpec> = {}): Partial<ProjectSpec> => ({
  featureServices: [shadeFeatures],
  endpoints: [
    {
      name: "shade",
      model: "shade",
      service: "shade_features",
      rollout: {
        kind: "canary",
        steps: [0.5, 1],
        each: "1h",
        judge: [
          { kind: "error_rate_below", share: 0.05, minRequests: 10 },
          { kind: "metric_not_worse", metric: "auc", by: 0.02, minLabels: 40 },
        ],
      },
      log: { retain: "30d" },
      ...endpoint,
    },
  ],
});

/** A request of the Open Inference Protocol for the endpoint. */
export const shadeRequest = (rows: { color: string | null; x: number | null }[], id?: string) => ({
  ...(id === undefined ? {} : { id }),
  inputs: [
    { name: "color", datatype: "BYTES", shape: [rows.length], data: rows.map((row) => row.color) },
    { name: "x", datatype: "FP64", shape: [rows.length], data: rows.map((row) => row.x) },
  ],
});
