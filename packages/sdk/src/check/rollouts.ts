import type { EndpointSpec, JudgeSpec } from "../spec.js";
import { checkDuration, type Report, reporter, unknown } from "./report.js";

/** What the form of an endpoint's rollout does not say, as texts for whoever gave it. */
export function rolloutProblems(endpoint: EndpointSpec, columns: readonly string[] | undefined): string[] {
  const { report, problems } = reporter();
  checkRollout(endpoint, columns, report);
  return problems.map(({ message }) => message);
}

/** What the form of a rollout does not say. `columns`: those that its requests have, where that is known. */
export function checkRollout(endpoint: EndpointSpec, columns: readonly string[] | undefined, report: Report): void {
  const { rollout } = endpoint;
  const of = `the rollout of the endpoint "${endpoint.name}"`;
  const told = (message: string) => report(endpoint, message);
  if ("stickyBy" in rollout && columns !== undefined) {
    for (const column of rollout.stickyBy ?? []) {
      if (!columns.includes(column)) told(`"stickyBy" of ${of}: ${unknown("column of a request", column, columns)}`);
    }
  }
  if ("judge" in rollout) for (const judge of rollout.judge) checkJudge(judge, of, rollout.kind === "shadow", told);
  switch (rollout.kind) {
    case "canary": {
      const weights = rollout.steps.map((step) => (typeof step === "number" ? step : step.weight));
      if (weights.some((step, index) => !(step > (weights[index - 1] ?? 0) && step <= 1))) {
        told(`${of} has the steps ${weights.map((step) => `${step * 100}%`).join(", ")}: each takes more than the one before, at most 100%`);
      } else if (weights.at(-1) !== 1) told(`${of} ends with ${(weights.at(-1) ?? 0) * 100}%: the last step is "100%"`);
      checkDuration(`"each" of ${of}`, rollout.each, endpoint, report);
      for (const step of rollout.steps) if (typeof step !== "number") checkDuration(`"each" of a step of ${of}`, step.each, endpoint, report);
      return;
    }
    case "blue_green":
      checkDuration(`"watch" of ${of}`, rollout.watch, endpoint, report);
      return;
    case "shadow":
      checkDuration(`"each" of ${of}`, rollout.each, endpoint, report);
      return;
    case "split":
      return;
    case "experiment": {
      const { arms, metric } = rollout;
      const whole = arms.reduce((sum, arm) => sum + arm.weight, 0);
      if (whole >= 1)
        told(`the arms of ${of} have ${Number((whole * 100).toFixed(2))}% of the traffic together: the stable version, the control, needs a part too`);
      if (new Set(arms.map((arm) => arm.alias)).size < arms.length) told(`${of} names an alias twice`);
      if (arms.some((arm) => arm.alias === "champion")) told(`${of} has the arm "champion": that is the control, which is there by itself`);
      if (metric.kind === "label" && !(metric.from < metric.to))
        told(`the metric of ${of} is from ${metric.from} to ${metric.to}: the first is the smaller one`);
    }
  }
}

/** An endpoint with features answers a probability and nothing else. */
export function checkFallback(endpoint: EndpointSpec, report: Report): void {
  const { fallback, service, name } = endpoint;
  if (fallback === undefined) return;
  const { probability, ...rest } = fallback;
  if (Object.keys(fallback).length === 0) report(endpoint, `the fallback of the endpoint "${name}" has no output: give each a value`);
  else if (service !== undefined && (Object.keys(rest).length > 0 || typeof probability !== "number" || !(probability >= 0 && probability <= 1)))
    report(endpoint, `the fallback of the endpoint "${name}" is { probability: … } with a number from 0 to 1, as its answers are`);
}

function checkJudge(judge: JudgeSpec, of: string, isShadow: boolean, told: (message: string) => void): void {
  if (judge.kind === "latency_below" && (judge.ms === undefined) === (judge.ratio === undefined))
    told(`a judge of the latency in ${of} has ${judge.ms === undefined ? "neither a bound nor a ratio" : "both a bound and a ratio"}: give one of them`);
  if (judge.kind === "agreement_above" && !isShadow)
    told(`${of} has a judge of the agreement: both versions answer the same requests only where one is a shadow`);
}
