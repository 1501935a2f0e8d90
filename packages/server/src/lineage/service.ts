import type { Artifact, Lineage, LineageNode, RunDetail } from "@millrace/sdk/api";
import type { Datasets } from "../datasets/index.js";
import type { Pipelines } from "../pipelines/index.js";
import { invalid, notFound } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import type { Serving } from "../serving/index.js";
import type { LineageService } from "./types.js";

interface On {
  projects: Pick<Projects, "version">;
  datasets: Pick<Datasets, "version">;
  pipelines: Pick<Pipelines, "get">;
  registry: Pick<Registry, "version">;
  serving: Pick<Serving, "prediction">;
}

export function createLineage(on: On): LineageService {
  return {
    async lineage(kind, id) {
      const graph = newGraph();
      const root = await start(graph, kind, id);
      return { root, nodes: [...graph.nodes.values()], edges: [...graph.edges.values()] };
    },
  };

  async function start(graph: Graph, kind: string, id: string): Promise<string> {
    switch (kind) {
      case "prediction":
        return prediction(graph, id);
      case "model_version":
        return modelVersion(graph, ...named(id, "delay/3"));
      case "run":
        return run(graph, id);
      case "dataset_version":
        return datasetVersion(graph, ...named(id, "flights/3"));
      default:
        throw invalid(`"${kind}" has no lineage: ask for a prediction, model_version, run or dataset_version.`);
    }
  }

  async function prediction(graph: Graph, id: string): Promise<string> {
    const found = await on.serving.prediction(id);
    const { at, endpoint, route, label } = found;
    const node = graph.add("prediction", id, id, { at, endpoint, probability: found.prediction, label, route });
    graph.link(node, await modelVersion(graph, found.model, found.version));
    return node;
  }

  async function modelVersion(graph: Graph, model: string, version: number): Promise<string> {
    const found = await on.registry.version(model, version);
    const { createdAt, digest, service, runId, metrics } = found;
    const node = graph.add("model_version", `${model}/${version}`, `${model} v${version}`, {
      registered: createdAt,
      service,
      auc: metrics.auc ?? null,
      digest,
    });
    if (runId !== null) graph.link(node, await run(graph, runId));
    return node;
  }

  async function run(graph: Graph, id: string): Promise<string> {
    const known = graph.find("run", id);
    if (known !== undefined) return known;
    const found = await on.pipelines.get(id);
    const node = graph.add("run", id, `${found.pipeline} ${id}`, {
      state: found.state,
      started: found.startedAt,
      cause: found.cause.reason ?? found.cause.kind,
      trackingRun: found.trackingRunId,
    });
    await projectVersion(graph, node, found);
    for (const step of found.steps) {
      const made = graph.add("step", `${id}/${step.id}`, step.id, { kind: step.kind, state: step.state, cachedFrom: step.cachedFrom });
      for (const artifact of Object.values(step.outputs)) await readFrom(graph, made, step.kind, artifact);
    }
    // What a step was made from: the steps whose outputs it took. The run leads to the last of them.
    const taken = new Set<string>();
    for (const { id: step, inputs } of found.spec.nodes) {
      for (const input of Object.values(inputs)) {
        if (!("node" in input)) continue;
        taken.add(input.node);
        graph.link(`step/${id}/${step}`, `step/${id}/${input.node}`);
      }
    }
    for (const { id: step } of found.spec.nodes) if (!taken.has(step)) graph.link(node, `step/${id}/${step}`);
    return node;
  }

  /** Which versions of datasets a step itself has read. Steps after it pass on what its output says. */
  async function readFrom(graph: Graph, node: string, kind: string, { meta }: Artifact): Promise<void> {
    const read = kind === "read_dataset" ? [meta] : kind === "historical_features" && Array.isArray(meta.datasets) ? meta.datasets : [];
    for (const { dataset, version } of read) {
      // A dataset that had no version yet is told as version 0.
      if (typeof dataset === "string" && typeof version === "number" && version > 0) graph.link(node, await datasetVersion(graph, dataset, version));
    }
  }

  async function datasetVersion(graph: Graph, dataset: string, version: number): Promise<string> {
    const known = graph.find("dataset_version", `${dataset}/${version}`);
    if (known !== undefined) return known;
    const found = await on.datasets.version(dataset, version);
    const node = graph.add("dataset_version", `${dataset}/${version}`, `${dataset} v${version}`, {
      rows: found.rows,
      created: found.createdAt,
      digest: found.digest,
    });
    for (const part of found.parts) {
      graph.link(node, graph.add("file", part.digest, part.file, { rows: part.rows, bytes: part.bytes, digest: part.digest }));
    }
    return node;
  }

  async function projectVersion(graph: Graph, from: string, { project, projectVersion: version }: RunDetail): Promise<void> {
    const found = await on.projects.version(project, version);
    const node = graph.add("project_version", `${project}/${version}`, `${project} v${version}`, {
      applied: found.appliedAt,
      by: found.appliedBy,
      digest: found.digest,
    });
    graph.link(from, node);
    if (found.commit !== null) graph.link(node, graph.add("commit", found.commit, found.commit.slice(0, 12), { dirty: found.dirty }));
  }
}

interface Graph {
  nodes: Map<string, LineageNode>;
  /** By both ends. */
  edges: Map<string, Lineage["edges"][number]>;
  /** Answers the node's id in the graph. */
  add(kind: string, id: string, label: string, facts: Record<string, unknown>): string;
  link(from: string, to: string): void;
  /** The node's id in the graph where it is there already, with what it was made from. */
  find(kind: string, id: string): string | undefined;
}
function newGraph(): Graph {
  const nodes = new Map<string, LineageNode>();
  const edges = new Map<string, Lineage["edges"][number]>();
  const key = (kind: string, id: string) => `${kind}/${id}`;
  return {
    nodes,
    edges,
    add(kind, id, label, facts) {
      const node = key(kind, id);
      if (!nodes.has(node)) nodes.set(node, { kind, id: node, label, facts });
      return node;
    },
    link: (from, to) => void edges.set(`${from} ${to}`, { from, to }),
    find: (kind, id) => (nodes.has(key(kind, id)) ? key(kind, id) : undefined),
  };
}

function named(id: string, example: string): [string, number] {
  const match = /^(.+)\/([1-9][0-9]{0,8})$/.exec(id);
  if (match?.[1] === undefined) throw notFound(`version (write it as ${example})`, id);
  return [match[1], Number(match[2])];
}
