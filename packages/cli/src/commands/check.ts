/** What CI asks of a project before it is merged: types, definitions, unit tests, and its pipelines on a small sample, with no server that it would need. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { CheckSpec } from "@millrace/sdk";
import type { ProjectSpec } from "@millrace/sdk/spec";
import { type Baseline, baselineOf } from "../check/baseline.js";
import { compared, markdownOf } from "../check/markdown.js";
import { openRehearsal } from "../check/rehearsal.js";
import { type Case, type CheckReport, type Collector, collector, stops, tally } from "../check/result.js";
import { runCheck } from "../check/run.js";
import { checkTypes } from "../check/types.js";
import { unitTests } from "../check/unit.js";
import { CliError, exit } from "../errors.js";
import { junitOfCases } from "../junit.js";
import { duration, print, printJson, tell } from "../output.js";
import { type Compiled, compileProject } from "../project/compile.js";
import { entryOf } from "../project/load.js";
import { terminal } from "./run.js";
import { untilAsked } from "./up.js";

export interface CheckOptions {
  junit?: string;
  markdown?: string;
  json?: boolean;
  against?: string;
  token?: string;
  only: string[];
}

export async function check(given: string, options: CheckOptions): Promise<void> {
  const folder = path.resolve(given);
  // What is no project at all is told before anything is begun, and so is a report to compare with that is none.
  entryOf(folder);
  const against = options.against === undefined ? undefined : await baselineOf(options.against, options.token);
  const told = teller(options.json === true);
  const stopping = new AbortController();
  // Whoever ends it early leaves nothing behind: neither processes nor folders.
  void untilAsked().then(() => stopping.abort());
  // So does who reads no more of what it says, as a CI that cancels a job.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => stopping.abort());
  const began = performance.now();
  const startedAt = new Date().toISOString();
  const found = collector(told.one);
  const report: CheckReport = { project: path.basename(folder), commit: null, dirty: false, startedAt, ms: 0, cases: found.cases, pipelines: [] };
  await checkAll(folder, options.only, found, report, told.now, stopping.signal);
  told.done();
  report.ms = performance.now() - began;
  await write(report, against, options);
  if (options.json) printJson(report);
  else print(summary(report));
  if (stopping.signal.aborted) process.exitCode = exit.cancelled;
  else if (tally(found.cases, "failed") > 0) process.exitCode = exit.failed;
  else if (tally(found.cases, "refused") > 0) process.exitCode = exit.refused;
  // A library's timer or socket must not keep what is done alive.
  process.exit();
}

async function checkAll(folder: string, only: readonly string[], found: Collector, report: CheckReport, now: (line: string) => void, signal: AbortSignal) {
  if (only.length === 0) await checkTypes(folder, found, signal);
  const compiled = await found.timed("project", "definitions", async () => {
    const value = await compileProject(folder);
    return { value, message: contents(value.spec, value.checks) };
  });
  if (only.length === 0) await unitTests(folder, found, signal);
  if (compiled === undefined || signal.aborted) return;
  report.project = compiled.spec.name;
  report.commit = compiled.spec.source?.commit ?? null;
  report.dirty = compiled.spec.source?.dirty ?? false;
  const checks = checksOf(compiled, only, found);
  if (checks.length === 0) return;
  now("the sample is taken, and a server is started for it");
  const rehearsal = await openRehearsal(folder, compiled, compiled.checks, found);
  if (rehearsal === undefined) return;
  const stop = () => void rehearsal.stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    for (const one of checks) {
      if (signal.aborted) return;
      const lacking = lacks(one, compiled.spec, rehearsal.empty);
      if (lacking === undefined) report.pipelines.push(await runCheck(rehearsal, one, found, now));
      else found.add({ group: one.name, name: "runs on the sample", state: compiled.checks.includes(one) ? "failed" : "skipped", ms: 0, message: lacking });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    await rehearsal.stop();
  }
}

/** Those that are declared, and for every other pipeline one with its defaults. */
function checksOf({ spec, checks }: Compiled, only: readonly string[], found: Collector): CheckSpec[] {
  const all = [...checks];
  for (const pipeline of spec.pipelines) {
    if (checks.some((one) => one.pipeline === pipeline.name)) continue;
    const open = pipeline.params.filter((param) => param.default === undefined).map(({ name }) => name);
    const wanted = only.length === 0 || only.includes(pipeline.name);
    if (open.length === 0) all.push({ name: pipeline.name, pipeline: pipeline.name, params: {}, sample: {}, data: {}, artifacts: {}, metrics: {} });
    else if (wanted) {
      const message = `it needs ${open.join(", ")}: say it with check({ run: …, params: { ${open[0]}: … } })`;
      found.add({ group: pipeline.name, name: "runs on the sample", state: "skipped", ms: 0, message });
    }
  }
  const strange = only.find((name) => !all.some((one) => one.name === name) && !spec.pipelines.some((one) => one.name === name));
  if (strange !== undefined)
    throw new CliError(`There is no check and no pipeline "${strange}"; there is ${all.map(({ name }) => name).join(", ")}.`, exit.usage);
  return only.length === 0 ? all : all.filter(({ name }) => only.includes(name));
}

