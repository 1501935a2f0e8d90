/** What a rollout's plan says, in words. */
import type { RolloutDetail } from "@millrace/sdk/api";
import type { JudgeSpec } from "@millrace/sdk/spec";
import { count, share, words } from "../format";

type Plan = RolloutDetail["plan"];
/** The conditions under which it goes on. */
export const judgesOf = (plan: Plan): readonly JudgeSpec[] => ("judge" in plan ? plan.judge : []);

export const percent = (of: number): string => share(of, Number.isInteger(Number((of * 100).toFixed(6))) ? 0 : 1);

export function judgeInWords(judge: JudgeSpec): string {
  switch (judge.kind) {
    case "error_rate_below":
      return `errors below ${percent(judge.share)}, of ${count(judge.minRequests)} requests or more`;
    case "latency_below": {
      const bound = judge.ms === undefined ? `${judge.ratio ?? 1} times the stable version's` : `${judge.ms} ms`;
      return `p${Number((judge.quantile * 100).toFixed(1))} below ${bound}, of ${count(judge.minRequests)} requests or more`;
    }
    case "drift_below":
      return `PSI of the answers below ${judge.psi}, of ${count(judge.minRows)} rows or more`;
    case "metric_not_worse":
      return `${words(judge.metric)} not worse by more than ${judge.by}, on ${count(judge.minLabels)} labels or more`;
    case "loss_not_worse":
      return `${words(judge.loss.kind)} not worse by ${judge.by}, looked at with each label, with ${percent(1 - judge.alpha)} confidence`;
    case "agreement_above":
      return `${percent(judge.share)} of the answers within ${judge.within}, of ${count(judge.minRows)} rows or more`;
  }
}

export function aboutPlan({ plan, stable }: Pick<RolloutDetail, "plan" | "stable">): string {
  switch (plan.kind) {
    case "canary":
      return "More of the traffic step by step, as long as the judges are content.";
    case "blue_green":
      return `All of the traffic at once, watched for ${plan.watch}; version ${stable ?? "–"} is ready to come back.`;
    case "shadow":
      return `Copies of ${percent(plan.share)} of the requests: compared with what was answered, never returned. ${
        plan.passed === "wait" ? "Then a person decides." : "Then it takes over by itself."
      }`;
    case "split":
      return "Fixed parts of the traffic until a person decides.";
    case "experiment":
      return `${metricOf(plan)}. ${plan.test === "fixed" ? "Nothing is said before the sample is whole." : "Looked at with each label."} ${
        plan.promote ? "A version that wins takes over by itself." : "Then a person decides."
      }`;
    case "switch":
      return "All of the traffic at once, because somebody said so.";
  }
}
const metricOf = ({ metric, effect, alpha, power }: Extract<Plan, { kind: "experiment" }>): string =>
  `${metric.kind === "label" ? `The label is to ${metric.goal}` : `The ${words(metric.loss.kind)} is to decrease`} by ${effect} or more, found with ${percent(
    power,
  )} power at ${percent(1 - alpha)} confidence`;
