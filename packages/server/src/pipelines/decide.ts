/** Which steps need not run, because what they would give is there; and why the others do. */
import { durationMs } from "@millrace/sdk";
import type { Artifact } from "@millrace/sdk/api";
import type { NodeSpec, ParamValue } from "@millrace/sdk/spec";
import type { Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { asDigest } from "./artifacts.js";
import { andBelow } from "./graph.js";
import type { Json } from "./json.js";
import { type Identified, type Key, keyOf, whatChanged } from "./key.js";
import { isGood, type Model, type ModelStep } from "./model.js";
import type { CacheRow, MadeRow, StepRow } from "./rows.js";
import type { Given, StepKind } from "./step.js";
import { givenTo } from "./values.js";

export type Decision =
  | { does: "reuse"; run: string; outputs: Record<string, Artifact>; metrics: Record<string, number>; modelVersion: string | null; reason: string; key?: Key }
  | { does: "run"; reason: string; key?: Key };

export interface Memory {
  cached(keys: string[]): Promise<Map<string, CacheRow>>;
  made(pipeline: string, steps: string[]): Promise<Map<string, MadeRow>>;
  stepsOf(run: string, steps: string[]): Promise<Map<string, StepRow>>;
}
export interface DecisionParts {
  platform: Pick<Platform, "objects" | "clock">;
  projects: Pick<Projects, "version">;
  kinds: Map<string, StepKind>;
  memory: Memory;
}

/** For steps that could begin now, in their order. A step whose key can't be told runs, and says itself what is wrong. */
export async function decide(parts: DecisionParts, model: Model, steps: ModelStep[]): Promise<Decision[]> {
  const { options, id } = model.run;
  const again = options.from === undefined ? new Set<string>() : andBelow(model.graph, options.from);
  const base =
    options.base === undefined
      ? undefined
      : {
          run: options.base,
          steps: await parts.memory.stepsOf(
            options.base,
            steps.map((step) => step.id),
          ),
        };
  const keys = await Promise.all(steps.map((step) => (step.node.cache === false ? undefined : stepKey(parts, model, step).catch(() => undefined))));
  const known = await parts.memory.cached(keys.flatMap((key) => (key === undefined ? [] : [key.key])));
  let before: Promise<Map<string, MadeRow>> | undefined;

  return Promise.all(steps.map(decideOne));

  async function decideOne(step: ModelStep, at: number): Promise<Decision> {
    const key = keys[at];
    const run = (reason: string): Decision => ({ does: "run", reason, ...(key === undefined ? {} : { key }) });
    if (again.has(step.node.id)) return run(step.node.id === options.from ? "it was asked to run again" : `it depends on ${options.from}, which runs again`);
    const taken = base?.steps.get(step.id);
    if (base !== undefined && taken !== undefined && isGood(taken.state) && JSON.stringify(taken.item) === JSON.stringify(step.item ?? null)) {
      if (givesAll(step.node, taken.outputs) && (await areThere(parts, taken.outputs)))
        return {
          ...{ does: "reuse", run: base.run, outputs: taken.outputs, metrics: taken.metrics ?? {}, modelVersion: null },
          reason: `taken over from the run ${base.run}`,
          ...(key === undefined ? {} : { key }),
        };
    }
    if (step.node.cache === false) return run("its cache is off");
    if (key === undefined) return run("it never ran");
    if (key.once !== undefined) return run(key.once);
    if (options.cache === false) return run("the run was asked for without the cache");
    const row = known.get(key.key);
    if (row !== undefined) {
      const longest = typeof step.node.cache === "object" ? step.node.cache.for : undefined;
      if (longest !== undefined && row.created_at.getTime() + durationMs(longest) <= parts.platform.clock.now().getTime())
        return run(`the cached one is older than ${longest}`);
      if (!(await areThere(parts, row.outputs))) return run("the cached output was deleted");
      return {
        ...{ does: "reuse", run: row.run, outputs: row.outputs, metrics: row.metrics, modelVersion: row.model_version, key },
        reason: row.run === id ? `the same was made in this run by ${row.step}` : `nothing has changed since the run ${row.run}`,
      };
    }
    before ??= parts.memory.made(
      model.run.pipeline,
      steps.map((one) => one.id),
    );
    const last = (await before).get(step.id);
    if (last === undefined) return run("it never ran");
    return run(await whatChanged(last.parts, key.parts, () => changedFiles(parts, model, step, last)));
  }
}

export async function stepKey(parts: Pick<DecisionParts, "kinds">, model: Model, step: ModelStep): Promise<Key> {
  const kind = parts.kinds.get(step.node.kind);
  if (kind === undefined) throw new Error(`This server runs no steps of the kind "${step.node.kind}".`);
  const given = givenTo(model, step);
  return keyOf(kind, identified(model, step.node, given), given);
}

export function identified(model: Model, node: NodeSpec, given: Record<string, Given>): Identified {
  const params: Record<string, ParamValue> = {};
  for (const ref of Object.values(node.inputs)) {
    const value = "param" in ref ? model.run.params[ref.param] : undefined;
    if ("param" in ref && value !== undefined) params[ref.param] = value;
  }
  return { node, inputs: simple(given), params, project: model.run.project, projectVersion: model.run.project_version };
}

/** What most kinds take: one artifact, or a plain value. */
export function simple(given: Record<string, Given>): Identified["inputs"] {
  const inputs: Identified["inputs"] = {};
  for (const [name, value] of Object.entries(given)) {
    if (value.kind === "artifact") inputs[name] = value.artifact;
    else if (value.kind === "value" && !isDeep(value.value)) inputs[name] = value.value;
  }
  return inputs;
}
const isDeep = (value: Json): value is Json[] | { [key: string]: Json } => typeof value === "object" && value !== null;

async function changedFiles(parts: DecisionParts, model: Model, step: ModelStep, last: MadeRow): Promise<string[]> {
  const kind = parts.kinds.get(step.node.kind);
  if (kind?.code === undefined || last.project !== model.run.project) return [];
  const of = (projectVersion: number) => kind.code?.({ ...identified(model, step.node, {}), projectVersion });
  const [was, is] = await Promise.all([of(last.project_version), of(model.run.project_version)]).catch(() => [undefined, undefined]);
  if (was === undefined || is === undefined) return [];
  const old = new Map(was.files.map((file) => [file.path, file.digest]));
  const now = new Map(is.files.map((file) => [file.path, file.digest]));
  return [...new Set([...old.keys(), ...now.keys()])].filter((path) => old.get(path) !== now.get(path)).sort();
}

const givesAll = (node: NodeSpec, outputs: Record<string, Artifact>): boolean =>
  node.kind === "read_model" || node.outputs.every((output) => outputs[output.name]?.type === output.type);

/** And as new as now, so that nothing of them is freed before it is referred to. */
async function areThere({ platform }: DecisionParts, outputs: Record<string, Artifact>): Promise<boolean> {
  for (const artifact of Object.values(outputs)) {
    for (const file of artifact.files) if ((await platform.objects.renew(asDigest(file.digest))) === undefined) return false;
  }
  return true;
}
