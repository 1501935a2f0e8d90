/** From anything back to what it was made from. */
import type { Artifact, RunDetail } from "@millrace/sdk/api";
import { orNone } from "../platform/index.js";
import type { VersionPlace } from "../registry/index.js";
import type { Graph } from "./graph.js";
import type { Nodes, On } from "./nodes.js";

export type Back = ReturnType<typeof createBack>;

export function createBack(on: On, nodes: Nodes) {
  return { prediction, modelVersion, run, trackingRun, loggedModel, dataset, datasetVersion };

  async function prediction(graph: Graph, id: string): Promise<string> {
    const { node, found } = await nodes.prediction(graph, id);
    graph.link(node, await modelVersion(graph, found));
    return node;
  }

  async function modelVersion(graph: Graph, place: VersionPlace): Promise<string> {
    const known = graph.find("model_version", `${place.model}/${place.version}`);
    if (known !== undefined) return known;
    const { node, found } = await nodes.modelVersion(graph, place);
    if (found.runId !== null) {
      graph.link(node, await run(graph, found.runId));
      return node;
    }
    const origin = await on.versions.origin(place);
    const from = [
      origin?.copyOf ? await orNone(modelVersion(graph, origin.copyOf)) : undefined,
      origin?.loggedModel ? await orNone(loggedModel(graph, origin.loggedModel)) : undefined,
      origin?.trackingRun ? await orNone(trackingRun(graph, origin.trackingRun)) : undefined,
    ];
    for (const one of from) if (one !== undefined) graph.link(node, one);
    return node;
  }

  /** A run of tracking: what it read, the code that it ran, and the run that it belongs to. */
  async function trackingRun(graph: Graph, id: string): Promise<string> {
    const known = graph.find("tracking_run", id);
    if (known !== undefined) return known;
    const { node, found } = await nodes.trackingRun(graph, id);
    await graph.each(found.datasets, async ({ digest }) => graph.link(node, await dataset(graph, digest)));
    await graph.each(found.modelsRead, async (model) => linkTo(graph, node, orNone(loggedModel(graph, model))));
    const pipelineRun = await on.pipelineRuns.ofTrackingRun(id);
    if (pipelineRun !== undefined) graph.link(node, await run(graph, pipelineRun));
    else if (found.commit !== null) {
      const { id: commit, repository, source } = found.commit;
      graph.link(node, graph.add("commit", commit, commit.slice(0, 12), { repository, source }));
    }
    if (found.parent !== null) await linkTo(graph, node, orNone(trackingRun(graph, found.parent)));
    return node;
  }
  async function linkTo(graph: Graph, node: string, other: Promise<string | undefined>): Promise<void> {
    const to = await other;
    if (to !== undefined) graph.link(node, to);
  }

  async function loggedModel(graph: Graph, id: string): Promise<string> {
    const known = graph.find("logged_model", id);
    if (known !== undefined) return known;
    const { node, found } = await nodes.loggedModel(graph, id);
    if (found.run !== null) await linkTo(graph, node, orNone(trackingRun(graph, found.run)));
    return node;
  }

  async function dataset(graph: Graph, digest: string): Promise<string> {
    return (await nodes.dataset(graph, digest)).node;
  }

  async function run(graph: Graph, id: string): Promise<string> {
    const known = graph.find("run", id);
    if (known !== undefined) return known;
    const found = await on.pipelines.get(id);
    const node = nodes.pipelineRun(graph, found);
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
    for (const { dataset: name, version } of read) {
      // A dataset that had no version yet is told as version 0.
      if (typeof name === "string" && typeof version === "number" && version > 0) graph.link(node, await datasetVersion(graph, name, version));
    }
  }

  async function datasetVersion(graph: Graph, name: string, version: number): Promise<string> {
    const known = graph.find("dataset_version", `${name}/${version}`);
    if (known !== undefined) return known;
    const { node, found } = await nodes.datasetVersion(graph, name, version);
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
