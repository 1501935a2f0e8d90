/** Endpoints in every state that a screen shows, made up in the shapes of the API. */
import type {
  Endpoint,
  InferenceGraph,
  Prediction,
  PredictionExplanation,
  Replay,
  Rollout,
  RolloutDetail,
  RolloutEvent,
  RolloutNumbers,
} from "@millrace/sdk/api";
import { clock, endpoints as plain, rollouts as plainRollouts, predictions } from "./fixtures";

const now = Date.parse(clock.now);
const ago = (hours: number): string => new Date(now - hours * 3_600_000).toISOString();
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const numbers = (version: number, requests: number, more: Partial<RolloutNumbers> = {}): RolloutNumbers => ({
  ...{ version, requests, errors: 0, rows: requests, p50Ms: 1.94, p99Ms: 6.21, compared: 0, agreed: 0, meanDifference: null, dropped: 0 },
  ...more,
});
const rollout: Rollout = {
  ...{ id: "r2", endpoint: "delay", kind: "canary", candidate: 3, stable: 2, arms: [{ version: 3, weight: 0.1 }], state: "running", weight: 0.1, step: 1 },
  ...{ steps: 4, by: "millrace", startedAt: ago(3), stepStartedAt: ago(1), pausedAt: null, finishedAt: null, reason: null, result: null },
  ...{ requests: 412, errors: 2 },
};
const canary: RolloutDetail = {
  ...rollout,
  plan: {
    kind: "canary",
    steps: [0.01, 0.1, { weight: 0.5, each: "12h", hold: true }, 1],
    each: "2h",
    judge: [
      { kind: "error_rate_below", share: 0.01, minRequests: 100 },
      { kind: "latency_below", quantile: 0.99, ratio: 1.2, minRequests: 100 },
      { kind: "loss_not_worse", loss: { kind: "brier" }, by: 0.01, alpha: 0.05 },
    ],
  },
  planSteps: [
    { weight: 0.01, copied: 0, each: "2h", hold: false },
    { weight: 0.1, copied: 0, each: "2h", hold: false },
    { weight: 0.5, copied: 0, each: "12h", hold: true },
    { weight: 1, copied: 0, each: "2h", hold: false },
  ],
  ...{ dueAt: ago(-1), needed: null, versions: [numbers(2, 4_120), numbers(3, 412, { errors: 2, p99Ms: 7.4 })] },
};
const promoted: RolloutDetail = {
  ...(plainRollouts[1] ?? rollout),
  ...{ plan: { kind: "switch" }, planSteps: [], dueAt: null, needed: null, versions: [] },
};
const shadow: RolloutDetail = {
  ...{ ...rollout, id: "s1", endpoint: "fraud_by_card_and_country_of_issue_without_features", kind: "shadow", arms: [], weight: 0, step: 0, steps: 1 },
  ...{ candidate: 12, stable: 11, by: "a.person.with.a.long.address@department.example.org", stepStartedAt: ago(30), startedAt: ago(30) },
  plan: { kind: "shadow", share: 0.2, each: "1d", passed: "wait", judge: [{ kind: "agreement_above", share: 0.95, within: 0.01, minRows: 1_000 }] },
  planSteps: [{ weight: 0, copied: 0.2, each: "1d", hold: true }],
  result: { winner: 12, valid: true, needed: 0, arms: [], why: "97.4% of 18,211 answers are within 0.01 of what was answered, above the bound of 95%." },
  ...{
    dueAt: ago(6),
    needed: null,
    versions: [numbers(11, 91_430), numbers(12, 18_211, { compared: 18_211, agreed: 17_738, meanDifference: 0.0031, dropped: 44 })],
  },
};
const experiment: RolloutDetail = {
  ...{ ...rollout, id: "e1", endpoint: "offers", kind: "experiment", candidate: 5, stable: 3, weight: 0.5, step: 0, steps: 0 },
  arms: [
    { version: 4, weight: 0.25 },
    { version: 5, weight: 0.25 },
  ],
  plan: {
    kind: "experiment",
    arms: [
      { alias: "cautious", weight: 0.25 },
      { alias: "bold", weight: 0.25 },
    ],
    metric: { kind: "label", goal: "increase", from: 0, to: 1 },
    ...{ effect: 0.01, alpha: 0.05, power: 0.8, test: "fixed", promote: false },
  },
  result: {
    ...{ winner: 5, valid: true, needed: 9_400 },
    arms: [
      { version: 3, units: 18_802, mean: 0.1011, difference: null, lower: null, upper: null, p: null },
      { version: 4, units: 9_412, mean: 0.1033, difference: 0.0022, lower: -0.0061, upper: 0.0105, p: 0.55 },
      { version: 5, units: 9_405, mean: 0.1196, difference: 0.0185, lower: 0.0099, upper: 0.0271, p: 0.00002 },
    ],
    why: "v5 is better than the control: 0.1196 (+0.0185, from +0.0099 to +0.0271).",
  },
  ...{ planSteps: [], dueAt: null, needed: 9_400, versions: [numbers(3, 40_211), numbers(4, 20_014), numbers(5, 19_877, { errors: 3 })] },
};
const split: RolloutDetail = {
  ...{ ...experiment, id: "d1", endpoint: "price", kind: "split", result: null, needed: null, pausedAt: null },
  ...{ plan: { kind: "split", weight: 0.25 }, versions: [] },
};
const green: RolloutDetail = {
  ...{ ...rollout, id: "b1", endpoint: "green", kind: "blue_green", arms: [{ version: 3, weight: 1 }], weight: 1, step: 0, steps: 1, pausedAt: ago(0.5) },
  ...{
    plan: { kind: "blue_green", watch: "4h", judge: [] },
    planSteps: [{ weight: 1, copied: 0, each: "4h", hold: false }],
    dueAt: ago(-3),
    needed: null,
    versions: [numbers(3, 812)],
  },
};
const details = [canary, promoted, shadow, experiment, split, green];
const plainOf = ({ plan: _, planSteps: _steps, dueAt: __, needed: ___, versions: ____, ...of }: RolloutDetail): Rollout => of;

