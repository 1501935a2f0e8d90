/** The composition: the one file that knows every capability. */
import { createAccess } from "./access/index.js";
import { backfillsRoutes, createBackfills } from "./backfills/index.js";
import { cardRoutes, createCards } from "./cards/index.js";
import { computeRoutes, createCompute } from "./compute/index.js";
import { createDatasets, createQuarantine, createTables, datasetQualityRoutes, datasetReferences, datasetsRoutes } from "./datasets/index.js";
import { createDelivery, deliveryReferences, deliveryRoutes } from "./delivery/index.js";
import { createEvaluation } from "./evaluation/index.js";
import { createExplanations, explanationRoutes } from "./explanation/index.js";
import { createFeatures, feastRoutes, featuresRoutes, openOnlineStore, type ServiceModel } from "./features/index.js";
import { createGc, gcRoutes } from "./gc/index.js";
import { createInference, createPythonModels, createTransforms, createTrials } from "./inference/index.js";
import { createLineage, lineageRoutes } from "./lineage/index.js";
import { missingRoutes } from "./mlflow/index.js";
import { createMonitoring, monitoringRoutes } from "./monitoring/index.js";
import { createPipelineLineage, createPipelines, pipelineReferences, pipelinesRoutes } from "./pipelines/index.js";
import { type DeclaredRoute, endWithin, listen, type Metrics, openHttp, type Platform, platformRoutes } from "./platform/index.js";
import { createProjects, projectReferences, projectsRoutes } from "./projects/index.js";
import {
  createMlflowRegistry,
  createReadModelStep,
  createRegistry,
  createRegistryLineage,
  createRegistryTransfer,
  mlflowRegistryRoutes,
  type Registry,
  registryReferences,
  registryRoutes,
} from "./registry/index.js";
import { createSchedules, schedulesRoutes } from "./schedules/index.js";
import { createSecrets, secretsRoutes } from "./secrets/index.js";
import {
  createGraphs,
  createServing,
  openExchange,
  openGrpc,
  openInferenceProtocolRoutes,
  openInvocationRoutes,
  servingReferences,
  servingRoutes,
} from "./serving/index.js";
import { createSweeps, sweepsRoutes } from "./sweeps/index.js";
import { createRemoval, createTracking, createTrackingLineage, createTrackingTransfer, trackingReferences, trackingRoutes } from "./tracking/index.js";
import { transferRoutes } from "./transfer/index.js";
import { createTriggers, triggersRoutes } from "./triggers/index.js";
import { createValidation, forgetStatistics, validationRoutes } from "./validation/index.js";
import { createWebhooks, webhookRoutes } from "./webhooks/index.js";

export interface RunningServer {
  url: string;
  /** Where the Open Inference Protocol is spoken over gRPC, as `127.0.0.1:9000`. */
  grpc?: string;
  /** Every route, and what it asks for. */
  routes: readonly DeclaredRoute[];
  metrics: Metrics;
  stop(): Promise<void>;
}

