import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import type { LogPage, Pipeline, Run, RunDetail } from "@millrace/sdk/api";
import type { Compute } from "../compute/index.js";
import { conflict, limit, newId, notFound, type Platform } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import { openEngine } from "./engine.js";
import { type ExecutionParts, executeRun, workFolder } from "./execute.js";

import { readStepLog } from "./logs.js";
import { checkParams, checkWiring } from "./params.js";
import { pythonStep } from "./python-step.js";
import type { StepKind } from "./step.js";
import { openStore, type RunRow, toRun, toStep } from "./store.js";
import type { RunTracker } from "./tracker.js";
import type { Pipelines } from "./types.js";

const runsAtOnce = 16;
const stepsAtOnce = 2;
const beatMs = 1_000;
/** A process that was silent for this long is taken for dead. Longer than anything that blocks a process that is well. */
const silentSeconds = 15;
/** At a stop, steps have this long to end their processes. */
const stopMs = 5_000;
const defaultPage = 50;

export function createPipelines(
  platform: Platform,
  { projects, compute, tracking, stepKinds }: { projects: Projects; compute: Compute; tracking: RunTracker; stepKinds: StepKind[] },
): Pipelines {
  const store = openStore(platform);
  const kinds: StepKind[] = [...stepKinds, pythonStep(platform, { projects, compute, tracking })];
  const stopping = new AbortController();
  const parts: Omit<ExecutionParts, "executor"> = {
    platform,
    store,
    kinds: new Map(kinds.map((kind) => [kind.kind, kind])),
    tracking,
    runsAtOnce: limit(runsAtOnce),
    stepsAtOnce: limit(stepsAtOnce),
    stopping: stopping.signal,
    active: new Map(),
    attempts: new Set(),
  };
  let engine: ReturnType<typeof openEngine> | undefined;
  let beating: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  async function requireRun(id: string): Promise<RunRow> {
    const run = await store.run(id);
    if (run === undefined) throw notFound("run", id);
    return run;
  }
  const detail = async (run: RunRow): Promise<RunDetail> => ({ ...toRun(run), spec: run.spec, steps: (await store.steps(run.id)).map(toStep) });
  const toPipeline = async ({ name, spec, project, projectVersion }: Definition<"pipeline">, lastRun: RunRow | undefined): Promise<Pipeline> => ({
    name,
    project,
    projectVersion,
    spec,
    lastRun: lastRun === undefined ? null : toRun(lastRun),
  });

  /** Says that this process lives, gives up what it no longer has, and takes what nobody has. */
  async function beat(executor: string): Promise<void> {
    await store.beat(executor);
    for (const [id, { epoch, abort }] of parts.active) {
      if (!(await store.counts({ id, epoch }))) abort.abort();
    }
    for (const id of await store.orphans(silentSeconds)) {
      if (stopping.signal.aborted || engine === undefined) return;
      if ((await engine.takeOver(id)) === "over") await store.abandon(id, "The run ended before its end could be recorded. The server's log says why.");
      else platform.log.info({ run: id }, "a run that nobody executed is taken over");
    }
  }

  return {
    async start({ pipeline, params, cause, id = newId() }) {
      if (!/^[a-zA-Z0-9_-]{1,100}$/.test(id)) throw new Error(`"${id}" can't be the id of a run.`);
      const known = await store.run(id);
      if (known !== undefined) return same(known, pipeline);
      const { spec, project } = await projects.require("pipeline", pipeline);
      checkWiring(spec);
      const values = checkParams(spec, params ?? {});
      const source = await projects.current(project);
      await store.insert({ id, pipeline, project, project_version: source.version, commit: source.commit, spec, params: values, cause });
      const run = same(await requireRun(id), pipeline);
      // It is durable now: where this fails, the next beat of whoever is alive begins it.
      await engine?.start(id).catch((error) => platform.log.error({ error, run: id }, "a run could not be begun yet"));
      return run;
    },
    async get(id) {
      return detail(await requireRun(id));
    },
    async list({ pipeline, state, after, limit: most = defaultPage }) {
      const states = state === undefined ? undefined : state === "active" ? ["queued", "running"] : [state];
      const rows = await store.runs({
        ...(pipeline === undefined ? {} : { pipeline }),
        ...(states === undefined ? {} : { states }),
        ...(after === undefined ? {} : { after }),
        limit: most + 1,
      });
      const items = rows.slice(0, most).map(toRun);
      const last = items.at(-1);
      return rows.length > most && last !== undefined ? { items, next: last.id } : { items };
    },
    async lastRun(pipeline) {
      const run = (await store.lastRuns([pipeline]))[0];
      return run === undefined ? undefined : detail(run);
    },
    async cancel(id) {
      const run = await requireRun(id);
      if (!(await store.cancel(id, "The run was cancelled.")))
        throw conflict(`The run ${id} is over: it ${run.state === "cancelled" ? "was cancelled" : run.state}.`);
      parts.active.get(id)?.abort.abort();
      return toRun(await requireRun(id));
    },
    async pipelines() {
      const definitions = await projects.list("pipeline");
      const last = await store.lastRuns(definitions.map((d) => d.name));
      return Promise.all(
        definitions.map((d) =>
          toPipeline(
            d,
            last.find((run) => run.pipeline === d.name),
          ),
        ),
      );
    },
    async pipeline(name) {
      return toPipeline(await projects.require("pipeline", name), (await store.lastRuns([name]))[0]);
    },
    async log(id, step, from): Promise<LogPage> {
      // The state is read first: a step that is over says nothing more.
      const found = await store.step(id, step);
      if (found === undefined) throw (await store.run(id)) === undefined ? notFound("run", id) : notFound("step", step);
      const page = await readStepLog(platform, id, step, from);
      return { ...page, done: found.state !== "waiting" && found.state !== "running" && page.lines.length === 0 };
    },
    async artifactFile(id, step, output, file) {
      const artifact = (await store.step(id, step))?.outputs[output];
      const found = artifact?.files.find((f) => f.path === file);
      if (found === undefined) throw notFound("file", `${file}" of the output "${output}" of the step "${step}" of the run "${id}`);
      return found;
    },

    async launch() {
      const executor = await executorId(platform.config.dataDir);
      // What a process left that was killed here; no other process works in this folder.
      await rm(workFolder(platform), { recursive: true, force: true });
      await store.beat(executor);
      engine = openEngine(platform, executor, (runId, step) => executeRun({ ...parts, executor }, runId, step));
      await engine.launch();
      const loop = () => {
        timer = setTimeout(() => {
          beating = beat(executor)
            .catch((error) => platform.log.error({ error }, "the runs could not be looked after; it is tried again"))
            .finally(() => stopping.signal.aborted || loop());
        }, beatMs);
      };
      loop();
    },
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await beating;
      await Promise.race([Promise.allSettled(parts.attempts), new Promise((resolve) => setTimeout(resolve, stopMs).unref())]);
      await engine?.stop();
      engine = undefined;
    },
  };
}

function same(run: RunRow, pipeline: string): Run {
  if (run.pipeline !== pipeline) throw conflict(`The run ${run.id} is one of the pipeline "${run.pipeline}".`);
  return toRun(run);
}

/** The same at every start on a data folder, so that a server goes on with its own runs at once. */
async function executorId(dataDir: string): Promise<string> {
  const file = path.join(dataDir, "executor-id");
  const known = await readFile(file, "utf8").catch(() => "");
  if (/^[0-9a-f-]{36}$/.test(known)) return known;
  await mkdir(dataDir, { recursive: true });
  const made = randomUUID();
  await writeFile(`${file}.new`, made, { flush: true });
  await rename(`${file}.new`, file);
  return made;
}
