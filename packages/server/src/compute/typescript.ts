/** TypeScript steps: functions of bundles, run by warm Node processes, one at a time in each. */
import { mkdtemp, rm } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { bytesBelow, type Platform, processTree } from "../platform/index.js";
import type { Backend, Job, JobEnd, Watch } from "./backend.js";
import { type PlacedJob, placeJob, takeOutputs } from "./files.js";
import { limits, OutputError } from "./layout.js";
import { judge, listen, type Said } from "./said.js";
import type { FromRunner, ToRunner } from "./typescript-protocol.js";
import type { Runner, Runners } from "./typescript-runners.js";

const lookMs = 100;
const looksPerUsage = 10;
const folderLookMs = 2_000;
const patienceMs = 2_000;

export function typescriptBackend(
  { objects }: Pick<Platform, "objects">,
  runners: Runners,
  { folderBytes = limits.folderBytes }: { folderBytes?: number } = {},
): Backend {
  const removals = new Set<Promise<void>>();
  async function run(job: Job, watch: Watch): Promise<JobEnd> {
    // The bundle among the project's files, and the name of the step.
    const [bundlePath = "", step = ""] = job.command;
    const own = await runners.folder();
    const folder = await mkdtemp(path.join(own, `${job.id.replaceAll(/[^A-Za-z0-9._-]+/g, "-").slice(0, 100)}-`));
    const said = listen(job, watch, (text) => text.replaceAll(`${folder}${path.sep}project${path.sep}`, "").replaceAll(`${folder}${path.sep}`, ""));
    const ended = (of: Partial<JobEnd> & Pick<JobEnd, "outcome" | "message">): JobEnd => endOf(said, of);
    try {
      const code = job.code.find((file) => file.path === bundlePath);
      if (code === undefined)
        return ended({ outcome: "failed", message: `The project has no bundle ${bundlePath} of the step "${step}". Apply the project again.` });
      const [bundle, placed] = await Promise.all([
        runners.placeBundle(code.digest),
        placeJob(objects, { ...job, code: job.code.filter((file) => file !== code) }, folder),
      ]);
      if (watch.signal.aborted) return ended({ outcome: "cancelled", message: "The step was cancelled." });
      const maxBytes = (await bytesBelow(folder)) + folderBytes;
      const { memoryBytes } = job.resources;
      const key = `${memoryBytes ?? "none"} ${job.secretValues.length === 0 ? "" : code.digest}`;
      const one = runners.take(key, memoryBytes);
      const done = await call(one, job, watch, said, { bundle, step, placed, bundles: path.dirname(bundle), folder: { path: folder, maxBytes } });
      // What ended between two looks may have grown all the same.
      if (done.why === null && (await bytesBelow(folder, maxBytes)) > maxBytes) done.why = "folder";
      if (done.end?.reusable === true && one.gone === undefined && done.why === null) runners.giveBack(one);
      else runners.end(one);
      const usage = { peakMemoryBytes: done.peakMemoryBytes, cpuSeconds: done.end?.cpuSeconds ?? done.cpuSeconds };
      if (done.why === "cancelled") return ended({ outcome: "cancelled", message: "The step was cancelled.", usage });
      if (done.end !== undefined && done.why === null) {
        if (done.end.error !== null) return ended({ outcome: "failed", message: said.mask(done.end.error), code: 1, usage });
        try {
          return ended({ outcome: "succeeded", message: null, code: 0, usage, outputs: await takeOutputs(objects, job, placed.outputs) });
        } catch (error) {
          if (!(error instanceof OutputError)) throw error;
          return ended({ outcome: "failed", message: error.message, usage });
        }
      }
      const { code: exit, signal } = one.gone ?? { code: null, signal: null };
      const why = done.why;
      // Node says with its own last words that its heap is full.
      for (const line of one.said.split("\n").filter((text) => /FATAL|heap|Error/.test(text))) said.onLine("stderr", line);
      const named: Job = { ...job, command: [step] };
      const judged = judge(
        named,
        { code: exit === 0 ? 1 : exit, signal, ended: why, killedForMemory: false, peakMemoryBytes: usage.peakMemoryBytes, folderBytes },
        said,
      );
      if (exit === 0 && why === null)
        return ended({
          outcome: "failed",
          message: `${step} ended its process before it was done: a step returns, it does not call process.exit.`,
          code: 0,
          usage,
        });
      return ended({ ...judged, code: exit, signal, usage });
    } finally {
      // The step's end does not wait for it.
      const removal: Promise<void> = rm(folder, { recursive: true, force: true, maxRetries: 3 }).then(
        () => void removals.delete(removal),
        () => void removals.delete(removal),
      );
      removals.add(removal);
    }
  }

  return {
    name: "typescript",
    check: async () => [],
    run,
    async stop() {
      await Promise.all(removals);
    },
  };
}

