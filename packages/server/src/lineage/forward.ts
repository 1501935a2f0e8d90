/** From anything on to what was made of it. Predictions are not told one by one: each leads back by itself. */
import { orNone } from "../platform/index.js";
import type { VersionPlace } from "../registry/index.js";
import { type Graph, mostAround } from "./graph.js";
import type { Nodes, On } from "./nodes.js";

export type Forward = ReturnType<typeof createForward>;
const asked = mostAround + 1;

export function createForward(on: On, nodes: Nodes) {
  return { prediction, modelVersion, run, trackingRun, loggedModel, dataset, datasetVersion };

  /** Links what was made of a node to it; what is gone is left out. */
  async function all<T>(graph: Graph, node: string, list: readonly T[], made: (one: T) => Promise<string>): Promise<void> {
    await graph.each(list, async (one) => {
      const from = await orNone(made(one));
      if (from !== undefined) graph.link(from, node);
    });
  }
  async function versions(graph: Graph, node: string, what: Parameters<On["versions"]["versionsOf"]>[0]): Promise<void> {
    await all(graph, node, await on.versions.versionsOf(what, asked), (place) => modelVersion(graph, place));
  }

  /** Nothing is made of one. */
  async function prediction(graph: Graph, id: string): Promise<string> {
    return (await nodes.prediction(graph, id)).node;
  }

  async function modelVersion(graph: Graph, place: VersionPlace): Promise<string> {
    const known = graph.find("model_version", `${place.model}/${place.version}`);
    if (known !== undefined) return known;
    const { node } = await nodes.modelVersion(graph, place);
    await versions(graph, node, { version: place });
    return node;
  }

  async function run(graph: Graph, id: string): Promise<string> {
    const known = graph.find("run", id);
    if (known !== undefined) return known;
    const found = await on.pipelines.get(id);
    const node = nodes.pipelineRun(graph, found);
    await versions(graph, node, { run: id });
    if (found.trackingRunId !== null) await all(graph, node, [found.trackingRunId], (tracked) => trackingRun(graph, tracked));
    return node;
  }

  async function trackingRun(graph: Graph, id: string): Promise<string> {
    const known = graph.find("tracking_run", id);
    if (known !== undefined) return known;
    const { node, found } = await nodes.trackingRun(graph, id);
    await all(graph, node, found.modelsMade, (model) => loggedModel(graph, model));
    await versions(graph, node, { trackingRun: id });
    await all(graph, node, found.children, (child) => trackingRun(graph, child));
    return node;
  }

  async function loggedModel(graph: Graph, id: string): Promise<string> {
    const known = graph.find("logged_model", id);
    if (known !== undefined) return known;
    const { node, found } = await nodes.loggedModel(graph, id);
    await versions(graph, node, { loggedModel: id });
    await all(graph, node, found.readBy, (reader) => trackingRun(graph, reader));
    return node;
  }

  async function dataset(graph: Graph, digest: string): Promise<string> {
    const { node, found } = await nodes.dataset(graph, digest);
    await all(graph, node, found.readBy, (reader) => trackingRun(graph, reader));
    return node;
  }

  async function datasetVersion(graph: Graph, name: string, version: number): Promise<string> {
    const { node } = await nodes.datasetVersion(graph, name, version);
    await all(graph, node, await on.pipelineRuns.reading(name, version, asked), (reader) => run(graph, reader));
    return node;
  }
}
