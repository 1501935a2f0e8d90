/** When a step's earlier outputs can be used again. */
import { createHash } from "node:crypto";
import type { Artifact } from "@millrace/sdk/api";
import type { Platform } from "../platform/index.js";
import { asDigest } from "./artifacts.js";
import type { StepContext, StepKind } from "./step.js";
import type { CacheRow, PipelineStore } from "./store.js";

type Identified = Pick<StepContext<StepKind["kind"]>, "node" | "inputs" | "params" | "project" | "projectVersion">;

/** Equal keys are equal work: the kind and its version, the step's definition, the contents of its inputs, and what else the kind depends on. */
export async function cacheKey(kind: StepKind, context: Identified): Promise<string> {
  const inputs = Object.entries(context.inputs).map(([name, value]) => [name, isArtifact(value) ? { artifact: value.digest, type: value.type } : { value }]);
  const identity = (await kind.identity?.(context)) ?? null;
  const work = {
    kind: kind.kind,
    version: kind.version,
    config: context.node.config,
    outputs: context.node.outputs,
    inputs: Object.fromEntries(inputs),
    identity,
  };
  return `sha256:${createHash("sha256").update(canonical(work)).digest("hex")}`;
}

/** The outputs of an earlier run with the key, where all their objects are still there. */
export async function reusable(platform: Platform, store: PipelineStore, key: string): Promise<CacheRow | undefined> {
  const row = await store.cached(key);
  if (row === undefined) return undefined;
  for (const artifact of Object.values(row.outputs)) {
    for (const file of artifact.files) {
      if ((await platform.objects.renew(asDigest(file.digest))) === undefined) return undefined;
    }
  }
  return row;
}

export function isArtifact(value: Artifact | string | number | boolean | null | undefined): value is Artifact {
  return typeof value === "object" && value !== null;
}

/** JSON with the keys of every object in order, so that equal values are equal texts. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
