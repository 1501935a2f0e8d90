/** What a run would do, without doing it. */
import type { Explanation } from "@millrace/sdk/api";
import type { Platform } from "../platform/index.js";
import { type DecisionParts, decide } from "./decide.js";
import { type Model, type ModelStep, plannedModel } from "./model.js";
import type { RunRow } from "./rows.js";
import { settle } from "./settle.js";

const mostShown = 2_000;

export async function explain(platform: Pick<Platform, "objects" | "clock">, parts: DecisionParts, run: RunRow): Promise<Explanation> {
  const model = plannedModel(run);
  await settle({ platform, model, changed: new Set(), decide: (steps) => decide(parts, model, steps), newestEvent: async () => "0" });
  const steps = [...model.steps.values()].slice(0, mostShown).map((step) => {
    const { does, reason } = told(model, step);
    return { id: step.id, kind: step.node.kind, does, reason };
  });
  return { steps };
}

function told(model: Model, step: ModelStep): { does: Explanation["steps"][number]["does"]; reason: string } {
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
      return step.items === undefined
        ? { does: "reuse", reason: "what it takes from is there" }
        : { does: "run", reason: `for ${step.items.list.length} items` };
  }
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
