/** A run in memory: its steps with what follows of what. Whoever changes it holds the run's row. */
import type { Artifact, StepState } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { type Graph, graphOf, type Place } from "./graph.js";
import type { Json } from "./json.js";
import type { KeyParts } from "./key.js";
import type { Asks, Item, RunRow, StepRow } from "./rows.js";

export interface ModelStep {
  id: string;
  place: Place;
  node: NodeSpec;
  parent: ModelStep | undefined;
  index: number | undefined;
  item: Item | undefined;
  state: StepState;
  outputs: Record<string, Artifact>;
  attempt: number;
  reason: string | null;
  error: string | null;
  cacheKey: string | null;
  cachedFrom: string | null;
  parts: KeyParts | null;
  inputs: Record<string, Json> | null;
  /** Of a map. */
  items: MapItems | undefined;
  /** What it waits to be told. */
  asks: Asks | null;
  asksUntil: Date | null;
  /** Of outputs that were made before. */
  metrics: Record<string, number>;
  modelVersion: string | null;
}
export interface MapItems {
  list: Item[];
  /** Of the list, how many have steps. */
  begun: number;
  done: number;
  /** By item that has steps and is not over: how many of those are not. */
  open: Map<number, number>;
  /** The list is in the database. */
  kept: boolean;
}
export interface Model {
  run: RunRow;
  graph: Graph;
  steps: Map<string, ModelStep>;
  /** Steps that are not over. */
  open: number;
  failed: boolean;
}

const overStates: ReadonlySet<StepState> = new Set(["succeeded", "cached", "refused", "failed", "cancelled", "skipped"]);
export const isOver = (state: StepState): boolean => overStates.has(state);
export const isGood = (state: StepState): boolean => state === "succeeded" || state === "cached";

export function emptyModel(run: RunRow): Model {
  return { run, graph: graphOf(run.spec), steps: new Map(), open: 0, failed: false };
}

/** All steps of the run that stand in no map, waiting. */
export function plannedModel(run: RunRow): Model {
  const model = emptyModel(run);
  for (const node of run.spec.nodes) addStep(model, node.id, undefined, undefined, undefined);
  return model;
}

export function loadedModel(run: RunRow, rows: StepRow[]): Model {
  const model = emptyModel(run);
  for (const row of rows) {
    const parent = row.parent === null ? undefined : model.steps.get(row.parent);
    const step = addStep(model, row.node, parent, row.item_index ?? undefined, row.item ?? undefined);
    step.outputs = row.outputs;
    step.attempt = row.attempt;
    step.reason = row.reason;
    step.error = row.error;
    step.cacheKey = row.cache_key;
    step.cachedFrom = row.cached_from;
    step.parts = row.key_parts;
    step.inputs = row.inputs;
    step.metrics = row.metrics ?? {};
    step.modelVersion = row.model_version;
    step.asks = row.asks;
    step.asksUntil = row.asks_until;
    if (row.items != null) step.items = { list: row.items, begun: row.items_begun ?? 0, done: 0, open: new Map(), kept: true };
    setState(model, step, row.state);
  }
  for (const step of model.steps.values()) {
    if (step.items === undefined) continue;
    step.items.done = step.items.begun - step.items.open.size;
  }
  return model;
}

export function addStep(model: Model, node: string, parent: ModelStep | undefined, index: number | undefined, item: Item | undefined): ModelStep {
  const place = model.graph.get(node);
  if (place === undefined) throw new Error(`The run ${model.run.id} has no node "${node}".`);
  const step: ModelStep = {
    id: parent === undefined ? node : `${parent.id}[${index}].${node}`,
    place,
    node: place.node,
    ...{ parent, index, item },
    state: "waiting",
    outputs: {},
    attempt: 0,
    reason: null,
    error: null,
    cacheKey: null,
    cachedFrom: null,
    parts: null,
    inputs: null,
    items: undefined,
    asks: null,
    asksUntil: null,
    metrics: {},
    modelVersion: null,
  };
  model.steps.set(step.id, step);
  model.open += 1;
  if (parent?.items !== undefined && index !== undefined) parent.items.open.set(index, (parent.items.open.get(index) ?? 0) + 1);
  return step;
}

/** Keeps the counts that follow of states. Answers whether the item of a map that the step is of is over by this. */
export function setState(model: Model, step: ModelStep, state: StepState): boolean {
  const before = isOver(step.state);
  step.state = state;
  if (state === "failed") model.failed = true;
  if (before || !isOver(state)) return false;
  model.open -= 1;
  const items = step.parent?.items;
  if (items === undefined || step.index === undefined) return false;
  const left = (items.open.get(step.index) ?? 1) - 1;
  if (left > 0) {
    items.open.set(step.index, left);
    return false;
  }
  items.open.delete(step.index);
  return true;
}

/** The step of a node that a step refers to: beside it, or around the maps that it stands in. */
export function stepOf(model: Model, from: ModelStep, node: string): ModelStep | undefined {
  const depth = model.graph.get(node)?.within.length ?? 0;
  let around: ModelStep | undefined = from;
  while (around !== undefined && around.place.within.length > depth) around = around.parent;
  if (around === undefined) return undefined;
  return model.steps.get(around.parent === undefined ? node : `${around.parent.id}[${around.index}].${node}`);
}

/** The value that the map of this id runs the step for. */
export function itemOf(from: ModelStep, map: string): Item | undefined {
  for (let step: ModelStep | undefined = from; step !== undefined; step = step.parent) {
    if (step.parent?.node.id === map) return step.item;
  }
  return undefined;
}
