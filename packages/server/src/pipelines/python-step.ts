/** The step that runs a script of the project: its inputs as files, its outputs taken from where it wrote them. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { durationMs } from "@millrace/sdk";
import type { Artifact } from "@millrace/sdk/api";
import type { Compute, ScriptInput, ScriptOutput } from "../compute/index.js";
import type { Platform } from "../platform/index.js";
import type { ProjectSource, Projects } from "../projects/index.js";
import { outputPath, placeArtifact, placeFile, takeOutputs } from "./artifacts.js";
import { isArtifact } from "./cache.js";
import type { StepContext, StepKind } from "./step.js";
import type { RunTracker } from "./tracker.js";

const hour = 3_600_000;
const defaultTimeoutMs = 6 * hour;
/** What no script's outcome depends on: the definitions, which have their part in the key already, and what people read. */
const notCode = /\.(ts|tsx|mts|cts|md)$|(^|\/)(package(-lock)?|tsconfig)\.json$|(^|\/)\.[^/]*$/;

export function pythonStep(
  platform: Platform,
  { projects, compute, tracking }: { projects: Projects; compute: Compute; tracking: RunTracker },
): StepKind<"python"> {
  return {
    kind: "python",
    version: "1",
    async identity({ node, project, projectVersion }) {
      const { files } = await projects.version(project, projectVersion);
      const code = files.filter((f) => !notCode.test(f.path)).map((f) => [f.path, f.digest]);
      return { code, requirements: requirementsOf(node.config, files)?.digest ?? null, python: (await compute.python()).version };
    },
    async run(context) {
      const { node, project, projectVersion, trackingRunId, workDir, log, signal } = context;
      const { files } = await projects.version(project, projectVersion);
      if (!files.some((f) => f.path === node.config.script)) {
        throw new Error(`The project has no file "${node.config.script}": the script's path is relative to the project's folder. Apply the project with it.`);
      }
      const requirements = requirementsOf(node.config, files);
      const interpreter =
        requirements === undefined
          ? await compute.python()
          : await compute.environment(
              { file: await platform.objects.localPath(requirements.digest), digest: requirements.digest },
              { signal, onLine: (text) => log(text) },
            );

      const folder = path.join(workDir, "project");
      for (const file of files) await placeFile(platform, file.digest, path.join(folder, file.path));
      const { inputs, params } = await placeInputs(platform, context.inputs, path.join(workDir, "inputs"));
      const outputFolder = path.join(workDir, "outputs");
      const outputs: Record<string, ScriptOutput> = {};
      for (const { name, type } of node.outputs) outputs[name] = { type, path: outputPath(outputFolder, name, type) };

      await compute.runPython({
        interpreter,
        script: node.config.script,
        folder,
        notes: workDir,
        inputs,
        outputs,
        params,
        environment: trackingRunId === null ? {} : tracking.environment(trackingRunId),
        timeoutMs: node.config.timeout === undefined ? defaultTimeoutMs : durationMs(node.config.timeout),
        signal,
        onLine: (stream, text) => log(text, stream),
      });
      return { outputs: await takeOutputs(platform, node.outputs, outputFolder) };
    },
  };
}

type ProjectFile = ProjectSource["files"][number];
function requirementsOf(config: { requirements?: string }, files: ProjectFile[]): (Pick<ProjectFile, "path"> & { digest: `sha256:${string}` }) | undefined {
  if (config.requirements === undefined) return undefined;
  const found = files.find((f) => f.path === config.requirements);
  if (found === undefined)
    throw new Error(`The project has no file "${config.requirements}", which the step names as its requirements. Apply the project with it.`);
  return { path: found.path, digest: found.digest as `sha256:${string}` };
}

async function placeInputs(
  platform: Platform,
  given: StepContext<"python">["inputs"],
  folder: string,
): Promise<{ inputs: Record<string, ScriptInput>; params: Record<string, string | number | boolean | null> }> {
  const inputs: Record<string, ScriptInput> = {};
  const params: Record<string, string | number | boolean | null> = {};
  for (const [name, value] of Object.entries(given)) {
    if (isArtifact(value)) {
      const paths = await placeArtifact(platform, value, path.join(folder, name));
      inputs[name] = { type: value.type, paths, ...(await jsonOf(value, paths)) };
    } else {
      inputs[name] = { type: "value", paths: [], value };
      params[name] = value;
    }
  }
  return { inputs, params };
}

/** A JSON artifact's value; a model version's is what it names. */
async function jsonOf(artifact: Artifact, paths: string[]): Promise<{ value?: unknown }> {
  if (artifact.type === "model_version") return { value: artifact.meta };
  const file = paths[0];
  if ((artifact.type !== "json" && artifact.type !== "report") || file === undefined) return {};
  return { value: JSON.parse(await readFile(file, "utf8")) as unknown };
}
