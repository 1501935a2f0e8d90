import { invalid, notFound } from "../platform/index.js";
import { type Back, createBack } from "./back.js";
import { createForward, type Forward } from "./forward.js";
import { newGraph } from "./graph.js";
import { createNodes, type On } from "./nodes.js";
import type { LineageService } from "./types.js";

export function createLineage(on: On): LineageService {
  const nodes = createNodes(on);
  const ways = { back: createBack(on, nodes), forward: createForward(on, nodes) };
  return {
    async lineage(kind, id, direction) {
      // Each way in a graph of its own: where one has been, the other may still have to go.
      const asked = direction === "both" ? (["back", "forward"] as const) : [direction];
      const found = await Promise.all(
        asked.map(async (way) => {
          const graph = newGraph();
          return { root: await start(way, graph, kind, id), graph };
        }),
      );
      return {
        root: found[0]?.root ?? "",
        nodes: [...new Map(found.flatMap(({ graph }) => [...graph.nodes])).values()],
        edges: [...new Map(found.flatMap(({ graph }) => [...graph.edges])).values()],
        ...(found.some(({ graph }) => graph.more()) ? { more: true } : {}),
      };
    },
  };

  async function start(direction: "back" | "forward", graph: ReturnType<typeof newGraph>, kind: string, id: string): Promise<string> {
    const way: Back | Forward = ways[direction];
    switch (kind) {
      case "prediction":
        return way.prediction(graph, id);
      case "model_version": {
        const [model, version] = named(id, "delay/3");
        return way.modelVersion(graph, { model, version });
      }
      case "run": {
        const tracked = (await on.tracked.run(id, 1)) !== undefined;
        return tracked ? way.trackingRun(graph, id) : way.run(graph, id);
      }
      case "tracking_run":
        return way.trackingRun(graph, id);
      case "logged_model":
        return way.loggedModel(graph, id);
      case "dataset":
        return way.dataset(graph, id);
      case "dataset_version":
        return way.datasetVersion(graph, ...named(id, "flights/3"));
      default:
        throw invalid(
          `"${kind}" has no lineage: ask for a prediction, model_version, run, tracking_run, logged_model, dataset (by its digest) or dataset_version.`,
        );
    }
  }
}

function named(id: string, example: string): [string, number] {
  const match = /^(.+)\/([1-9][0-9]{0,8})$/.exec(id);
  if (match?.[1] === undefined) throw notFound(`version (write it as ${example})`, id);
  return [match[1], Number(match[2])];
}
