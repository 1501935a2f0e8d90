/** TypeScript steps: functions of bundles, run by warm Node processes, one at a time in each. */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:fs";
import { copyFile, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { guardGroup, type Platform, processMarker, processOwner, processTree, releaseGroup } from "../platform/index.js";
import type { Backend, Job, JobEnd, Watch } from "./backend.js";
import { type PlacedJob, placeJob, takeOutputs } from "./files.js";
import { stepEnvironment } from "./inherited.js";
import { limits, OutputError } from "./layout.js";
import { judge, listen, type Said } from "./said.js";
import type { FromRunner, ToRunner } from "./typescript-protocol.js";

const idleMs = 60_000;
const mostIdle = 4;
const lookMs = 100;
const looksPerUsage = 10;
const patienceMs = 2_000;
const megabyte = 1024 ** 2;
/** From the sources, which only tests do, the runner is TypeScript too. */
const fromSource = import.meta.url.endsWith(".ts");
const runner = fileURLToPath(new URL(fromSource ? "typescript-runner.ts" : "typescript-runner.js", import.meta.url));
const flags = fromSource ? ["--conditions=millrace-source", "--import", new URL("../../../../node_modules/tsx/dist/loader.mjs", import.meta.url).href] : [];
/** What a person starts to run one step. */
export const runnerCommand = (): string[] => [process.execPath, ...flags, runner];
let started = 0;

/** A process that runs one step at a time. */
interface Runner {
  child: ChildProcess;
  group: number;
  mark: string;
  /** What may run in it: steps with the same limit of memory; steps that were given secrets, only those of their own bundle. */
  key: string;
  idleSince: number;
  /** How it ended, where it did. */
  gone: { code: number | null; signal: NodeJS.Signals | null } | undefined;
  onMessage: ((message: FromRunner) => void) | undefined;
  onGone: (() => void) | undefined;
  /** What the process itself said, as Node does when its heap is full. */
  said: string;
}

export function typescriptBackend({ config, objects }: Pick<Platform, "config" | "objects">): Backend {
  // As of all jobs of this process: what it leaves when it is killed is removed by the next one.
  const own = path.join(config.dataDir, "jobs", `${hostname()}-${process.pid}`);
  let ready: Promise<unknown> | undefined;
  const removals = new Set<Promise<void>>();
  const idle = new Set<Runner>();
  const all = new Set<Runner>();
  const bundles = new Map<string, Promise<string>>();
  let sweeping: NodeJS.Timeout | undefined;

  /** The bundle's file on this machine, placed once. */
  function placeBundle(digest: Job["code"][number]["digest"]): Promise<string> {
    const known = bundles.get(digest);
    if (known !== undefined) return known;
    const placed = (async () => {
      const folder = path.join(own, "bundles");
      const file = path.join(folder, `${digest.slice("sha256:".length)}.mjs`);
      await mkdir(folder, { recursive: true });
      await copyFile(await objects.localPath(digest), `${file}.part`, constants.COPYFILE_FICLONE);
      await rename(`${file}.part`, file);
      return file;
    })();
    placed.catch(() => bundles.delete(digest));
    bundles.set(digest, placed);
    return placed;
  }

  function take(key: string, memoryBytes: number | undefined): Runner {
    for (const one of idle) {
      if (one.key !== key || one.gone !== undefined) continue;
      idle.delete(one);
      return one;
    }
    const mark = `${processOwner}-ts${++started}`;
    const heap = memoryBytes === undefined ? [] : [`--max-old-space-size=${Math.max(16, Math.floor(memoryBytes / megabyte))}`];
    const child = spawn(process.execPath, [...heap, ...flags, runner], {
      cwd: own,
      env: { ...stepEnvironment(), [processMarker]: mark },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      detached: true,
      serialization: "json",
    });
    const made: Runner = { child, group: child.pid ?? 0, mark, key, idleSince: 0, gone: undefined, onMessage: undefined, onGone: undefined, said: "" };
    if (child.pid !== undefined) guardGroup(child.pid);
    all.add(made);
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => (made.said = (made.said + text).slice(-8_000)));
    child.on("message", (message: FromRunner) => made.onMessage?.(message));
    const over = (code: number | null, signal: NodeJS.Signals | null) => {
      if (made.gone !== undefined) return;
      made.gone = { code, signal };
      idle.delete(made);
      all.delete(made);
      if (made.group > 0) {
        const tree = processTree(made.group, made.mark);
        tree.signal("SIGKILL");
        tree.killStrays();
        releaseGroup(made.group);
      }
      made.onGone?.();
    };
    child.once("close", over);
    child.once("error", () => over(null, null));
    return made;
  }
  function end(one: Runner): void {
    idle.delete(one);
    if (one.gone === undefined && one.group > 0) processTree(one.group, one.mark).signal("SIGKILL");
  }
  function giveBack(one: Runner): void {
    one.onMessage = undefined;
    one.onGone = undefined;
    one.said = "";
    one.idleSince = performance.now();
    // An idle one does not keep this process alive.
    idle.add(one);
    for (const oldest of idle) {
      if (idle.size <= mostIdle) break;
      end(oldest);
    }
    sweeping ??= setInterval(() => {
      for (const each of idle) if (performance.now() - each.idleSince > idleMs) end(each);
      if (idle.size > 0) return;
      clearInterval(sweeping);
      sweeping = undefined;
    }, idleMs / 4).unref();
  }

  async function run(job: Job, watch: Watch): Promise<JobEnd> {
    // The bundle among the project's files, and the name of the step.
    const [bundlePath = "", step = ""] = job.command;
    ready ??= mkdir(own, { recursive: true });
    await ready;
    const folder = await mkdtemp(path.join(own, `${job.id.replaceAll(/[^A-Za-z0-9._-]+/g, "-").slice(0, 100)}-`));
    const said = listen(job, watch, (text) => text.replaceAll(`${folder}${path.sep}project${path.sep}`, "").replaceAll(`${folder}${path.sep}`, ""));
    const ended = (of: Partial<JobEnd> & Pick<JobEnd, "outcome" | "message">): JobEnd => endOf(said, of);
    try {
      const code = job.code.find((file) => file.path === bundlePath);
      if (code === undefined)
        return ended({ outcome: "failed", message: `The project has no bundle ${bundlePath} of the step "${step}". Apply the project again.` });
      const [bundle, placed] = await Promise.all([
        placeBundle(code.digest),
        placeJob(objects, { ...job, code: job.code.filter((file) => file !== code) }, folder),
      ]);
      if (watch.signal.aborted) return ended({ outcome: "cancelled", message: "The step was cancelled." });
      const { memoryBytes } = job.resources;
      const key = `${memoryBytes ?? "none"} ${job.secretValues.length === 0 ? "" : code.digest}`;
      const one = take(key, memoryBytes);
      const done = await call(one, job, watch, said, { bundle, step, placed, bundles: path.join(own, "bundles") });
      if (done.end?.reusable === true && one.gone === undefined && done.why === null) giveBack(one);
      else end(one);
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
        { code: exit === 0 ? 1 : exit, signal, ended: why, killedForMemory: false, peakMemoryBytes: usage.peakMemoryBytes, folderBytes: 0 },
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
      clearInterval(sweeping);
      await Promise.all(removals);
      await Promise.all(
        [...all].map(
          (one) =>
            new Promise<void>((resolve) => {
              if (one.gone !== undefined) return resolve();
              one.child.once("close", () => resolve());
              end(one);
            }),
        ),
      );
    },
  };
}

interface Called {
  end: Extract<FromRunner, { kind: "end" }> | undefined;
  /** What it was ended for. */
  why: "timeout" | "memory" | "cancelled" | null;
  peakMemoryBytes: number;
  cpuSeconds: number;
}
interface What {
  bundle: string;
  step: string;
  placed: PlacedJob;
  bundles: string;
}
/** One step in a process, within its limits, to its end or that of the process. */
function call(one: Runner, job: Job, watch: Watch, said: Said, { bundle, step, placed, bundles }: What): Promise<Called> {
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
    one.onGone = finish;
    one.onMessage = (message) => {
      if (message.kind === "line")
        said.onLine(message.stream, message.text.replaceAll(`${bundles}${path.sep}`, "").replaceAll(path.basename(bundle), `${step}.mjs`));
      else if (message.kind === "report") said.onReport(message.text);
      else {
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