interface Called {
  end: Extract<FromRunner, { kind: "end" }> | undefined;
  /** What it was ended for. */
  why: "timeout" | "memory" | "folder" | "cancelled" | null;
  peakMemoryBytes: number;
  cpuSeconds: number;
}
interface What {
  bundle: string;
  step: string;
  placed: PlacedJob;
  bundles: string;
  folder: { path: string; maxBytes: number };
}
/** One step in a process, within its limits, to its end or that of the process. */
function call(one: Runner, job: Job, watch: Watch, said: Said, { bundle, step, placed, bundles, folder }: What): Promise<Called> {
  return new Promise((resolve) => {
    const tree = processTree(one.group, one.mark);
    const seen = { peakMemoryBytes: 0, cpuSeconds: 0 };
    let end: Called["end"];
    let why: Called["why"] = null;
    let impatient: NodeJS.Timeout | undefined;
    let over = false;
    const finish = () => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      clearTimeout(looking);
      clearTimeout(measuring);
      clearTimeout(impatient);
      watch.signal.removeEventListener("abort", cancel);
      resolve({ end, why, ...seen });
    };
    /** Its function is told first, by its signal. */
    const ask = (because: "timeout" | "cancelled") => {
      if (why !== null) return;
      why = because;
      tell({ kind: "cancel" });
      impatient = setTimeout(() => tree.signal("SIGKILL"), patienceMs);
    };
    const tell = (message: ToRunner) => {
      // Whoever is gone says so by its end.
      one.child.send(message, () => {});
    };
    const timer = setTimeout(() => ask("timeout"), job.timeoutMs);
    const cancel = () => ask("cancelled");
    let looks = 0;
    let looking = setTimeout(look, lookMs);
    async function look(): Promise<void> {
      const { memoryBytes } = job.resources;
      const now = await tree.look(memoryBytes);
      if (over) return;
      seen.peakMemoryBytes = Math.max(seen.peakMemoryBytes, now.memoryBytes);
      seen.cpuSeconds = Math.max(seen.cpuSeconds, now.cpuSeconds);
      if (memoryBytes !== undefined && now.memoryBytes > memoryBytes) {
        why ??= "memory";
        tree.signal("SIGKILL");
      }
      if (looks++ % looksPerUsage === looksPerUsage - 1) watch.onUsage(now);
      looking = setTimeout(look, process.platform === "linux" ? lookMs : lookMs * looksPerUsage);
    }
    let measuring = setTimeout(measure, folderLookMs);
    async function measure(): Promise<void> {
      const began = performance.now();
      const bytes = await bytesBelow(folder.path, folder.maxBytes);
      if (over) return;
      if (bytes > folder.maxBytes) {
        why ??= "folder";
        tree.signal("SIGKILL");
      }
      measuring = setTimeout(measure, Math.max(folderLookMs, 20 * (performance.now() - began)));
    }
    one.onGone = finish;
    one.onMessage = (message) => {
      if (message.kind === "line")
        said.onLine(message.stream, message.text.replaceAll(`${bundles}${path.sep}`, "").replaceAll(path.basename(bundle), `${step}.mjs`));
      else if (message.kind === "report") said.onReport(message.text);
      else if (message.kind === "end") {
        end = message;
        seen.peakMemoryBytes = Math.max(seen.peakMemoryBytes, message.memoryBytes);
        finish();
      }
    };
    if (one.gone !== undefined) return finish();
    watch.signal.addEventListener("abort", cancel, { once: true });
    tell({ kind: "run", bundle, step, note: placed.note, folder: placed.project, environment: job.environment, maxLogBytes: limits.logBytes });
  });
}

function endOf(said: Said, end: Partial<JobEnd> & Pick<JobEnd, "outcome" | "message">): JobEnd {
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
