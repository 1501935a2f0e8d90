import type { LogPage, Pipeline, Run, RunDetail, Step } from "@millrace/sdk/api";
import type { Compute } from "../compute/index.js";
import { conflict, firstRows, invalid, newId, notFound, type Platform } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import { asDigest } from "./artifacts.js";
import type { SecretReader } from "./attempt.js";
import { debugOf } from "./debug.js";
import type { DecisionParts } from "./decide.js";
import { explain } from "./explain.js";
import { graphOf } from "./graph.js";
import { environmentDigest } from "./key.js";
import { readStepLog } from "./logs.js";
import { loadedModel } from "./model.js";
import { checkParams, checkWiring } from "./params.js";
import { processSteps } from "./process-step.js";
import { whyNotBegun } from "./room.js";
import { type RunRow, type StepRow, toAttempt, toRun, toStep } from "./rows.js";
import type { StepKind } from "./step.js";
import { type NewRun, openStore } from "./store.js";
import type { RunTracker } from "./tracker.js";
import type { Pipelines, RunRequest } from "./types.js";
import { openViews } from "./views.js";
import { openWorker } from "./worker.js";

const defaultPage = 50;
const stepsShown = 2_000;

export function createPipelines(
  platform: Platform,
  {
    projects,
    compute,
    tracking,
    secrets,
    stepKinds,
  }: { projects: Projects; compute: Compute; tracking: RunTracker; secrets: SecretReader; stepKinds: StepKind[] },
): Pipelines {
  const store = openStore(platform);
  const views = openViews(platform);
  const all: StepKind[] = [...stepKinds, ...processSteps(platform, { projects, compute, tracking })];
  const kinds = new Map(all.map((kind) => [kind.kind, kind]));
  const decision: DecisionParts = { platform, projects, kinds, memory: store.memory };
  const worker = openWorker(platform, { store, kinds, decision, tracking, secrets, compute });

  async function requireRun(id: string): Promise<RunRow> {
    const run = await store.run(id);
    if (run === undefined) throw notFound("run", id);
    return run;
  }
  async function requireStep(run: string, id: string) {
    const step = await store.step(run, id);
    if (step === undefined) throw (await store.run(run)) === undefined ? notFound("run", run) : notFound("step", id);
    return step;
  }
  async function detail(run: RunRow): Promise<RunDetail> {
    const rows = await store.steps(run.id, { limit: stepsShown });
    const stepCount = rows.length < stepsShown ? rows.length : await store.stepCount(run.id);
    return { ...toRun(run), spec: run.spec, stepCount, steps: await shownSteps(run.id, rows) };
  }
  /** What is ready and not begun says why, beside why it has to run. */
  async function shownSteps(run: string, rows: StepRow[]): Promise<Step[]> {
    const why = await whyNotBegun(platform.db, run, rows);
    return rows.map((row) =>
      toStep({ ...row, reason: [row.reason, why.get(row.id)].filter((part) => part !== undefined && part !== null).join("; ") || null }),
    );
  }
  const toPipeline = async ({ name, spec, project, projectVersion }: Definition<"pipeline">, lastRun: RunRow | undefined): Promise<Pipeline> => ({
    name,
    project,
    projectVersion,
    spec,
    lastRun: lastRun === undefined ? null : toRun(lastRun),
  });

  /** Checks what is asked for, and says what it would be as a run. */
  async function planned(request: Omit<RunRequest, "cause"> & { cause: Run["cause"]; id: string }): Promise<NewRun> {
    const { pipeline, resume, from, cache } = request;
    const { spec, project } = await projects.require("pipeline", pipeline);
    checkWiring(spec);
    if (resume !== undefined && (from !== undefined || request.of !== undefined))
      throw invalid("A run goes on with another (`resume`), or runs again from a step (`from`): give one of them.");
    if (from === undefined && request.of !== undefined) throw invalid("`of` names the run that `from` is about: give the step from which to run again, too.");
    if (from !== undefined && graphOf(spec).get(from) === undefined) throw invalid(`The pipeline "${pipeline}" has no step "${from}".`);
    const base = resume !== undefined ? await requireRun(resume) : from !== undefined ? await baseOf(pipeline, request.of) : undefined;
    if (base !== undefined && base.pipeline !== pipeline)
      throw invalid(`The run ${base.id} is one of the pipeline "${base.pipeline}", and not of "${pipeline}".`);
    if (base !== undefined && (base.state === "queued" || base.state === "running"))
      throw conflict(`The run ${base.id} is not over: what its steps give is not there yet.`);
    if (resume !== undefined && base?.state === "succeeded")
      throw conflict(`The run ${resume} succeeded: there is nothing to go on with. Run it again from a step with \`from\`.`);
    const params = checkParams(spec, { ...(base === undefined ? {} : known(spec, base.params)), ...request.params });
    const source = await projects.current(project);
    return {
      ...{ id: request.id, pipeline, project, project_version: source.version, commit: source.commit, spec, params },
      options: {
        ...(base === undefined ? {} : { base: base.id }),
        ...(from === undefined ? {} : { from }),
        ...(cache === undefined ? {} : { cache }),
      },
      cause: {
        ...request.cause,
        ...(resume === undefined ? {} : { resume }),
        ...(from === undefined || base === undefined ? {} : { from, of: base.id }),
        ...(cache === undefined ? {} : { cache }),
      },
    };
  }
  async function baseOf(pipeline: string, of: string | undefined): Promise<RunRow> {
    if (of !== undefined) return requireRun(of);
    const succeeded = (await store.runs({ pipeline, states: ["succeeded"], limit: 1 }))[0];
    const last = succeeded ?? (await store.runs({ pipeline, states: ["refused", "failed", "cancelled"], limit: 1 }))[0];
    if (last === undefined) throw conflict(`The pipeline "${pipeline}" has no run that is over: there is nothing to take over.`);
    return last;
  }

  return {
    async start(request) {
      const { pipeline, id = newId() } = request;
      if (!/^[a-zA-Z0-9_-]{1,100}$/.test(id)) throw new Error(`"${id}" can't be the id of a run.`);
      // Only who chooses the id may have asked before.
      const before = request.id === undefined ? undefined : await store.run(id);
      if (before !== undefined) return same(before, pipeline);
      await store.insert(await planned({ ...request, id }));
      const run = same(await requireRun(id), pipeline);
      // It is durable now: where this fails, the next beat of whoever is alive begins it.
      worker.begin(id);
      return run;
    },
    async explain(request) {
      const run = await planned({ ...request, cause: { kind: "manual" }, id: newId() });
      const now = platform.clock.now();
      return explain(platform, decision, {
        ...{ ...run, n: "0", state: "queued", message: null, tracking_run_id: null, metrics: {}, model_version: null, version: "0" },
        ...{ created_at: now, started_at: null, finished_at: null, real_started_at: null, real_finished_at: null },
      });
    },
    async get(id) {
      return detail(await requireRun(id));
    },
    async steps(run, { limit: most = defaultPage, ...query }) {
      const rows = await store.steps(run, { ...query, limit: most + 1 });
      if (rows.length === 0) await requireRun(run);
      const items = await shownSteps(run, rows.slice(0, most));
      const last = items.at(-1);
      return rows.length > most && last !== undefined ? { items, next: last.id } : { items };
    },
    async step(run, id) {
      const row = await requireStep(run, id);
      const attempts = (await store.attempts(run, id)).map(toAttempt);
      const [shown = toStep(row)] = await shownSteps(run, [row]);
      return {
        ...shown,
        ...{ attempts, inputs: row.inputs ?? {}, codeDigest: row.key_parts?.code ?? null, environmentDigest: environmentDigest(row.key_parts) },
      };
    },
    async debug(run, id) {
      const row = await requireRun(run);
      const found = await debugOf({ projects, compute }, loadedModel(row, await store.allSteps(platform.db, run)), id);
      if (found === undefined) throw notFound("step", id);
      return found;
    },
    async diff(id) {
      const run = await requireRun(id);
      return projects.diff(run.project, run.project_version);
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
      if (!(await store.cancel(id, "The run was cancelled."))) {
        const { state } = await requireRun(run.id);
        throw conflict(`The run ${id} is over: it ${state === "cancelled" ? "was cancelled" : state}.`);
      }
      worker.cancelled(id);
      return toRun(await requireRun(id));
    },
    asked: (run, step) => worker.waits.asked(run, step),
    async approve(run, step, approval, by) {
      await worker.waits.answer(run, step, approval, by);
      return toStep(await requireStep(run, step));
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
      const { state } = await requireStep(id, step);
      const page = await readStepLog(platform, id, step, from);
      const goesOn = state === "waiting" || state === "ready" || state === "running" || state === "asking";
      return { ...page, done: !goesOn && page.lines.length === 0 };
    },
    async artifactFile(id, step, output, file) {
      const artifact = (await store.step(id, step))?.outputs[output];
      const found = artifact?.files.find((f) => f.path === file);
      if (found === undefined) throw notFound("file", `${file}" of the output "${output}" of the step "${step}" of the run "${id}`);
      return found;
    },
    async rows(id, step, output, file) {
      const { digest, size } = await this.artifactFile(id, step, output, file);
      const rows = await firstRows(platform, { digest: asDigest(digest), size });
      if (rows === undefined) throw invalid(`The file "${file}" can't be read as a Parquet file.`);
      return rows;
    },
    workers: worker.workers,
    running: views.running,
    async timeline(id) {
      const timeline = await views.timeline(id);
      if (timeline === undefined) throw notFound("run", id);
      return timeline;
    },
    async averages(pipeline) {
      await projects.require("pipeline", pipeline);
      return views.averages(pipeline);
    },
    launch: worker.launch,
    stop: worker.stop,
  };
}

function same(run: RunRow, pipeline: string): Run {
  if (run.pipeline !== pipeline) throw conflict(`The run ${run.id} is one of the pipeline "${run.pipeline}".`);
  return toRun(run);
}
/** Of params that a base had, those that the pipeline has still. */
function known(spec: RunRow["spec"], params: RunRow["params"]): RunRow["params"] {
  return Object.fromEntries(Object.entries(params).filter(([name]) => spec.params.some((param) => param.name === name)));
}
