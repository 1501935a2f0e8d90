import type { PredictionExplanation } from "@millrace/sdk/api";
import { modelSource } from "../evaluation/index.js";
import type { Inference } from "../inference/index.js";
import { conflict, limit, type Platform } from "../platform/index.js";
import type { Registry } from "../registry/index.js";
import type { Serving } from "../serving/index.js";
import { type Background, type BackgroundOn, backgroundOf, givenOf } from "./background.js";
import { openTrees, type TreeModel } from "./exact.js";
import { explainRow } from "./explainer.js";
import { cellsOf, type Places, placesOf } from "./places.js";
import type { Explanations } from "./types.js";

/** What is needed to explain a version is kept for so long after it was asked for last, and of so many. */
const keepMs = 600_000;
const mostKept = 8;
/** Each takes a processor, and others wait for answers. */
const atOnce = 2;

interface Prepared {
  places: Places;
  background: Background;
  trees: TreeModel | undefined;
}

export function createExplanations(
  platform: Pick<Platform, "objects" | "duckdb" | "config" | "log">,
  on: BackgroundOn & { registry: Pick<Registry, "registered">; serving: Pick<Serving, "served" | "prediction" | "predictions">; inference: Inference },
): Explanations {
  const { objects, config, log } = platform;
  const alone = limit(atOnce);
  const kept = new Map<string, { preparing: Promise<Prepared>; used: number; made: number }>();
  const drop = (key: string): void => {
    const one = kept.get(key);
    kept.delete(key);
    void one?.preparing.then(({ trees }) => trees?.close()).catch(() => {});
  };
  const closing = setInterval(() => {
    for (const [key, { used }] of kept) if (performance.now() - used > keepMs) drop(key);
  }, keepMs / 4);
  closing.unref();

  async function explain({ endpoint, version, given }: Parameters<Explanations["explain"]>[0], top: number | undefined): Promise<PredictionExplanation> {
    if (version === 0) throw conflict("No model made this prediction: it is the fallback of an endpoint that was switched off.");
    const { name, model, service } = await on.serving.served(endpoint, version);
    const key = JSON.stringify([endpoint, name, version, service?.features]);
    const { places, background, trees } = await prepared(key, async () => {
      const made = placesOf(model, service?.features);
      const [rows, ofTrees] = await Promise.all([
        backgroundOf(platform, on, { endpoint, model: name, version, service, places: made }),
        treesOf(name, version, made, model.outputs?.at(-1)?.name),
      ]);
      return { places: made, background: rows, trees: ofTrees };
    });
    const row = cellsOf(places, given);
    const { attributions, rows, ...told } = await explainRow(model, places, row, background.rows, trees);
    const all = attributions
      .map(({ value, error }, at) => ({ feature: places.names[at] ?? "", value: jsonOf(row[at]), attribution: value, standardError: error }))
      .sort((a, b) => Math.abs(b.attribution) - Math.abs(a.attribution));
    return {
      ...{ endpoint, model: name, version, ...told },
      background: { from: background.from, rows },
      attributions: all.slice(0, top),
      rest: top === undefined ? 0 : all.slice(top).reduce((sum, { attribution }) => sum + attribution, 0),
    };
  }

  function prepared(key: string, make: () => Promise<Prepared>): Promise<Prepared> {
    const now = performance.now();
    const known = kept.get(key);
    // What was asked last is another thing after a while.
    if (known !== undefined && now - known.made < keepMs) {
      known.used = now;
      return known.preparing;
    }
    drop(key);
    const preparing = make();
    kept.set(key, { preparing, used: now, made: now });
    preparing.catch(() => kept.delete(key));
    for (const oldest of kept.keys()) {
      if (kept.size <= mostKept) break;
      drop(oldest);
    }
    return preparing;
  }

  /** Undefined where the version is no ONNX, or its trees can't be had by themselves: then it is sampled. */
  async function treesOf(model: string, version: number, places: Places, output: string | undefined): Promise<TreeModel | undefined> {
    const { files } = await on.registry.registered(model, version);
    try {
      const source = await modelSource(objects, files, `${model}/${version}`);
      if (output === undefined || !("onnx" in source)) return undefined;
      return await openTrees(source.onnx, places, output, { inference: on.inference, folder: config.dataDir });
    } catch (error) {
      log.warn({ error, model, version }, "the trees of a model could not be read; its explanations are sampled");
      return undefined;
    }
  }

  return {
    explain: (of, top) => alone(() => explain(of, top)),
    async logged(id, top) {
      const prediction = await on.serving.prediction(id);
      return alone(() => explain({ ...prediction, given: givenOf(prediction) }, top));
    },
    async close() {
      clearInterval(closing);
      for (const { preparing } of kept.values()) await preparing.then(({ trees }) => trees?.close()).catch(() => {});
    },
  };
}

const jsonOf = (cell: ReturnType<typeof cellsOf>[number] | undefined): string | number | boolean | null => {
  if (typeof cell === "bigint") return String(cell);
  return typeof cell === "number" && !Number.isFinite(cell) ? null : (cell ?? null);
};
