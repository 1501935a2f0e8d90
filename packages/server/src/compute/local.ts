/** Processes of this machine: each in a folder and a group of its own, within limits. */
import { mkdtemp, rm } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { bytesBelow, ownFolder, type Platform, type ProcessEnd, runProcess } from "../platform/index.js";
import type { Backend, Job, JobEnd, Watch } from "./backend.js";
import { type PlacedJob, placeJob, resolveCommand, takeOutputs } from "./files.js";
import { helpers, stepEnvironment } from "./inherited.js";
import { limits, OutputError } from "./layout.js";
import { judge, listen, programName, type Said } from "./said.js";
import type { Compute, Interpreter } from "./types.js";

const step = fileURLToPath(new URL("millrace/_step.py", helpers));
const patienceMs = 5_000;
/** Of a job: what it may hold once the process is at work. */
interface Folder {
  path: string;
  maxBytes: number;
}

export function localBackend(
  { config, objects }: Pick<Platform, "config" | "objects">,
  { python, environment }: Pick<Compute, "python" | "environment">,
  { folderBytes = limits.folderBytes }: { folderBytes?: number } = {},
): Backend {
  const own = ownFolder(path.join(config.dataDir, "jobs"));

  async function run(job: Job, watch: Watch): Promise<JobEnd> {
    const folder = await mkdtemp(path.join(own.path, `${job.id.replaceAll(/[^A-Za-z0-9._-]+/g, "-").slice(0, 100)}-`));
    const said = listen(job, watch, (text) => text.replaceAll(`${folder}${path.sep}project${path.sep}`, "").replaceAll(`${folder}${path.sep}`, ""));
    const failed = (message: string): JobEnd => ended(said, { outcome: watch.signal.aborted ? "cancelled" : "failed", message });
    try {
      let interpreter: Interpreter | undefined;
      try {
        interpreter = await interpreterOf(job, watch);
      } catch (error) {
        return failed(said.mask(messageOf(error)));
      }
      const placed = await placeJob(objects, job, folder);
      const given = await bytesBelow(folder);
      let process: ProcessEnd;
      try {
        process = await start(job, watch, { path: folder, maxBytes: given + folderBytes }, placed, interpreter, said);
      } catch (error) {
        if (watch.signal.aborted) return failed("The step was cancelled.");
        if (error instanceof OutputError) return failed(error.message);
        return failed(notStarted(job, error));
      }
      const usage = {
        peakMemoryBytes: Math.max(process.usage.peakMemoryBytes, said.report.usage?.peakMemoryBytes ?? 0),
        cpuSeconds: Math.max(process.usage.cpuSeconds, said.report.usage?.cpuSeconds ?? 0),
      };
      const { code, signal } = process;
      if (watch.signal.aborted) return ended(said, { outcome: "cancelled", message: "The step was cancelled.", code, signal, usage });
      const judged = judge(job, { ...process, peakMemoryBytes: usage.peakMemoryBytes, folderBytes }, said);
      if (judged.outcome !== "succeeded") return ended(said, { ...judged, code, signal, usage });
      try {
        return ended(said, { ...judged, code, signal, usage, outputs: await takeOutputs(objects, job, placed.outputs) });
      } catch (error) {
        if (!(error instanceof OutputError)) throw error;
        return ended(said, { outcome: "failed", message: error.message, code, signal, usage });
      }
    } finally {
      await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
    }
  }

  async function interpreterOf(job: Job, watch: Watch): Promise<Interpreter | undefined> {
    if (job.python === undefined) return undefined;
    const { requirements } = job.python;
    if (requirements === undefined) return python();
    const file = await objects.localPath(requirements.digest);
    return environment({ file, digest: requirements.digest }, { signal: watch.signal, onLine: (text) => watch.onLine("millrace", text) });
  }

  function start(job: Job, watch: Watch, folder: Folder, placed: PlacedJob, interpreter: Interpreter | undefined, said: Said): Promise<ProcessEnd> {
    const [program = "", ...args] = resolveCommand(job.command, placed.note, { ...(interpreter === undefined ? {} : { python: interpreter.path }), step });
    const inherited = stepEnvironment();
    const search =
      interpreter === undefined ? inherited.PATH : [path.dirname(interpreter.path), inherited.PATH].filter((one) => one !== undefined).join(path.delimiter);
    const { memoryBytes } = job.resources;
    return runProcess({
      command: program,
      args,
      cwd: placed.project,
      env: {
        ...inherited,
        ...(search === undefined ? {} : { PATH: search }),
        ...job.environment,
        ...(interpreter === undefined ? {} : { PYTHONPATH: fileURLToPath(helpers), PYTHONDONTWRITEBYTECODE: "1" }),
        MILLRACE_STEP_FILE: placed.noteFile,
        MILLRACE_REPORT_FD: "3",
      },
      timeoutMs: job.timeoutMs,
      signal: watch.signal,
      maxLogBytes: limits.logBytes,
      patienceMs,
      folder,
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      onLine: said.onLine,
      onReport: said.onReport,
      onUsage: watch.onUsage,
    });
  }

  return {
    name: "local",
    async check(job) {
      if (job.python === undefined) return [];
      return python().then(
        () => [],
        (error) => [messageOf(error)],
      );
    },
    async run(job, watch) {
      await own.make();
      return run(job, watch);
    },
    stop: () => rm(own.path, { recursive: true, force: true }),
  };
}

function notStarted(job: Job, error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT")
    return `The program "${programName(job)}" is not there: it is neither a file of the project nor on the PATH of the machine that runs the step.`;
  if (code === "EACCES") return `The program "${programName(job)}" can't be run: the system does not allow it, as for a file that is no program.`;
  return `${programName(job)} can't be started: ${messageOf(error)}`;
}

function ended(said: Said, end: Partial<JobEnd> & Pick<JobEnd, "outcome" | "message">): JobEnd {
  return {
    code: null,
    signal: null,
    usage: { peakMemoryBytes: null, cpuSeconds: null },
    host: hostname(),
    outputs: {},
    ...end,
    lastLines: end.outcome === "succeeded" ? [] : said.lastLines(),
  };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
