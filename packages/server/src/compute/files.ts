/** A job's folder on this machine: what the process finds there, and what it leaves. */
import { constants } from "node:fs";
import { chmod, copyFile, lstat, mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { ObjectStore } from "../platform/index.js";
import type { Job, JobFile, JobInput, JsonValue } from "./backend.js";
import { chosen, limits, OutputError, outputPath } from "./layout.js";

/** How many files are copied at a time. */
const atOnce = 8;

/** How the process knows its inputs, outputs and params: the file that `MILLRACE_STEP_FILE` names holds this as JSON. */
export interface StepNote {
  run: string;
  step: string;
  inputs: Record<string, NotedInput>;
  outputs: Record<string, { type: string; path: string }>;
  params: Record<string, JsonValue>;
}
export type NotedInput = { type: string; paths: string[]; folder?: string; value?: JsonValue } | { items: NotedInput[]; folder: string };

export interface PlacedJob {
  /** Holds the project's files: the working folder. */
  project: string;
  noteFile: string;
  note: StepNote;
  outputs: string;
}

/** Puts the job's code and inputs below `folder`. All are copies, so that a process that writes into them harms nobody else's. */
export async function placeJob(objects: Pick<ObjectStore, "localPath">, job: Job, folder: string): Promise<PlacedJob> {
  const project = path.join(folder, "project");
  const outputs = path.join(folder, "outputs");
  const copies: { digest: JobFile["digest"]; to: string }[] = job.code.map((file) => ({ digest: file.digest, to: within(project, file.path) }));
  const inputs: StepNote["inputs"] = {};
  for (const [name, input] of Object.entries(job.inputs)) inputs[name] = notedInput(input, within(path.join(folder, "inputs"), name), copies);
  const note: StepNote = {
    run: job.id.split("/")[0] ?? job.id,
    step: job.id.split("/").slice(1, -1).join("/"),
    inputs,
    outputs: Object.fromEntries(Object.entries(job.outputs).map(([name, { type }]) => [name, { type, path: outputPath(outputs, name, type) }])),
    params: job.params,
  };
  for (const one of [project, outputs]) await mkdir(one, { recursive: true });
  await copyAll(objects, copies);
  // The store keeps contents alone: a program of the project's may be run.
  const [program = ""] = job.command;
  if (job.code.some((file) => file.path === path.posix.normalize(program))) await chmod(within(project, program), 0o755);
  const noteFile = path.join(folder, "step.json");
  await writeFile(noteFile, JSON.stringify(note));
  return { project, noteFile, note, outputs };
}

/** Copies of files, by their paths below `folder`. */
export async function placeFiles(objects: Pick<ObjectStore, "localPath">, files: readonly Omit<JobFile, "size">[], folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await copyAll(
    objects,
    files.map((file) => ({ digest: file.digest, to: within(folder, file.path) })),
  );
}

async function copyAll(objects: Pick<ObjectStore, "localPath">, copies: { digest: JobFile["digest"]; to: string }[]): Promise<void> {
  for (const one of new Set(copies.map((copy) => path.dirname(copy.to)))) await mkdir(one, { recursive: true });
  const left = [...copies];
  await Promise.all(
    Array.from({ length: Math.min(atOnce, copies.length) }, async () => {
      // A copy shares its blocks with the original where the file system can do that.
      for (let copy = left.pop(); copy !== undefined; copy = left.pop())
        await copyFile(await objects.localPath(copy.digest), copy.to, constants.COPYFILE_FICLONE);
    }),
  );
}

function notedInput(input: JobInput, folder: string, copies: { digest: JobFile["digest"]; to: string }[]): NotedInput {
  switch (input.kind) {
    case "value":
      return { type: "value", paths: [], value: input.value };
    case "list":
      return { items: input.items.map((item, index) => notedInput(item, path.join(folder, String(index)), copies)), folder };
    case "artifact": {
      const placed = input.files.map((file) => ({ digest: file.digest, to: within(folder, file.path) }));
      copies.push(...placed);
      return { type: input.type, paths: placed.map((file) => file.to), folder, ...(input.value === undefined ? {} : { value: input.value }) };
    }
  }
}

/** The place of a path that may come from anywhere. */
function within(folder: string, relative: string): string {
  const place = path.join(folder, relative);
  if (relative === "" || path.isAbsolute(relative) || !place.startsWith(folder + path.sep)) throw new Error(`"${relative}" is no path within its folder.`);
  return place;
}

/** Takes each declared output into the object store from where the process wrote it. Throws an OutputError that says what is missing. */
export async function takeOutputs(objects: ObjectStore, job: Pick<Job, "outputs">, folder: string): Promise<Record<string, JobFile[]>> {
  const found: [string, (JobFile & { from: string })[] | OutputFile[]][] = [];
  // All are looked at before the first is taken.
  for (const [name, { type }] of Object.entries(job.outputs)) found.push([name, chosen(name, type, await filesAt(outputPath(folder, name, type), name))]);
  const taken: Record<string, JobFile[]> = {};
  for (const [name, files] of found) {
    taken[name] = await Promise.all(files.map(async (file) => ({ path: file.path, ...(await objects.putFile(file.from)) })));
  }
  return taken;
}

interface OutputFile {
  path: string;
  from: string;
  size: number;
}
/** The one file at a place, or all under the folder that is there, in the order of their names. */
async function filesAt(place: string, name: string): Promise<OutputFile[]> {
  const found = await lstat(place).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (found?.isFile()) return [{ path: path.basename(place), from: place, size: found.size }];
  if (found !== undefined && !found.isDirectory())
    throw new OutputError(`The output "${name}" is no plain file and no folder: links and devices can't be kept.`);
  if (found === undefined) return [];
  const files: OutputFile[] = [];
  for (const entry of await readdir(place, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const from = path.join(entry.parentPath, entry.name);
    const relative = path.relative(place, from).split(path.sep).join("/");
    if (!entry.isFile()) throw new OutputError(`The output "${name}" holds ${relative}, which is no plain file: links and devices can't be kept.`);
    files.push({ path: relative, from, size: (await lstat(from)).size });
    if (files.length > limits.outputFiles)
      throw new OutputError(`The output "${name}" has more than ${limits.outputFiles} files, which is the most that can be kept.`);
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The command with its placeholders replaced. Throws an error that names one which stands for nothing. */
export function resolveCommand(command: string[], note: StepNote, programs: { python?: string; step: string }): string[] {
  return command.map((argument) =>
    argument.replace(/\{(python|step|(?:inputs|outputs|params)\.[A-Za-z0-9_-]+)\}/g, (_whole, name: string) => {
      if (name === "python") return known(programs.python, "{python} stands for the step's interpreter, and it has none.");
      if (name === "step") return programs.step;
      const [kind = "", key = ""] = name.split(/\.(.*)/);
      if (kind === "outputs") return known(note.outputs[key]?.path, `The command names {${name}}, and the step has no output "${key}".`);
      if (kind === "params") return textOf(known(note.params[key], `The command names {${name}}, and the step has no param "${key}".`));
      const input = known(note.inputs[key], `The command names {${name}}, and the step has no input "${key}".`);
      if ("items" in input) return input.folder;
      if (input.type === "value") return textOf(input.value ?? null);
      return input.paths.length === 1 ? (input.paths[0] ?? "") : (input.folder ?? "");
    }),
  );
}

function known<T>(value: T | undefined, problem: string): T {
  if (value === undefined) throw new OutputError(problem);
  return value;
}
const textOf = (value: JsonValue): string => (typeof value === "string" ? value : JSON.stringify(value));
