/** Steps that are processes of users' code: scripts, commands and TypeScript. What they are given goes to a backend, and what they left is described. */
import { durationMs } from "@millrace/sdk";
import type { Artifact } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { type Compute, type Job, type JobEnd, type JobInput, OutputError, pythonCommand } from "../compute/index.js";
import type { Platform } from "../platform/index.js";
import type { ProjectSource, Projects } from "../projects/index.js";
import { artifactsOf, asDigest } from "./artifacts.js";
import { memoryBytes } from "./queue.js";
import { type FailureCause, type Given, type ProcessFacts, type StepContext, StepFailure, type StepKind, type StepResult } from "./step.js";
import type { RunTracker } from "./tracker.js";
import { jsonOf } from "./values.js";

type ProcessKind = "python" | "command" | "typescript";
type ProcessNode = Extract<NodeSpec, { kind: ProcessKind }>;
type ProjectFile = ProjectSource["files"][number];

const hour = 3_600_000;
const defaultTimeoutMs = 6 * hour;
/** What no process's outcome depends on, where it does not say what does: the definitions, which have their part in the key already, and what people read. */
const notCode = /\.(ts|tsx|mts|cts|md)$|(^|\/)(package(-lock)?|tsconfig)\.json$|(^|\/)\.[^/]*(\/|$)/;

export function processSteps(platform: Platform, { projects, compute, tracking }: { projects: Projects; compute: Compute; tracking: RunTracker }): StepKind[] {
  const kindOf = <K extends ProcessKind>(kind: K, version: string): StepKind<K> => ({
    kind,
    version,
    async code({ node, project, projectVersion }) {
      const { files } = await projects.version(project, projectVersion);
      const python = node.kind === "typescript" ? undefined : await pythonOf(node, files, compute);
      return { files: codeOf(node, files).map(({ path, digest }) => ({ path, digest })), environment: python ?? {} };
    },
    run: (context) => runProcess(platform, { projects, compute, tracking }, context),
  });
  return [kindOf("python", "2"), kindOf("command", "1"), kindOf("typescript", "1")];
}

/** A command that names no requirements may do without Python. */
async function pythonOf(node: ProcessNode, files: ProjectFile[], compute: Compute): Promise<{ requirements: string | null; python: string } | undefined> {
  const requirements = requirementsOf(node, files);
  if (node.kind !== "python" && requirements === undefined) return undefined;
  return { requirements: requirements?.digest ?? null, python: (await compute.python()).version };
}

/** The files that it finds in its folder. */
export function codeOf(node: ProcessNode, files: ProjectFile[]): ProjectFile[] {
  const named = new Set(node.code ?? []);
  if (node.kind === "typescript") named.add(node.config.bundle);
  if (node.code === undefined && node.kind !== "typescript") return files.filter((file) => !notCode.test(file.path));
  for (const path of named) {
    if (!files.some((file) => file.path === path)) throw new Error(`The project has no file "${path}", which the step needs. Apply the project with it.`);
  }
  return files.filter((file) => named.has(file.path));
}
export function requirementsOf(node: ProcessNode, files: ProjectFile[]): { path: string; digest: `sha256:${string}` } | undefined {
  const wanted = node.kind === "typescript" ? undefined : node.config.requirements;
  if (wanted === undefined) return undefined;
  const found = files.find((file) => file.path === wanted);
  if (found === undefined) throw new Error(`The project has no file "${wanted}", which the step names as its requirements. Apply the project with it.`);
  return { path: found.path, digest: asDigest(found.digest) };
}