const one = plain[0];
if (one === undefined) throw new Error("fixtures have an endpoint");
const tried = (of: RolloutDetail, more: Partial<Endpoint> = {}): Endpoint => ({
  ...{ ...one, name: of.endpoint, stable: of.stable, candidate: of.candidate, weight: of.weight, rollout: plainOf(of) },
  ...more,
});
export const endpoints: Endpoint[] = [
  tried(canary, { earlier: [1] }),
  tried(shadow, { service: null, model: "fraud_by_card_and_country_of_issue", earlier: [10, 9, 8], predictions: 91_430, errors: 12 }),
  tried(experiment),
  tried(split, { earlier: [] }),
  tried(green, { earlier: [1] }),
  {
    ...{ ...one, name: "loans", candidate: null, weight: 0, rollout: null, earlier: [3, 2], stable: 4, fallback: { probability: 0.5 } },
    killed: { at: ago(0.2), by: "anna", reason: "The rates of the central bank arrive doubled since this morning." },
  },
  {
    ...{ ...one, name: "never_asked", project: "shop", model: "basket", service: null, stable: null, candidate: null, weight: 0, rollout: null, earlier: [] },
    ...{ requestsPerSecond: 0, latency: { p50Ms: null, p99Ms: null }, predictions: 0 },
  },
];
export const rolloutsOf = (endpoint: string): Rollout[] => details.filter((of) => of.endpoint === endpoint).map(plainOf);
export const rolloutOf = (endpoint: string, id: string): RolloutDetail | undefined => details.find((of) => of.endpoint === endpoint && of.id === id);

