import type { EvaluationReport, GateResult, Metrics } from "@millrace/sdk/api";
import type { GateSpec } from "@millrace/sdk/spec";

const metricNames = ["auc", "log_loss", "brier", "calibration_error"] as const;
type MetricName = (typeof metricNames)[number];
/** Rounding of binary fractions must not decide: 0.702 − 0.7 is a little less than 0.002. */
const tolerance = 1e-12;
const shownSlices = 5;

/** Judges each gate by the report, in order. A metric that is unknown or that could not be measured fails its gate. */
export function judgeGates(gates: GateSpec[], report: EvaluationReport): GateResult[] {
  return gates.map((gate) => ({ gate: gateName(gate), severity: gate.severity ?? "block", ...judge(gate, report) }));
}

type Verdict = Pick<GateResult, "passed" | "message">;

export function gateName(gate: GateSpec): string {
  switch (gate.kind) {
    case "better":
      return `${gate.metric} better by ${gate.by}`;
    case "no_slice_worse":
      return `${gate.metric} of no slice worse by ${gate.by}`;
    case "at_least":
      return `${gate.metric} at least ${gate.value}`;
    case "at_most":
      return `${gate.metric} at most ${gate.value}`;
    case "same_as_trained":
      return `same as trained within ${gate.within}`;
    case "latency":
      return `p99 at most ${gate.p99Ms} ms`;
  }
}

function judge(gate: GateSpec, report: EvaluationReport): Verdict {
  switch (gate.kind) {
    case "better":
      return withMetric(gate.metric, (metric) => better(metric, gate.by, report));
    case "no_slice_worse":
      return withMetric(gate.metric, (metric) => noSliceWorse(metric, gate.by, gate.minRows, report));
    case "at_least":
      return withMetric(gate.metric, (metric) => bound(metric, report.candidate[metric], gate.value, "at least"));
    case "at_most":
      return withMetric(gate.metric, (metric) => bound(metric, report.candidate[metric], gate.value, "at most"));
    case "same_as_trained":
      return sameAsTrained(gate.within, report.parity);
    case "latency": {
      const p99 = report.latency.p99Ms;
      const passed = p99 <= gate.p99Ms;
      return { passed, message: `One row takes ${shown(p99)} ms at the 99th percentile; the bound is ${gate.p99Ms} ms.` };
    }
  }
}

function withMetric(name: string, verdict: (metric: MetricName) => Verdict): Verdict {
  const metric = metricNames.find((known) => known === name);
  return metric === undefined ? { passed: false, message: `There is no metric "${name}". Known are ${metricNames.join(", ")}.` } : verdict(metric);
}

/** How much better `candidate` is: `auc` is better when larger, the others when smaller. */
function gain(metric: MetricName, candidate: number, champion: number): number {
  return metric === "auc" ? candidate - champion : champion - candidate;
}

function better(metric: MetricName, by: number, { candidate, champion, championVersion }: EvaluationReport): Verdict {
  const value = candidate[metric];
  if (value === null) return notMeasured(metric, candidate);
  if (champion === null) return { passed: true, message: `The candidate's ${metric} is ${shown(value)}; there is no champion to compare with.` };
  const other = champion[metric];
  if (other === null) return notMeasured(metric, champion);
  const difference = gain(metric, value, other);
  const passed = difference >= by - tolerance;
  const who = championVersion === null ? "the champion's" : `the champion's (${championVersion})`;
  const verdict = difference < 0 ? `worse by ${shown(-difference)}` : `better by ${shown(difference)}`;
  return { passed, message: `The candidate's ${metric} is ${shown(value)}, ${who} ${shown(other)}: ${verdict}; asked is better by at least ${by}.` };
}

function noSliceWorse(metric: MetricName, by: number, minRows: number, report: EvaluationReport): Verdict {
  if (report.champion === null) return { passed: true, message: "There is no champion to compare slices with." };
  const losses: { name: string; loss: number; candidate: number; champion: number; rows: number }[] = [];
  for (const { column, value, candidate, champion } of report.slices) {
    const mine = candidate[metric];
    const theirs = champion?.[metric] ?? null;
    if (candidate.rows < minRows || mine === null || theirs === null) continue;
    losses.push({ name: `${column} = ${value}`, loss: -gain(metric, mine, theirs), candidate: mine, champion: theirs, rows: candidate.rows });
  }
  losses.sort((a, b) => b.loss - a.loss);
  const [worst] = losses;
  if (worst === undefined) return { passed: true, message: `No slice has the ${minRows} rows of both classes that a comparison needs.` };
  const failing = losses.filter((s) => s.loss > by + tolerance);
  const describe = (s: (typeof losses)[number]) =>
    `${s.name} (${s.rows} rows): ${metric} ${shown(s.candidate)} against ${shown(s.champion)}, ${s.loss > 0 ? `worse by ${shown(s.loss)}` : `better by ${shown(-s.loss)}`}`;
  if (failing.length === 0) {
    return { passed: true, message: `Of ${losses.length} slices none is worse by more than ${by}; the least good is ${describe(worst)}.` };
  }
  const more = failing.length > shownSlices ? `; and ${failing.length - shownSlices} more` : "";
  const list = failing.slice(0, shownSlices).map(describe).join("; ");
  return { passed: false, message: `${failing.length} of ${losses.length} slices are worse by more than ${by}: ${list}${more}.` };
}

function bound(metric: MetricName, value: number | null, limit: number, side: "at least" | "at most"): Verdict {
  if (value === null) return { passed: false, message: `The candidate's ${metric} could not be measured.` };
  const passed = side === "at least" ? value >= limit - tolerance : value <= limit + tolerance;
  return { passed, message: `The candidate's ${metric} is ${shown(value)}; asked is ${side} ${limit}.` };
}

function sameAsTrained(within: number, parity: EvaluationReport["parity"]): Verdict {
  if (parity === null) {
    return { passed: false, message: "The training step wrote no parity.parquet beside the model, so the exported model could not be compared with it." };
  }
  const passed = parity.maxDifference <= within;
  return {
    passed,
    message: `On ${parity.rows} rows the exported model differs from the trained one by at most ${shown(parity.maxDifference)}; asked is within ${within}.`,
  };
}

function notMeasured(metric: MetricName, of: Metrics): Verdict {
  return { passed: false, message: `${metric} could not be measured: of ${of.rows} rows ${of.positives} are positive, and both classes are needed.` };
}

/** Five significant digits: enough to see what decided. */
function shown(value: number): string {
  return value === 0 ? "0" : String(Number(value.toPrecision(5)));
}