async function runProcess(
  platform: Platform,
  { projects, compute, tracking }: { projects: Projects; compute: Compute; tracking: RunTracker },
  context: StepContext<ProcessKind>,
): Promise<StepResult> {
  const { node, project, projectVersion, trackingRunId, runId, process: given } = context;
  if (given === undefined) throw new Error("A process is given more than this.");
  const { files } = await projects.version(project, projectVersion);
  if (node.kind === "python") checkScript(node.config.script, files);
  const requirements = requirementsOf(node, files);
  const code = codeOf(node, files);
  const metrics: Record<string, number> = {};
  const job: Job = {
    id: `${runId}/${given.stepId}/${given.attempt}`,
    command: commandOf(node),
    ...(node.kind === "python" || requirements !== undefined ? { python: requirements === undefined ? {} : { requirements } } : {}),
    code: code.map(({ path, digest }) => ({ path, digest: asDigest(digest) })),
    inputs: await inputsOf(platform, given.given),
    outputs: Object.fromEntries(node.outputs.map(({ name, type }) => [name, { type }])),
    params: Object.fromEntries(Object.entries(given.given).flatMap(([name, value]) => (value.kind === "value" ? [[name, value.value]] : []))),
    environment: { ...(trackingRunId === null ? {} : tracking.environment(trackingRunId)), MILLRACE_RUN: runId, MILLRACE_STEP: given.stepId, ...given.secrets },
    secretValues: Object.values(given.secrets),
    resources: resourcesOf(node),
    timeoutMs: node.timeout === undefined ? defaultTimeoutMs : durationMs(node.timeout),
  };
  const backend = compute.backend(node.kind === "typescript" && (node.backend ?? "local") === "local" ? "typescript" : node.backend);
  const problems = await backend.check(job);
  if (problems.length > 0) throw new Error(problems.join(" "));
  const end = await backend.run(job, {
    signal: context.signal,
    onLine: (stream, text) => context.log(text, stream),
    onProgress: given.progress,
    onMetrics: (told) => void Object.assign(metrics, told),
    onUsage: given.usage,
  });
  const facts: ProcessFacts = { host: end.host, exitCode: end.code, signal: end.signal, ...end.usage };
  context.signal.throwIfAborted();
  if (end.outcome !== "succeeded") throw failure(end, facts);
  try {
    const outputs = await artifactsOf(platform, node.outputs, end.outputs);
    for (const { name, type } of node.outputs) if (type === "metrics") Object.assign(metrics, metricsOf(outputs[name]));
    return { outputs, metrics, process: facts };
  } catch (error) {
    if (error instanceof OutputError) throw new StepFailure(error.message, "error", facts);
    throw error;
  }
}

function commandOf(node: ProcessNode): string[] {
  switch (node.kind) {
    case "python":
      return pythonCommand(node.config.script);
    case "command":
      return node.config.command;
    case "typescript":
      return [node.config.bundle, node.config.step];
  }
}
function checkScript(script: string, files: ProjectFile[]): void {
  // `module:function` is found by Python among the project's files or in the environment.
  if (/^[\w.]+:\w+$/.test(script) || files.some((file) => file.path === script)) return;
  throw new Error(`The project has no file "${script}": the script's path is relative to the project's folder. Apply the project with it.`);
}
function resourcesOf(node: ProcessNode): Job["resources"] {
  const memory = memoryBytes(node.resources?.memory);
  const { cpus, gpus } = node.resources ?? {};
  return { ...(cpus === undefined ? {} : { cpus }), ...(gpus === undefined ? {} : { gpus }), ...(memory === undefined ? {} : { memoryBytes: memory }) };
}

async function inputsOf(platform: Platform, given: Record<string, Given>): Promise<Record<string, JobInput>> {
  const inputs: Record<string, JobInput> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value.kind === "value") inputs[name] = { kind: "value", value: value.value };
    else if (value.kind === "artifact") inputs[name] = await inputOf(platform, value.artifact);
    else inputs[name] = { kind: "list", items: await Promise.all(value.items.map((item) => inputOf(platform, item))) };
  }
  return inputs;
}
async function inputOf(platform: Platform, artifact: Artifact): Promise<JobInput> {
  const files = artifact.files.map(({ path, digest, size }) => ({ path, digest: asDigest(digest), size }));
  const holdsValue = artifact.type === "json" || artifact.type === "metrics" || artifact.type === "report" || artifact.type === "model_version";
  return { kind: "artifact", type: artifact.type, files, ...(holdsValue ? { value: await jsonOf(platform, artifact) } : {}) };
}

const metricsOf = (artifact: Artifact | undefined): Record<string, number> =>
  Object.fromEntries(Object.entries(artifact?.meta.metrics ?? {}).flatMap(([name, value]) => (typeof value === "number" ? [[name, value]] : [])));

const causes: Partial<Record<JobEnd["outcome"], FailureCause>> = { timed_out: "timeout", out_of_memory: "out_of_memory", lost: "lost" };
function failure(end: JobEnd, facts: ProcessFacts): StepFailure {
  const lines = end.outcome === "failed" || end.outcome === "out_of_memory" ? end.lastLines : [];
  return new StepFailure([end.message ?? "The process failed.", ...lines].join("\n"), causes[end.outcome] ?? "error", facts);
}
