/** Things with what is worth telling of them, without what is around them. Each throws a 404 where there is none. */
import type { RunDetail } from "@millrace/sdk/api";
import type { Datasets } from "../datasets/index.js";
import type { PipelineLineage, Pipelines } from "../pipelines/index.js";
import { notFound } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import type { Registry, RegistryLineage, VersionPlace } from "../registry/index.js";
import type { Serving } from "../serving/index.js";
import type { TrackingLineage } from "../tracking/index.js";
import { type Graph, mostAround } from "./graph.js";

export interface On {
  projects: Pick<Projects, "version">;
  datasets: Pick<Datasets, "version">;
  pipelines: Pick<Pipelines, "get">;
  registry: Pick<Registry, "version">;
  serving: Pick<Serving, "prediction">;
  tracked: TrackingLineage;
  versions: RegistryLineage;
  pipelineRuns: PipelineLineage;
}
export type Nodes = ReturnType<typeof createNodes>;
/** One more shows that there is more. */
const asked = mostAround + 1;

export function createNodes(on: On) {
  return {
    async prediction(graph: Graph, id: string) {
      const found = await on.serving.prediction(id);
      const { at, endpoint, route, label } = found;
      return { node: graph.add("prediction", id, id, { at, endpoint, probability: found.prediction, label, route }), found };
    },
    async modelVersion(graph: Graph, { model, version }: VersionPlace) {
      const found = await on.registry.version(model, version);
      const { createdAt, digest, service, metrics } = found;
      const facts = { registered: createdAt, service, auc: metrics.auc ?? null, digest };
      return { node: graph.add("model_version", `${model}/${version}`, `${model} v${version}`, facts), found };
    },
    pipelineRun(graph: Graph, found: RunDetail) {
      return graph.add("run", found.id, `${found.pipeline} ${found.id}`, {
        state: found.state,
        started: found.startedAt,
        cause: found.cause.reason ?? found.cause.kind,
        trackingRun: found.trackingRunId,
      });
    },
    async trackingRun(graph: Graph, id: string) {
      const found = await on.tracked.run(id, asked);
      if (found === undefined) throw notFound("run", id);
      return { node: graph.add("tracking_run", id, `${found.name} ${id}`, found.facts), found };
    },
    async loggedModel(graph: Graph, id: string) {
      const found = await on.tracked.model(id, asked);
      if (found === undefined) throw notFound("logged model", id);
      return { node: graph.add("logged_model", id, `${found.name} ${id}`, found.facts), found };
    },
    async dataset(graph: Graph, digest: string) {
      const found = await on.tracked.dataset(digest, asked);
      if (found === undefined) throw notFound("dataset with the digest", digest);
      return { node: graph.add("dataset", digest, found.name, found.facts), found };
    },
    async datasetVersion(graph: Graph, dataset: string, version: number) {
      const found = await on.datasets.version(dataset, version);
      const { quarantine } = found;
      const decided =
        quarantine === undefined ? {} : { [quarantine.decision]: quarantine.at, by: quarantine.by, reason: quarantine.reason, refused: quarantine.version };
      const facts = { rows: found.rows, created: found.createdAt, digest: found.digest, ...decided };
      return { node: graph.add("dataset_version", `${dataset}/${version}`, `${dataset} v${version}`, facts), found };
    },
  };
}