const event: RolloutEvent = {
  ...{ id: "40", endpoint: "delay", rollout: "r2", kind: "advanced", at: ago(1), by: "millrace", version: 3, weight: 0.1 },
  reason: "It failed 0 of 40 requests (0%), below the bound of 1%. Its p99 is 6.90 ms, that of the stable version 6.21 ms: 1.11 times, below the bound of 1.2.",
  numbers: {
    v2: { requests: 4_012, errors: 0, rows: 4_012, p50_ms: 1.94, p99_ms: 6.21 },
    v3: { requests: 40, errors: 0, rows: 40, p50_ms: 2.01, p99_ms: 6.9 },
  },
};
export const history = (endpoint: string, rollout: string | null): RolloutEvent[] =>
  endpoint !== "delay"
    ? []
    : [
        event,
        { ...event, id: "39", kind: "started" as const, at: ago(3), weight: 0.01, reason: "1% of the traffic for at least 2h.", numbers: {} },
        {
          ...event,
          id: "21",
          rollout: null,
          kind: "revived" as const,
          at: ago(90),
          by: "anna",
          version: null,
          weight: null,
          reason: "It was the proxy.",
          numbers: {},
        },
        {
          ...event,
          id: "20",
          rollout: null,
          kind: "killed" as const,
          at: ago(91),
          by: "anna",
          version: null,
          weight: null,
          reason: "Scores of 0 only",
          numbers: {},
        },
        {
          ...event,
          id: "9",
          rollout: "r1",
          kind: "rolled_back" as const,
          at: ago(400),
          version: 2,
          reason: "Its p99 is 31.20 ms, not below the bound of 30 ms.",
          numbers: {},
        },
      ].filter((of) => rollout === null || of.rollout === rollout);

const image = { pixels: range(784).map((i) => (i % 28) / 28), note: "ø" };
const tensors: Prediction[] = predictions.slice(0, 60).map((of, i) => ({
  ...{ ...of, id: `scan-${i}`, endpoint: shadow.endpoint, model: "fraud_by_card_and_country_of_issue", version: 11, request: {}, features: {}, label: null },
  ...{
    inputs: image,
    outputs: { probabilities: [0.25, 0.75], class: "fraud" },
    key: i === 0 ? "card 4711" : null,
    rollout: i === 0 ? "s1" : null,
    prediction: 3.2 + (i % 9),
  },
  route: ["stable", "shadow", "pinned", "fallback", "arm", "control"][i % 6] ?? "stable",
}));
const killed: Prediction[] = predictions.slice(0, 3).map((of, i) => ({
  ...{ ...of, id: `off-${i}`, endpoint: "loans", version: 0, route: "killed", features: {}, outputs: { probability: 0.5 }, prediction: 0.5, label: null },
}));
const all = [...predictions, ...tensors, ...killed];
export const predictionsOf = (endpoint: string): Prediction[] => all.filter((of) => of.endpoint === endpoint);
export const predictionOf = (id: string): Prediction | undefined => all.find((of) => of.id === id);

export const replay: Replay = {
  ...{ id: "f-1", endpoint: "delay", model: "delay", version: 2, same: false, difference: 0.25 },
  ...{ logged: { probability: 0.5 }, replayed: { probability: 0.75 } },
};
export const explanation: PredictionExplanation = {
  ...{ endpoint: "delay", model: "delay", version: 2, method: "sampled", output: { name: "probabilities", index: 1 }, scale: "log_odds" },
  ...{ value: 0.412, base: -1.21, background: { from: "training", rows: 100 }, rest: 0.012 },
  attributions: [
    { feature: "origin_late_7d", value: 0.2713, attribution: 1.31, standardError: 0.04 },
    { feature: "plane_age", value: 14, attribution: -0.22, standardError: 0.03 },
    { feature: "origin_late_3h", value: null, attribution: 0.52, standardError: 0.05 },
  ],
};

export const graphs: InferenceGraph[] = [
  {
    ...{ name: "arrivals", project: "flights", version: 3, ready: true, reason: null },
    node: {
      kind: "sequence",
      nodes: [
        { kind: "transform", name: "widen", bundle: "graphs.ts:12", in: { distance: "FP64" }, out: { X: "FP32" } },
        {
          kind: "ensemble",
          combine: "mean",
          members: [
            { name: "trees", node: { kind: "endpoint", endpoint: "delay" }, weight: 3 },
            { name: "linear", node: { kind: "endpoint", endpoint: "green", inputs: { X: "x" } }, weight: 1 },
          ],
        },
        { kind: "transform", name: "reason_codes_for_customers_in_words", bundle: "graphs.ts:20", in: { probability: "FP64" }, out: { reason: "BYTES" } },
      ],
    },
  },
  {
    ...{ name: "baskets", project: "shop", version: 1, ready: false, reason: 'The endpoint "never_asked" of the graph has no version to answer with yet.' },
    node: { kind: "endpoint", endpoint: "never_asked" },
  },
];
