/** What follows of what: from steps that are over to those that begin, are skipped, reused or asked for, until nothing more follows. */
import { durationMs } from "@millrace/sdk";
import type { Artifact, StepState } from "@millrace/sdk/api";
import type { Platform } from "../platform/index.js";
import type { Decision } from "./decide.js";
import type { Json } from "./json.js";
import { addStep, isGood, isOver, type Model, type ModelStep, setState, stepOf } from "./model.js";
import { chosen, itemsOf, unmet } from "./values.js";

/** Of a map, so many items have steps at a time where it does not say how many: rows are made as they are needed. */
const itemsAtOnce = 500;
const mostSteps = 100_000;

export interface Settling {
  platform: Pick<Platform, "objects" | "clock">;
  model: Model;
  /** Steps whose rows are to be written. */
  changed: Set<ModelStep>;
  decide(steps: ModelStep[]): Promise<Decision[]>;
  /** The newest event's id: what waits for an event waits for a later one. */
  newestEvent(): Promise<string>;
}

/** A step that is over, and whether with it the item of a map is that it is of. */
export interface Over {
  step: ModelStep;
  itemOver: boolean;
}
/** `over` are steps that are over since the last time; without them, every step is looked at. */
export async function settle(settling: Settling, over?: Over[]): Promise<void> {
  const { model } = settling;
  const waiting: ModelStep[] = [];
  if (over === undefined) waiting.push(...model.steps.values());
  else for (const { step, itemOver } of over) follow(settling, step, waiting, itemOver);
  for (;;) {
    const able: ModelStep[] = [];
    while (waiting.length > 0 && !model.failed) {
      const step = waiting.shift();
      if (step?.state !== "waiting") continue;
      try {
        if (await mayBegin(settling, step, waiting)) able.push(step);
      } catch (error) {
        end(settling, step, "failed", waiting, { error: error instanceof Error ? error.message : String(error) });
      }
    }
    if (model.failed) return skipAll(settling);
    if (able.length === 0) return;
    const decisions = await settling.decide(able);
    for (const [at, step] of able.entries()) apply(settling, step, decisions[at], waiting);
    if (waiting.length === 0) return;
  }
}

/** Marks a step as over, and finds what may follow. */
function end(settling: Settling, step: ModelStep, state: StepState, waiting: ModelStep[], facts: Partial<ModelStep> = {}): void {
  Object.assign(step, facts);
  const itemOver = setState(settling.model, step, state);
  settling.changed.add(step);
  follow(settling, step, waiting, itemOver);
}

function follow(settling: Settling, step: ModelStep, waiting: ModelStep[], itemOver: boolean): void {
  const { model } = settling;
  // Those beside it that take from it.
  for (const place of placesAfter(model, step.node.id)) {
    const next = stepOf(model, step, place);
    if (next?.state === "waiting") waiting.push(next);
  }
  const map = step.parent;
  if (!itemOver || map?.items === undefined) return;
  map.items.done += 1;
  settling.changed.add(map);
  fill(settling, map, waiting);
}

const followers = new WeakMap<Model["graph"], Map<string, string[]>>();
function placesAfter(model: Model, node: string): string[] {
  let known = followers.get(model.graph);
  if (known === undefined) {
    known = new Map();
    for (const { node: next, needs } of model.graph.values()) {
      for (const need of needs) {
        const list = known.get(need);
        if (list === undefined) known.set(need, [next.id]);
        else list.push(next.id);
      }
    }
    followers.set(model.graph, known);
  }
  return known.get(node) ?? [];
}

/** Whether the step is one to run or to reuse; else it waits on, or is over already. */
async function mayBegin(settling: Settling, step: ModelStep, waiting: ModelStep[]): Promise<boolean> {
  const { model, platform } = settling;
  const needs = step.place.needs.map((id) => stepOf(model, step, id));
  if (needs.some((need) => need === undefined || !isOver(need.state))) return false;
  if (step.node.kind === "choose") {
    const value = chosen(model, step);
    if (value === undefined) end(settling, step, "skipped", waiting, { reason: "none of what it chooses from is there" });
    else end(settling, step, "succeeded", waiting, { outputs: value.kind === "artifact" ? named(step, value.artifact) : {} });
    return false;
  }
  const missing = needs.find((need) => need !== undefined && !isGood(need.state));
  if (missing !== undefined) {
    end(settling, step, "skipped", waiting, {
      reason: `${missing.id} ${missing.state === "skipped" ? "was skipped" : missing.state === "refused" ? "refused" : missing.state}`,
    });
    return false;
  }
  const condition = await unmet(platform, model, step);
  if (condition !== undefined) {
    end(settling, step, "skipped", waiting, { reason: condition });
    return false;
  }
  switch (step.node.kind) {
    case "map": {
      const list = await itemsOf(platform, model, step);
      const { atOnce } = step.node.config;
      if (model.steps.size + Math.min(list.length, atOnce ?? list.length) * step.node.config.body.length > mostSteps)
        throw new Error(`The run would have more than ${mostSteps.toLocaleString("en")} steps, which is the most there can be.`);
      step.items = { list, begun: 0, done: 0, open: new Map(), kept: false };
      setState(model, step, "running");
      settling.changed.add(step);
      fill(settling, step, waiting);
      return false;
    }
    case "approval":
    case "wait_event":
      return ask(settling, step);
    default:
      return true;
  }
}
const named = (step: ModelStep, artifact: Artifact): Record<string, Artifact> => ({ [step.node.outputs[0]?.name ?? "value"]: artifact });