export async function compose(platform: Platform, work: "all" | "steps" | "requests"): Promise<RunningServer> {
  const { config } = platform;
  const access = await createAccess(platform);
  await access.checkExposure();
  const app = await openHttp(platform, access.authorize);
  platformRoutes(app, platform);

  const projects = createProjects(platform);
  projectsRoutes(app, projects, platform.objects);

  const tracking = createTracking(platform, { access });
  trackingRoutes(app, tracking, platform);
  const registry = createRegistry(platform);
  registryRoutes(app, registry, platform.objects);
  const mlflow = createMlflowRegistry(platform, { registry, tracking });
  mlflowRegistryRoutes(app, mlflow, platform);
  const secrets = createSecrets(platform);
  secretsRoutes(app, secrets);
  const webhooks = await createWebhooks(platform, { secrets });
  webhookRoutes(app, webhooks, platform);
  missingRoutes(app, platform);
  transferRoutes(app, {
    tracking: createTrackingTransfer(platform),
    registry: createRegistryTransfer(platform, { registry, tracking }),
    objects: platform.objects,
  });

  const compute = createCompute(platform, { access });
  computeRoutes(app, platform.objects);
  const validation = createValidation(platform, { projects, compute, tables: () => createTables(platform) });
  validationRoutes(app, validation, platform, { projects, tables: () => createTables(platform) });
  const datasets = createDatasets(platform, { projects, validation });
  datasetsRoutes(app, datasets);
  datasetQualityRoutes(app, platform, { datasets, validation, projects, quarantine: createQuarantine(platform, projects) });
  const online = await openOnlineStore(platform);
  const features = createFeatures(platform, {
    online,
    projects,
    datasets,
    loggedPredictions: (query) => serving.loggedPredictions(query),
    models: async () => modelsOfServices(registry),
  });
  featuresRoutes(app, features);
  feastRoutes(app, features);

  const inference = createInference({
    python: createPythonModels(platform, { compute }),
    trials: createTrials(platform),
    ...(config.onnxProviders === undefined ? {} : { providers: config.onnxProviders }),
  });
  const evaluation = createEvaluation(platform, { projects, registry, inference });
  const serving = await createServing(platform, { projects, registry, features, inference, answers: work !== "steps" });
  const transforms = createTransforms(platform);
  const graphs = createGraphs(projects, { serving, transform: transforms.open });
  servingRoutes(app, serving, graphs);
  const exchange = openExchange(serving, graphs, (of, top) => explanations.explain(of, top));
  openInferenceProtocolRoutes(app, platform, exchange);
  openInvocationRoutes(app, exchange);

  const pipelines = createPipelines(platform, {
    projects,
    compute,
    tracking: tracking.runTracker,
    secrets,
    stepKinds: [
      createReadModelStep(registry),
      ...Object.values(validation.stepKinds),
      ...Object.values(datasets.stepKinds),
      ...Object.values(features.stepKinds),
      ...Object.values(evaluation.stepKinds),
    ],
  });
  pipelinesRoutes(app, pipelines, platform.objects);

  const explanations = createExplanations(platform, { serving, registry, inference, pipelines });
  explanationRoutes(app, explanations);
  const monitoring = createMonitoring(platform, { projects, serving, registry, pipelines });
  monitoringRoutes(app, monitoring);
  const triggers = createTriggers(platform, { projects, pipelines, datasets, monitoring });
  triggersRoutes(app, triggers);
  schedulesRoutes(app, createSchedules(platform, { projects, pipelines }));
  const backfills = createBackfills(platform, {
    projects,
    pipelines,
    partitions: async (name) => [...new Set((await datasets.latest(name))?.parts.flatMap(({ partition }) => partition ?? []))].sort(),
  });
  backfillsRoutes(app, backfills);
  const sweeps = createSweeps(platform, { projects, pipelines, tracking, compute });
  sweepsRoutes(app, sweeps);
  const lineage = createLineage({
    ...{ projects, datasets, pipelines, registry, serving },
    ...{ tracked: createTrackingLineage(platform), versions: createRegistryLineage(platform), pipelineRuns: createPipelineLineage(platform) },
  });
  lineageRoutes(app, lineage);

  const delivery = createDelivery(platform, { access, projects, registry, serving, pipelines, datasets, lineage, secrets });
  deliveryRoutes(app, delivery);
  const { promotions } = delivery;
  cardRoutes(app, createCards(platform, { registry, mlflow, projects, pipelines, tracking, serving, lineage, promotions }));

  // Whoever keeps digests of objects in its tables is named here: what nobody refers to is freed.
  const gc = createGc(platform, {
    removal: createRemoval(platform),
    references: [projectReferences, trackingReferences, registryReferences, datasetReferences, servingReferences, pipelineReferences, deliveryReferences],
    forget: forgetStatistics,
  });
  gcRoutes(app, gc);

  const grpc = config.grpcPort === undefined ? undefined : await openGrpc(platform, access.authorize, exchange, config.grpcPort);
  const url = await listen(app, config);
  // Steps speak to the server's own address.
  platform.address.url = url;
  // Who asks is answered before those who subscribed are told what is new.
  if (work === "all") await platform.events.start();
  if (work !== "requests") await pipelines.launch();
  if (work === "all") {
    serving.launch();
    backfills.launch();
    sweeps.launch();
    delivery.launch();
    platform.clock.start();
  }
  return {
    url,
    ...(grpc === undefined ? {} : { grpc: grpc.address }),
    ...{ routes: app.declaredRoutes, metrics: platform.metrics },
    async stop() {
      const end = (what: string, work: () => unknown) => endWithin(platform.log, 10_000, what, work);
      await end("HTTP", () => app.close());
      await end("gRPC", () => grpc?.stop());
      await end("the collection of what was deleted", () => gc.stop());
      await end("work that was due", () => platform.clock.stop());
      await end("the handling of events", () => platform.events.stop());
      await end("versions that are being made ready", () => serving.halt());
      await end("latest values of metrics", () => tracking.stop());
      await end("webhooks", () => webhooks.stop());
      await end("backfills", () => backfills.stop());
      await end("sweeps", () => sweeps.stop());
      await end("promotions", () => delivery.stop());
      await end("pipelines", () => pipelines.stop());
      await end("processes", () => compute.stop());
      await end("the online store of features", () => online.close());
      await end("explanations", () => explanations.close());
      inference.stop();
      await end("serving", () => serving.stop());
      await end("transforms", () => transforms.stop());
    },
  };
}

/** Of each feature service the models with a version that was trained on it, and the newest of these versions. */
async function modelsOfServices(registry: Registry): Promise<Map<string, ServiceModel[]>> {
  const found = new Map<string, ServiceModel[]>();
  for (const { name } of await registry.models()) {
    const seen = new Set<string>();
    for (const { service, version } of await registry.versions(name, { limit: 100 })) {
      if (service === null || seen.has(service)) continue;
      seen.add(service);
      found.set(service, [...(found.get(service) ?? []), { model: name, version }]);
    }
  }
  return found;
}
