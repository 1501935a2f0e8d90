/** Warm Node processes that run functions of bundles: they are started when one is needed, and used again where nothing of what they did goes on. */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:fs";
import { copyFile, mkdir, rename } from "node:fs/promises";
import path from "node:path";
import { type Digest, guardGroup, nodeProgram, ownFolder, type Platform, processMarker, processOwner, processTree, releaseGroup } from "../platform/index.js";
import { stepEnvironment } from "./inherited.js";
import type { FromRunner } from "./typescript-protocol.js";

const idleMs = 60_000;
const mostIdle = 4;
const megabyte = 1024 ** 2;
const runner = (flags: readonly string[] = []) => nodeProgram(import.meta.url, "typescript-runner", flags);
/** What a person starts to run one step. */
export const runnerCommand = (): string[] => [runner().command, ...runner().args];
let started = 0;

/** A process that does one thing at a time: a step, or checks of rows. */
export interface Runner {
  child: ChildProcess;
  group: number;
  mark: string;
  /** What may run in it: checks; steps with the same limit of memory; steps that were given secrets, only those of their own bundle. */
  key: string;
  idleSince: number;
  /** How it ended, where it did. */
  gone: { code: number | null; signal: NodeJS.Signals | null } | undefined;
  onMessage: ((message: FromRunner) => void) | undefined;
  onGone: (() => void) | undefined;
  /** What the process itself said, as Node does when its heap is full. */
  said: string;
}

export interface Runners {
  /** The folder for what belongs to jobs of this process; what it leaves when it is killed is removed by the next one. */
  folder(): Promise<string>;
  /** The bundle's file on this machine, placed once. */
  placeBundle(digest: Digest): Promise<string>;
  /** One that is idle, or a new one. `folder()` must have answered. */
  take(key: string, memoryBytes?: number): Runner;
  giveBack(one: Runner): void;
  end(one: Runner): void;
  /** From the moment on at which it is asked to stop: what ends now says nothing of what ran in it. */
  stopping(): boolean;
  stop(): Promise<void>;
}

export function openRunners({ config, objects }: Pick<Platform, "config" | "objects">): Runners {
  const own = ownFolder(path.join(config.dataDir, "jobs"));
  const idle = new Set<Runner>();
  const all = new Set<Runner>();
  const bundles = new Map<string, Promise<string>>();
  let sweeping: NodeJS.Timeout | undefined;
  let stopped = false;

  function placeBundle(digest: Digest): Promise<string> {
    const known = bundles.get(digest);
    if (known !== undefined) return known;
    const placed = (async () => {
      const folder = path.join(own.path, "bundles");
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
    const { command, args } = runner(heap);
    const child = spawn(command, args, {
      cwd: own.path,
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

  return {
    folder: own.make,
    placeBundle,
    take,
    giveBack,
    end,
    stopping: () => stopped,
    async stop() {
      stopped = true;
      clearInterval(sweeping);
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
