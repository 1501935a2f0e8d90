/** What a step's outcome depends on: its cache key, and in words what has changed since it was made last. */
import { createHash } from "node:crypto";
import type { Json } from "./json.js";
import type { Given, StepContext, StepKind } from "./step.js";

/** The parts of a key, small enough to be kept with each step. */
export interface KeyParts {
  kind: string;
  version: string;
  /** Digests, where not said otherwise. */
  config: string;
  outputs: string;
  code: string | null;
  /** As it is: requirements, Python's version. */
  environment: { [key: string]: Json } | null;
  /** By input: the digest of an artifact, or of a list; a value as it is, where it is short. */
  inputs: Record<string, { digest: string } | { value: Json }>;
  identity: string | null;
}
export interface Key {
  key: string;
  parts: KeyParts;
  /** Why it is done each time, whatever was done before. */
  once: string | undefined;
}

const longestValue = 200;

/** Equal keys are equal work: the kind and its version, the step's definition, the contents of its inputs, its code, and what else the kind depends on. */
export async function keyOf(kind: StepKind, context: Parameters<NonNullable<StepKind["identity"]>>[0], given: Record<string, Given>): Promise<Key> {
  const [identity, code] = await Promise.all([kind.identity?.(context), kind.code?.(context)]);
  const parts: KeyParts = {
    kind: kind.kind,
    version: kind.version,
    config: digest(context.node.config),
    outputs: digest(context.node.outputs),
    code: code === undefined ? null : codeDigest(code.files),
    environment: code?.environment ?? null,
    inputs: Object.fromEntries(Object.entries(given).map(([name, value]) => [name, partOf(value)])),
    identity: identity === undefined || identity === null ? null : digest(identity),
  };
  return { key: digest(parts), parts, once: onceBy(identity) };
}
function onceBy(identity: unknown): string | undefined {
  if (typeof identity !== "object" || identity === null || !("once" in identity)) return undefined;
  return "reason" in identity && typeof identity.reason === "string" ? identity.reason : "it acts each time";
}

function partOf(given: Given): { digest: string } | { value: Json } {
  if (given.kind === "artifact") return { digest: given.artifact.digest };
  if (given.kind === "list") return { digest: digest(given.items.map((item) => item.digest)) };
  return JSON.stringify(given.value).length <= longestValue ? { value: given.value } : { digest: digest(given.value) };
}

export const codeDigest = (files: { path: string; digest: string }[]): string =>
  digest(files.map(({ path, digest: of }) => [path, of]).sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)));
export const environmentDigest = (parts: KeyParts | null): string | null => (parts?.environment == null ? null : digest(parts.environment));

/** What `now` has that is not as it was, in words. `filesChanged` names files of the code that differ. */
export async function whatChanged(before: KeyParts, now: KeyParts, filesChanged: () => Promise<string[]>): Promise<string> {
  const changes: string[] = [];
  if (before.kind !== now.kind) changes.push(`it was a step of the kind ${before.kind} and is one of ${now.kind}`);
  else if (before.version !== now.version) changes.push("this release of Millrace does it otherwise");
  if (before.code !== now.code) {
    const files = await filesChanged();
    changes.push(files.length === 0 ? "its code changed" : `${list(files)} changed`);
  }
  if (before.config !== now.config || before.outputs !== now.outputs) changes.push("its definition changed");
  for (const name of new Set([...Object.keys(before.environment ?? {}), ...Object.keys(now.environment ?? {})])) {
    const [was, is] = [before.environment?.[name] ?? null, now.environment?.[name] ?? null];
    if (JSON.stringify(was) === JSON.stringify(is)) continue;
    changes.push(name === "requirements" ? "its requirements changed" : `${name} was ${JSON.stringify(was)} and is ${JSON.stringify(is)}`);
  }
  for (const [name, is] of Object.entries(now.inputs)) {
    const was = before.inputs[name];
    if (was === undefined) changes.push(`the input ${name} is new`);
    else if (JSON.stringify(was) === JSON.stringify(is)) continue;
    else if ("value" in was && "value" in is) changes.push(`${name} was ${JSON.stringify(was.value)} and is ${JSON.stringify(is.value)}`);
    else changes.push(`the input ${name} has other contents`);
  }
  for (const name of Object.keys(before.inputs)) if (now.inputs[name] === undefined) changes.push(`the input ${name} is gone`);
  if (before.identity !== now.identity) changes.push("what it reads is another version");
  return changes.length === 0 ? "its outputs of then are not kept" : changes.join("; ");
}
const mostNamed = 3;
function list(names: string[]): string {
  return names.length <= mostNamed ? names.join(", ") : `${names.slice(0, mostNamed).join(", ")} and ${names.length - mostNamed} more files`;
}

const digest = (value: unknown): string => `sha256:${createHash("sha256").update(canonical(value)).digest("hex")}`;
/** JSON with the keys of every object in order, so that equal values are equal texts. */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_key, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

export type Identified = Pick<StepContext<StepKind["kind"]>, "node" | "inputs" | "params" | "project" | "projectVersion">;
