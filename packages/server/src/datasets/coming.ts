/** What is still to come into a dataset from where it watches, and the wait for its first version. */
import { setTimeout as delay } from "node:timers/promises";
import type { DatasetComing, DatasetVersionDetail, StepProgress } from "@millrace/sdk/api";
import { ApiError, invalid } from "../platform/index.js";
import type { Definition } from "../projects/index.js";
import * as store from "./store.js";
import { type WatchedFiles, type WatchParts, watchedFiles } from "./watch.js";

/** Files may be large, and many: while they are taken they are waited for, but not for ever. */
const longestMs = 600_000;
/** For so long a server on the machine that has the project's folder is given to say what it sees there. */
const elsewhereMs = 10_000;
const lookMs = 250;

export interface Awaiting {
  log(text: string): void;
  progress(progress: StepProgress): void;
  signal: AbortSignal;
}
export interface Coming {
  of(name: string): Promise<DatasetComing>;
  /** The newest accepted version, once the files that are there now are taken. Throws a 400 that says why where none comes. */
  firstVersion(name: string, awaiting: Awaiting): Promise<DatasetVersionDetail>;
}

export function createComing(parts: WatchParts, latest: (name: string) => Promise<DatasetVersionDetail | undefined>): Coming {
  const { db, clock, log } = parts.platform;

  async function look(name: string): Promise<DatasetComing & Pick<WatchedFiles, "missing">> {
    const definition = await parts.projects.require("dataset", name);
    // The files first: what is taken meanwhile has its version when that is asked for.
    const watched = await filesOf(definition);
    const version = (await store.findVersion(db, name, "latest"))?.version ?? null;
    const { found: files, untaken, missing } = typeof watched === "string" || watched === undefined ? nothing : watched;
    const facts = { dataset: name, version, files, taken: files - untaken, ...(missing === undefined ? {} : { missing }) };
    // A replayed clock's ticks come when somebody moves it.
    if (untaken > 0 && clock.kind === "system") return { ...facts, state: "coming", message: null };
    if (version !== null) return { ...facts, state: "ready", message: null };
    return { ...facts, state: "none", message: `The dataset "${name}" has no accepted version yet: ${await whyNone(definition, watched)}` };
  }

  /** A text: why they can't be looked for. */
  async function filesOf(definition: Definition<"dataset">): Promise<WatchedFiles | string | undefined> {
    try {
      return await watchedFiles(parts, definition);
    } catch (error) {
      if (error instanceof ApiError) return error.message;
      log.warn({ error, dataset: definition.name }, "a watched folder could not be read");
      return "the server can't read the folder that it watches, and says why in its log.";
    }
  }
  async function whyNone({ name, spec: { watch } }: Definition<"dataset">, watched: WatchedFiles | string | undefined): Promise<string> {
    const add = `Add files with: millrace dataset add ${name} <file>`;
    if (typeof watched === "string") return watched;
    const refused = await refusal(name);
    if (watched === undefined || watch === undefined) return refused ?? `nothing was added to it. ${add}`;
    if (watched.untaken > 0) return `${filesThat(watched.untaken, "wait")} until the replayed clock is moved.`;
    if (refused !== undefined) return refused;
    const where = "prefix" in watch ? watch.prefix : watch.folder;
    if (watched.missing === "project") return `the project's folder is not on this server's machine, so nothing comes from its folder "${where}". ${add}`;
    if (watched.missing === "folder") return `it watches the folder "${where}", which is not there in the project's folder.`;
    if (watched.found === 0) return `no file in "${where}" is called as its pattern "${watch.pattern}" says.`;
    return `nothing became of the ${filesThat(watched.found, "match", "matches")} "${watch.pattern}" in "${where}". The server's log says why.`;
  }
  async function refusal(name: string): Promise<string | undefined> {
    const [row] = await store.listVersions(db, name, { status: "quarantined", limit: 1 });
    if (row === undefined) return undefined;
    const anomalies = (await store.reportOf(db, name, row.version))?.anomalies ?? [];
    const reasons = anomalies.filter((anomaly) => anomaly.severity === "block").map((anomaly) => anomaly.message);
    return `${row.file} was refused, and is in quarantine as version ${row.version}. ${reasons.slice(0, mostReasons).join(" ")}`.trim();
  }

  return {
    async of(name) {
      const { missing: _, ...coming } = await look(name);
      return coming;
    },
    async firstVersion(name, { log: say, progress, signal }) {
      const began = performance.now();
      let told = "";
      for (;;) {
        signal.throwIfAborted();
        const { state, message, files, taken, missing } = await look(name);
        const waited = performance.now() - began;
        if (state === "ready" || (state === "none" && (missing !== "project" || waited > elsewhereMs))) {
          const version = await latest(name);
          if (version === undefined) throw invalid(message ?? `The dataset "${name}" has no accepted version any more.`);
          return version;
        }
        const sofar = files === 0 ? "" : `: ${taken} of ${files} ${files === 1 ? "file" : "files"} taken`;
        if (waited > longestMs) throw invalid(`The dataset "${name}" is still being taken in${sofar}. Start the run again later.`);
        const text = `waiting for the first version of the dataset "${name}"${sofar}`;
        if (text !== told) say(text);
        told = text;
        progress({ ...(files === 0 ? {} : { done: taken, total: files }), message: text });
        await delay(lookMs, undefined, { signal });
      }
    },
  };
}

const nothing: WatchedFiles = { found: 0, untaken: 0 };
const mostReasons = 5;
const filesThat = (count: number, several: string, one = `${several}s`): string =>
  count === 1 ? `1 file that ${one}` : `${count.toLocaleString("en")} files that ${several}`;