/** Gives steps to as many items of a map as may run; ends the map where all are over. */
function fill(settling: Settling, map: ModelStep, waiting: ModelStep[]): void {
  const { model } = settling;
  const { items, node } = map;
  if (items === undefined || node.kind !== "map" || isOver(map.state)) return;
  const most = node.config.atOnce ?? itemsAtOnce;
  while (!model.failed && items.begun < items.list.length && items.open.size < most) {
    const index = items.begun;
    items.begun += 1;
    settling.changed.add(map);
    for (const inner of node.config.body) {
      const step = addStep(model, inner.id, map, index, items.list[index]);
      settling.changed.add(step);
      waiting.push(step);
    }
  }
  if (items.open.size > 0 || (items.begun < items.list.length && !model.failed)) return;
  const ofMap = Array.from({ length: items.begun }, (_, index) => node.config.body.map((inner) => model.steps.get(`${map.id}[${index}].${inner.id}`)));
  const wrong = ofMap.flat().find((step) => step?.state === "failed");
  const refused = ofMap.flat().find((step) => step?.state === "refused");
  if (wrong !== undefined) end(settling, map, "failed", waiting, { error: `${wrong.id} failed.` });
  else if (items.begun < items.list.length) end(settling, map, "skipped", waiting);
  else if (refused !== undefined) end(settling, map, "refused", waiting, { error: refused.error });
  else end(settling, map, "succeeded", waiting);
}

async function ask(settling: Settling, step: ModelStep): Promise<boolean> {
  const { model, platform } = settling;
  const { node } = step;
  if (node.kind === "approval") {
    const role = node.config.role ?? "editor";
    step.asks = { kind: "approval", question: node.config.question, role };
    step.reason = `waits for an answer${role === "admin" ? " of an admin" : ""}: ${node.config.question}`;
  } else if (node.kind === "wait_event") {
    const { type, subject } = node.config;
    step.asks = { kind: "event", type, ...(subject === undefined ? {} : { subject }), after: await settling.newestEvent() };
    step.reason = `waits for the event ${type}${subject === undefined ? "" : ` of ${subject}`}`;
  }
  step.asksUntil = node.timeout === undefined ? null : new Date(platform.clock.now().getTime() + durationMs(node.timeout));
  setState(model, step, "asking");
  settling.changed.add(step);
  return false;
}

function apply(settling: Settling, step: ModelStep, decision: Decision | undefined, waiting: ModelStep[]): void {
  if (decision === undefined) return;
  step.reason = decision.reason;
  if (decision.key !== undefined) {
    step.cacheKey = decision.key.key;
    step.parts = decision.key.parts;
    step.inputs = inputsOf(decision.key.parts.inputs);
  }
  if (decision.does === "run") {
    setState(settling.model, step, "ready");
    settling.changed.add(step);
    return;
  }
  const { outputs, run, metrics, modelVersion } = decision;
  end(settling, step, "cached", waiting, { outputs, cachedFrom: run, metrics, modelVersion });
}
const inputsOf = (inputs: Record<string, { digest: string } | { value: Json }>): Record<string, Json> =>
  Object.fromEntries(Object.entries(inputs).map(([name, part]) => [name, "digest" in part ? part.digest : part.value]));

/** A run that failed begins nothing more; what runs goes on to its end. */
function skipAll(settling: Settling): void {
  const { model } = settling;
  const rest: ModelStep[] = [];
  for (const step of model.steps.values()) {
    // What is ready may be running by now: whoever writes this looks.
    if (step.state === "waiting" || step.state === "asking") end(settling, step, "skipped", rest);
  }
  // Inner maps before outer ones.
  for (const step of [...model.steps.values()].reverse()) if (step.items !== undefined && !isOver(step.state)) fill(settling, step, rest);
}