/** Why a pipeline can't be run: a dataset that it reads has no rows. */
function lacks(check: CheckSpec, spec: ProjectSpec, empty: ReadonlyMap<string, string>): string | undefined {
  const pipeline = spec.pipelines.find(({ name }) => name === check.pipeline);
  const read = new Set([...JSON.stringify(pipeline?.nodes ?? []).matchAll(/"dataset":"([^"]+)"/g)].map(([, name = ""]) => name));
  for (const [name, why] of empty) if (read.has(name)) return `it reads the dataset "${name}": ${why}`;
  return undefined;
}

function contents(spec: ProjectSpec, checks: readonly CheckSpec[]): string {
  const counts: [number, string][] = [
    [spec.datasets.length, "datasets"],
    [spec.schemas.length, "schemas"],
    [spec.featureViews.length, "feature views"],
    [spec.featureServices.length, "feature services"],
    [spec.pipelines.length, "pipelines"],
    [spec.endpoints.length, "endpoints"],
    [spec.environments?.length ?? 0, "environments"],
    [checks.length, "checks"],
  ];
  return counts.flatMap(([n, what]) => (n === 0 ? [] : `${n} ${n === 1 ? what.replace(/s$/, "") : what}`)).join(", ");
}

async function write(report: CheckReport, against: Baseline | undefined, { junit, markdown }: CheckOptions): Promise<void> {
  const before = markdown === undefined ? new Map() : await compared(report, against, tell);
  const files: [string | undefined, () => string][] = [
    [junit, () => junitOfCases(report)],
    [markdown, () => markdownOf(report, before, against?.what)],
  ];
  for (const [file, text] of files) {
    if (file === undefined) continue;
    await mkdir(path.dirname(path.resolve(file)), { recursive: true });
    await writeFile(file, text());
  }
}

const quietMs = 15_000;
const marks = { passed: "ok", failed: "FAILED", refused: "REFUSED", warned: "warning", skipped: "skipped" } as const;
function teller(json: boolean): { one(one: Case): void; now(line: string): void; done(): void } {
  const { told, done } = json ? { told: { say: tell }, done: () => {} } : terminal();
  // Where no line can take the place of another, as in a CI's log, a word now and then.
  let lately = performance.now();
  const seldom = (line: string): void => {
    if (performance.now() - lately < quietMs) return;
    lately = performance.now();
    tell(line);
  };
  const now = "now" in told ? (told.now ?? seldom) : seldom;
  let group = "";
  return {
    now,
    done,
    one(one) {
      if (one.group !== group) told.say(one.group);
      group = one.group;
      const took = one.ms >= 1 ? duration(one.ms) : "";
      told.say(`  ${marks[one.state].padEnd(8)} ${[one.name, took, one.message ?? ""].filter((part) => part !== "").join(" · ")}`);
      if (stops(one)) for (const line of one.details ?? []) told.say(`             ${line}`);
    },
  };
}

function summary({ cases, ms }: CheckReport): string {
  const of = (state: Case["state"], word: string) => (tally(cases, state) === 0 ? [] : [`${tally(cases, state)} ${word}`]);
  return [...of("passed", "passed"), ...of("failed", "failed"), ...of("refused", "refused"), ...of("warned", "warn"), ...of("skipped", "skipped")]
    .join(", ")
    .concat(` after ${duration(ms)}`);
}
