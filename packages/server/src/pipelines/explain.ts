/** What a run would do, without doing it. */
import type { Explanation } from "@millrace/sdk/api";
import type { Platform } from "../platform/index.js";
import { type DecisionParts, decide } from "./decide.js";
import { type MapItems, type Model, type ModelStep, plannedModel } from "./model.js";
import type { RunRow } from "./rows.js";
import { settle } from "./settle.js";

const mostShown = 2_000;

export async function explain(platform: Pick<Platform, "objects" | "clock">, parts: DecisionParts, run: RunRow): Promise<Explanation> {
  const model = plannedModel(run);
  await settle({ platform, model, changed: new Set(), decide: (steps) => decide(parts, model, steps), newestEvent: async () => "0" });
  const ofItems: OfItems = new Map();
  for (const step of model.steps.values()) {
    if (step.parent === undefined) continue;
    const beside = ofItems.get(step.parent);
    if (beside === undefined) ofItems.set(step.parent, [step]);
    else beside.push(step);
  }
  const steps = [...model.steps.values()].slice(0, mostShown).map((step) => ({ id: step.id, kind: step.node.kind, ...told(model, step, ofItems) }));
  return { steps };
}

interface Told {
  does: Explanation["steps"][number]["does"];
  reason: string;
}
/** The steps of the items of each map. */
type OfItems = Map<ModelStep, ModelStep[]>;

function told(model: Model, step: ModelStep, ofItems: OfItems): Told {
  switch (step.state) {
    case "cached":
      return { does: "reuse", reason: step.reason ?? "" };
    case "skipped":
      return { does: "skip", reason: step.reason ?? "" };
    case "ready":
      return { does: "run", reason: step.reason ?? "" };
    case "asking":
      return { does: "ask", reason: step.reason ?? "" };
    case "failed":
      return { does: "run", reason: `it would fail: ${step.error ?? ""}` };
    case "waiting": {
      const first = undecided(model, step);
      const conditional = (step.node.when ?? []).length > 0;
      return {
        does: conditional || first === undefined ? "unknown" : "run",
        reason: first === undefined ? "another step would fail before it" : `depends on ${first}`,
      };
    }
    default:
      return step.items === undefined ? { does: "reuse", reason: "what it takes from is there" } : toldOfMap(model, step, step.items, ofItems);
  }
}

/** A map does nothing itself: it does what the steps of its items do. */
function toldOfMap(model: Model, map: ModelStep, { list, begun }: MapItems, ofItems: OfItems): Told {
  const steps = (ofItems.get(map) ?? []).map((step) => ({ index: step.index, does: told(model, step, ofItems).does }));
  const running = new Set(steps.filter(({ does }) => does === "run").map(({ index }) => index)).size;
  const does = (["run", "ask", "unknown"] as const).find((one) => steps.some((step) => step.does === one)) ?? "reuse";
  // Of a long list, what comes later has no steps yet.
  const many = begun < list.length || running === 0 || running === list.length ? "" : `, of which ${running} would run`;
  return { does, reason: `for ${list.length} ${list.length === 1 ? "item" : "items"}${many}` };
}

/** The first step that it waits for and that would run. */
function undecided(model: Model, step: ModelStep): string | undefined {
  for (const need of step.place.needs) {
    const found = [...model.steps.values()].find((one) => one.node.id === need && one.parent === step.parent && one.index === step.index);
    if (found === undefined || found.state === "cached" || found.state === "succeeded") continue;
    return found.state === "waiting" ? (undecided(model, found) ?? found.id) : found.id;
  }
  return undefined;
}
