import { durationMs } from "../duration.js";
import { hasToken, scheduledUnits, unitOf, wrongUnits } from "../scheduled.js";
import type { ParamSpec, PipelineSpec, PlainValue, ProjectSpec, ScheduleSpec } from "../spec.js";
import { cronProblem } from "./cron.js";
import { wrongValue } from "./params.js";
import { type Report, unknown } from "./report.js";
import { isZone } from "./serving.js";

const names = (list: readonly { name: string }[]): string[] => list.map((one) => one.name);

export function checkSchedules(spec: ProjectSpec, report: Report): void {
  for (const one of spec.schedules ?? []) for (const problem of scheduleProblems(one, spec.pipelines)) report(one, `the schedule "${one.name}": ${problem}`);
}

/** What is wrong with a schedule beyond its form. */
export function scheduleProblems(schedule: ScheduleSpec, pipelines: readonly PipelineSpec[]): string[] {
  const problems: string[] = [];
  const pipeline = pipelines.find((one) => one.name === schedule.pipeline);
  if (pipeline === undefined) problems.push(unknown("pipeline", schedule.pipeline, names(pipelines)));
  else problems.push(...paramProblems(pipeline, schedule.params ?? {}, [], wrongScheduled));
  const cron = cronProblem(schedule.cron);
  if (cron !== undefined) problems.push(cron);
  if (!isZone(schedule.zone)) problems.push(`"${schedule.zone}" is no time zone, as "America/New_York" is one`);
  if (schedule.catchUpLimit !== undefined && schedule.catchUp !== "all")
    problems.push(`the limit ${schedule.catchUpLimit} is of a catch-up of all, and "catchUp" is "${schedule.catchUp ?? "last"}"`);
  if (schedule.jitter !== undefined) {
    const ms = isDuration(schedule.jitter) ? durationMs(schedule.jitter) : undefined;
    if (ms === undefined) problems.push(`"jitter" is "${schedule.jitter}": write a whole number and one of ms, s, m, h, d, w, as in "10m"`);
    else if (ms > 86_400_000) problems.push(`"jitter" is "${schedule.jitter}": it is at most a day`);
  }
  return problems;
}

/** What is wrong with values for a pipeline's params; of those that are `given` elsewhere none is missing. */
export function paramProblems(
  pipeline: PipelineSpec,
  values: Readonly<Record<string, PlainValue>>,
  elsewhere: readonly string[],
  wrong: (param: ParamSpec, value: PlainValue) => string | undefined = wrongValue,
): string[] {
  const problems: string[] = [];
  for (const [name, value] of Object.entries(values)) {
    const param = pipeline.params.find((one) => one.name === name);
    if (param === undefined) problems.push(unknown(`param of "${pipeline.name}"`, name, names(pipeline.params)));
    const problem = param === undefined ? undefined : wrong(param, value);
    if (problem !== undefined) problems.push(`the param "${name}" is ${problem}`);
  }
  for (const { name, default: usual } of pipeline.params) {
    if (usual === undefined && values[name] === undefined && !elsewhere.includes(name))
      problems.push(`the pipeline "${pipeline.name}" needs its param "${name}", which has no default`);
  }
  return problems;
}

function wrongScheduled(param: ParamSpec, value: PlainValue): string | undefined {
  if (typeof value !== "string" || !hasToken(value)) return wrongValue(param, value);
  const [unit] = wrongUnits(value);
  if (unit !== undefined) return `"${value}", and "${unit}" is no part of a moment: there is ${scheduledUnits.join(", ")}`;
  if (param.type === "string") return undefined;
  if (param.type === "month" && unitOf(value) === "month") return undefined;
  return `"${value}", which is not ${param.type === "month" ? "a month: write {scheduled:month}" : `of the type ${param.type}`}`;
}

const isDuration = (text: string): boolean => /^[0-9]+(ms|s|m|h|d|w)$/.test(text);
