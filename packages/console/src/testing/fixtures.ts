/** What a small platform would answer in the middle of a year: made up, in the shapes of the API. */
import type {
  Dataset,
  DatasetVersion,
  DatasetVersionDetail,
  Endpoint,
  EvaluationReport,
  Event,
  FeatureService,
  FeatureView,
  Firing,
  Lineage,
  Metrics,
  Model,
  ModelVersionDetail,
  Monitor,
  MonitorCheck,
  Performance,
  Pipeline,
  Prediction,
  Rollout,
  Run,
  RunDetail,
  Signature,
  StepState,
  Trigger,
} from "@millrace/sdk/api";
import type { PipelineSpec } from "@millrace/sdk/spec";

const hour = 3_600_000;
const now = Date.parse("2013-08-14T06:00:00Z");
const ago = (hours: number): string => new Date(now - hours * hour).toISOString();
const digest = (of: number): string => `sha256:${of.toString(16).padStart(64, "0")}`;
/** 0 to 1, the same on every machine. */
const noise = (i: number): number => {
  const x = Math.sin(i * 12.9898) * 43_758.5453;
  return x - Math.floor(x);
};
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export const clock = { now: ago(0), kind: "replay" };

// ------------------------------------------------------------------------------------------ datasets
const month = (i: number) => `2013-${String(i).padStart(2, "0")}`;
const flightsVersion = (version: number): DatasetVersion => {
  const quarantined = version === 7;
  return {
    dataset: "flights",
    version,
    digest: digest(version),
    status: quarantined ? "quarantined" : "accepted",
    rows: quarantined ? 29_425 : 27_004 * version,
    bytes: 353_896 * version,
    added: {
      digest: digest(100 + version),
      bytes: 353_896,
      rows: 27_004,
      file: `flights-${month(version)}.parquet`,
      partition: month(version),
      from: `${month(version)}-01T10:00:00.000Z`,
      to: `${month(version)}-28T04:00:00.000Z`,
    },
    origin: { kind: "watch", of: "data", by: null, run: null, step: null },
    anomalies: quarantined ? 2 : 0,
    createdAt: ago((8 - version) * 720),
  };
};
export const versions = range(8).map((i) => flightsVersion(8 - i));
export const versionDetail = (version: number): DatasetVersionDetail => {
  const of = flightsVersion(version);
  return {
    ...of,
    parts: range(version).map((i) => flightsVersion(i + 1).added),
    columns: [
      { name: "carrier", type: "VARCHAR" },
      { name: "dep_delay", type: "BIGINT" },
    ],
    report: {
      schema: "flights",
      passed: of.status === "accepted",
      rows: of.rows,
      anomalies:
        of.status === "accepted"
          ? []
          : [
              {
                kind: "range",
                severity: "block",
                column: "dep_delay",
                message: "4,120 rows are above the largest value 1,500.",
                count: 4_120,
                share: 0.14,
                examples: [86_400, 91_020, 120_000],
                rule: "schemas.ts:21",
              },
              {
                kind: "domain",
                severity: "warn",
                column: "carrier",
                message: "Unknown values: ZZ.",
                count: 12,
                share: 0.0004,
                examples: [{ value: "ZZ", count: 12 }],
                rule: null,
              },
            ],
      statistics: [
        {
          name: "carrier",
          type: "string",
          count: 27_004,
          nulls: 0,
          distinct: 16,
          top: [
            { value: "UA", count: 4_637 },
            { value: "B6", count: 4_427 },
          ],
        },
        {
          name: "dep_delay",
          type: "int64",
          count: 26_483,
          nulls: 521,
          distinct: 342,
          min: -30,
          max: 1_301,
          mean: 10.04,
          stddev: 36.4,
          quantiles: [-12, -9, -5, -2, 8, 77, 167],
          histogram: { edges: range(21).map((i) => -30 + i * 66), counts: range(20).map((i) => Math.round(20_000 / (i + 1) ** 2)) },
        },
      ],
    },
  };
};
const plain = { timestamp: null, zone: null, key: [], partition: null, watch: null, pendingRows: 0, readers: [], writers: [] };
export const datasets: Dataset[] = [
  {
    ...plain,
    timestamp: "time_hour",
    partition: { by: "time", each: "month" },
    readers: [{ kind: "pipeline", name: "delay" }],
    name: "flights",
    project: "flights",
    description: "Scheduled flights out of three airports",
    mode: "append",
    schema: "flights",
    latest: flightsVersion(8),
    versions: 7,
    quarantined: 1,
  },
  {
    ...plain,
    name: "planes",
    project: "flights",
    description: "Aircraft by tail number",
    mode: "snapshot",
    schema: null,
    latest: { ...flightsVersion(1), dataset: "planes", rows: 3_322 },
    versions: 1,
    quarantined: 0,
  },
  {
    ...plain,
    name: "weather_hourly",
    project: "flights",
    description: null,
    mode: "append",
    schema: "weather_hourly",
    latest: null,
    versions: 0,
    quarantined: 0,
  },
];
export const featureViews: FeatureView[] = [
  {
    name: "origin_delays",
    project: "flights",
    kind: "window",
    tags: [],
    dataset: "flights",
    sql: null,
    timestamp: "time_hour",
    created: null,
    ttl: null,
    materialize: null,
    services: ["delay_features"],
    entity: "origin",
    keys: ["origin"],
    features: [
      { name: "origin_late_3h", type: "float64" },
      { name: "origin_late_7d", type: "float64" },
    ],
    onlineRows: 45_558,
    newest: ago(1),
  },
  {
    name: "weather",
    project: "flights",
    kind: "latest",
    tags: [],
    dataset: "flights",
    sql: null,
    timestamp: "time_hour",
    created: null,
    ttl: null,
    materialize: null,
    services: ["delay_features"],
    entity: "origin",
    keys: ["origin"],
    features: [{ name: "temp", type: "float64", unit: "F" }],
    onlineRows: 4_236,
    newest: ago(2),
  },
];

export const featureServices: FeatureService[] = [
  {
    ...{ name: "delay_features", project: "flights", tags: ["delays"], owner: "anna", timestamp: "sched_dep" },
    request: [{ name: "sched_dep", type: "timestamp" }],
    views: ["weather", "origin_delays"],
    computed: ["month"],
    features: [{ name: "temp", type: "float64" }],
    usedBy: { models: [{ model: "delay", version: 3 }], endpoints: ["delay"], pipelines: ["delay"] },
  },
];

// ----------------------------------------------------------------------------------- pipelines, runs
const node = { inputs: {}, outputs: [] };
export const spec: PipelineSpec = {
  name: "delay",
  params: [{ name: "until", type: "month", default: "latest" }],
  nodes: [
    {
      ...node,
      id: "read_flights",
      kind: "read_dataset",
      config: { dataset: "flights" },
      inputs: { until: { param: "until" } },
      outputs: [{ name: "rows", type: "table" }],
    },
    {
      ...node,
      id: "features",
      kind: "historical_features",
      config: { service: "delay_features" },
      inputs: { rows: { node: "read_flights", output: "rows" } },
      outputs: [{ name: "rows", type: "table" }],
    },
    {
      ...node,
      id: "split",
      kind: "split_by_time",
      config: { timestamp: "sched_dep", test: "28d" },
      inputs: { rows: { node: "features", output: "rows" } },
      outputs: [
        { name: "train", type: "table" },
        { name: "test", type: "table" },
      ],
    },
    {
      ...node,
      id: "train",
      kind: "python",
      config: { script: "train.py" },
      inputs: { train: { node: "split", output: "train" } },
      outputs: [{ name: "model", type: "model" }],
      definedAt: "pipelines/delay.ts:40",
    },
    {
      ...node,
      id: "evaluate",
      kind: "evaluate",
      config: { label: "late", service: "delay_features", slices: ["carrier"] },
      inputs: { model: { node: "train", output: "model" }, rows: { node: "split", output: "test" } },
      outputs: [{ name: "report", type: "report" }],
    },
    {
      ...node,
      id: "register",
      kind: "register",
      config: { model: "delay", service: "delay_features", gates: [], alias: "challenger" },
      inputs: { model: { node: "train", output: "model" }, report: { node: "evaluate", output: "report" } },
      outputs: [{ name: "version", type: "model_version" }],
    },
  ],
};
const states = ["running", "succeeded", "refused", "failed", "succeeded"] as const;
export const runs: Run[] = range(240).map((i) => {
  const state = i === 0 ? "running" : (states[1 + (i % 4)] ?? "succeeded");
  const done = state === "succeeded" || state === "refused";
  return {
    id: `01a20ab3${String(10_000_000 + i)}`,
    pipeline: i % 5 === 4 ? "shop" : "delay",
    project: "flights",
    projectVersion: 3,
    commit: "6750049918c7209448111dd7935185b79bf39f17",
    state,
    params: { until: "latest" },
    cause: i % 2 === 0 ? { kind: "trigger", trigger: "retrain", reason: "auc is 0.6712 on 2,210 labelled predictions, below 0.68" } : { kind: "manual" },
    message:
      state === "failed"
        ? 'The step "train" failed: train.py ended with code 1.'
        : state === "refused"
          ? "The gate auc better by 0.002 did not pass: 0.6911 against 0.6947."
          : null,
    trackingRunId: i === 0 ? "0123456789abcdef" : null,
    createdAt: ago(i * 30 + 0.05),
    startedAt: ago(i * 30),
    finishedAt: state === "running" ? null : ago(i * 30 - 0.2),
    durationMs: state === "running" ? null : 19_075,
    metrics: done ? { auc: 0.68 + noise(i) / 40, log_loss: 0.5 - noise(i) / 50 } : {},
    modelVersion: state === "succeeded" ? "delay/3" : null,
  };
});
export const runDetail = (run: Run): RunDetail => {
  const at = run.state === "running" ? 3 : run.state === "failed" ? 3 : run.state === "refused" ? 5 : 6;
  const ended: StepState = run.state === "running" ? "running" : run.state === "failed" ? "failed" : "refused";
  return {
    ...run,
    spec,
    stepCount: spec.nodes.length,
    steps: spec.nodes.map(({ id, kind }, i) => ({
      id,
      node: id,
      parent: null,
      item: null,
      kind,
      reason: null,
      backend: null,
      host: null,
      progress: null,
      usage: null,
      items: null,
      state: i < at ? (i === 0 ? "cached" : "succeeded") : i === at ? ended : run.state === "running" ? "waiting" : "skipped",
      attempt: i <= at ? 1 : 0,
      startedAt: i <= at ? run.startedAt : null,
      finishedAt: i < at ? run.startedAt : null,
      durationMs: i < at ? 1_840 : null,
      cacheKey: i <= at ? digest(i) : null,
      cachedFrom: i === 0 ? "01a20ab310000005" : null,
      error: i === at && ended === "failed" ? "train.py ended with code 1: ValueError: y contains 1 class" : null,
      outputs:
        i < at
          ? {
              rows: {
                type: "table",
                digest: digest(300 + i),
                files: [{ path: "part-0.parquet", digest: digest(400 + i), size: 353_896 }],
                meta: { rows: 51_955 },
              },
            }
          : {},
    })),
  };
};
export const log = {
  lines: range(40).map((n) => ({ n, at: ago(0.1), stream: n % 9 === 8 ? "stderr" : "stdout", text: `iteration ${n}: log_loss ${(0.7 - n / 200).toFixed(4)}` })),
  next: 40,
  done: true,
};
export const pipelines: Pipeline[] = [{ name: "delay", project: "flights", projectVersion: 3, spec, lastRun: runs[0] ?? null }];
export const trackingRun = { run: { info: { run_name: "delay-0", experiment_id: "1" }, data: { metrics: [{ key: "train_loss", value: 0.51, step: 30 }] } } };
export const history = { metrics: range(30).map((step) => ({ key: "train_loss", value: 0.5 + 0.3 / (step + 1), step, timestamp: now + step })) };

// -------------------------------------------------------------------------------------------- models
const metrics = (seed: number, rows = 12_488): Metrics => ({
  rows,
  positives: Math.round(rows * 0.23),
  auc: 0.66 + noise(seed) / 20,
  log_loss: 0.49,
  brier: 0.161,
  calibration_error: 0.016,
  mean_prediction: 0.24,
});
const report: EvaluationReport = {
  candidate: metrics(1),
  champion: metrics(2),
  championVersion: "delay/2",
  slices: ["UA", "B6", "EV", "DL", "AA", "MQ"].map((carrier, i) => ({
    column: "carrier",
    value: carrier,
    candidate: metrics(i + 3, 2_000 - i * 200),
    champion: metrics(i + 20, 2_000 - i * 200),
  })),
  calibration: range(10).map((i) => ({ predicted: i / 10 + 0.05, observed: Math.min(1, i / 10 + noise(i) / 12), rows: i < 8 ? 3_000 - i * 350 : 0 })),
  parity: { rows: 2_000, maxDifference: 2.9e-7 },
  latency: { p50Ms: 0.08, p99Ms: 0.34 },
};
export const modelVersion = (version: number): ModelVersionDetail => ({
  model: "delay",
  version,
  digest: digest(500 + version),
  aliases: version === 2 ? ["champion"] : version === 3 ? ["challenger"] : [],
  service: "delay_features",
  runId: runs[1]?.id ?? null,
  trackingRunId: null,
  metrics: { auc: 0.68 + version / 200, log_loss: 0.49 },
  gates: [
    { gate: "auc better by 0.002", passed: true, severity: "block", message: "The candidate's auc is 0.6947, the champion's 0.6911." },
    { gate: "p99 at most 5 ms", passed: true, severity: "block", message: "One row takes 0.34 ms at the 99th percentile; the bound is 5 ms." },
  ],
  createdAt: ago((4 - version) * 400),
  files: [{ path: "model.onnx", digest: digest(7), size: 564_196 }],
  report,
});
export const signatures: Signature[] = [{ key: "3f9a0d4c7712", signature: {}, addedBy: "anna", addedAt: ago(20) }];
export const modelVersions = [3, 2, 1].map(modelVersion);
export const models: Model[] = [{ name: "delay", versions: 3, aliases: { champion: 2, challenger: 3 }, latest: modelVersion(3) }];

// ------------------------------------------------------------------------------------------- serving
const rollout: Rollout = {
  id: "r2",
  endpoint: "delay",
  kind: "canary",
  candidate: 3,
  stable: 2,
  arms: [{ version: 3, weight: 0.1 }],
  state: "running",
  weight: 0.1,
  step: 0,
  steps: 3,
  by: "millrace",
  startedAt: ago(3),
  stepStartedAt: ago(3),
  pausedAt: null,
  finishedAt: null,
  reason: null,
  result: null,
  requests: 412,
  errors: 0,
};
export const rollouts: Rollout[] = [
  rollout,
  {
    ...rollout,
    id: "r1",
    candidate: 2,
    stable: 1,
    state: "promoted",
    weight: 1,
    step: 2,
    finishedAt: ago(400),
    reason: "auc 0.6947 against 0.6911 on 2,112 labels; no error in 4,120 requests.",
    requests: 4_120,
  },
];
export const endpoints: Endpoint[] = [
  {
    name: "delay",
    project: "flights",
    model: "delay",
    service: "delay_features",
    stable: 2,
    candidate: 3,
    weight: 0.1,
    requestsPerSecond: 41.5,
    latency: { p50Ms: 1.9, p99Ms: 6.2 },
    predictions: 108_204,
    errors: 0,
    log: { logged: 108_204, sampledOut: 0, dropped: 0 },
    rollout,
    earlier: [1],
    preparing: [],
    ...{ killed: null, fallback: null },
  },
];
export const predictions: Prediction[] = range(200).map((i) => ({
  id: `f-${i}`,
  endpoint: "delay",
  model: "delay",
  version: i % 10 === 0 ? 3 : 2,
  at: ago(i / 20),
  route: i % 10 === 0 ? "candidate" : "stable",
  request: { sched_dep: ago(i / 20), carrier: "UA", origin: "EWR", dest: "ORD", tailnum: "N14228", distance: 719 },
  features: { carrier: "UA", origin: "EWR", month: 8, plane_age: 14, temp: 71.2, origin_late_3h: null, origin_late_7d: 0.2713 },
  ...{ key: null, inputs: {}, outputs: {}, latencyMs: 1.4, caller: "shop", rollout: null },
  prediction: noise(i) * 0.8,
  label: i < 60 ? null : noise(i + 1) > 0.77 ? 1 : 0,
  labelledAt: i < 60 ? null : ago(0),
}));
const runId = runs[1]?.id ?? "";
export const lineage: Lineage = {
  root: "prediction/f-1",
  nodes: [
    { kind: "prediction", id: "prediction/f-1", label: "f-1", facts: { at: ago(0.1) } },
    { kind: "model_version", id: "model_version/delay/2", label: "delay v2", facts: { auc: 0.6947 } },
    { kind: "run", id: `run/${runId}`, label: `delay ${runId}`, facts: { state: "succeeded" } },
    { kind: "step", id: `step/${runId}/train`, label: "train", facts: { kind: "python" } },
    { kind: "dataset_version", id: "dataset_version/flights/5", label: "flights v5", facts: { rows: 135_020 } },
    ...range(5).map((i) => ({ kind: "file", id: `file/${i}`, label: `flights-${month(i + 1)}.parquet`, facts: { rows: 27_004 } })),
    { kind: "commit", id: "commit/67500499", label: "67500499", facts: { dirty: false } },
  ],
  edges: [
    { from: "prediction/f-1", to: "model_version/delay/2" },
    { from: "model_version/delay/2", to: `run/${runId}` },
    { from: `run/${runId}`, to: `step/${runId}/train` },
    { from: `run/${runId}`, to: "commit/67500499" },
    { from: `step/${runId}/train`, to: "dataset_version/flights/5" },
    ...range(5).map((i) => ({ from: "dataset_version/flights/5", to: `file/${i}` })),
  ],
};

// ------------------------------------------------------------------------------- monitors, triggers
const names = ["carrier", "origin", "dest", "month", "minute_of_day", "distance", "temp", "visib", "origin_late_3h", "origin_late_7d"];
export const checks: MonitorCheck[] = range(60).map((i) => {
  const features = names.map((feature, f) => {
    const psi = noise(i * 31 + f) / 12 + (feature === "month" ? i / 90 : 0) + (feature === "temp" ? i / 140 : 0);
    return { feature, psi, drifted: psi > 0.2 };
  });
  const driftShare = features.filter((one) => one.drifted).length / features.length;
  const auc = i > 56 ? null : 0.71 - i / 1_400 - noise(i) / 60;
  return {
    monitor: "delay",
    at: ago((59 - i) * 24),
    from: ago((60 - i) * 24),
    to: ago((59 - i) * 24),
    rows: 880 + (i % 7) * 11,
    labelled: i > 56 ? 0 : 850,
    version: i < 30 ? 1 : 2,
    driftShare,
    drifted: driftShare >= 0.2,
    predictionPsi: noise(i) / 9,
    features,
    metrics: { auc, log_loss: auc === null ? null : 0.48 + noise(i) / 30, calibration_error: auc === null ? null : 0.02 + noise(i) / 90 },
    alert: i % 23 === 22 ? "20 % of features drifted: month (PSI 0.31), temp (PSI 0.24)" : null,
  };
});
export const monitors: Monitor[] = [{ name: "delay", project: "flights", endpoint: "delay", every: "1d", last: checks.at(-1) ?? null, checks: 60 }];
export const performance: Performance[] = range(5).map((i) => ({ period: month(i + 3), version: null, metrics: metrics(i + 40, 24_000) }));
export const firings: Firing[] = range(12).map((i) => ({
  id: `fire-${i}`,
  trigger: "retrain",
  at: ago(i * 60 + 0.1),
  condition: i % 3 === 0 ? "auc of delay below 0.68" : "new data of flights",
  outcome: i % 4 === 3 ? "skipped" : "started",
  reason: i % 3 === 0 ? "auc is 0.6712 on 2,210 labelled predictions, below 0.68" : "flights is at version 8 (flights-2013-08.parquet)",
  runId: i % 4 === 3 ? null : (runs[i * 2]?.id ?? null),
}));
export const trigger: Trigger = {
  name: "retrain",
  project: "flights",
  pipeline: "delay",
  paused: false,
  conditions: ["new data of flights", "cron 0 6 1 * * (America/New_York)", "auc of delay below 0.68"],
  coolDownUntil: ago(-40),
  nextCron: ago(-420),
  lastFiring: firings[0] ?? null,
};

const happened: [string, string, Record<string, unknown>][] = [
  ["run.started", runs[0]?.id ?? "", { pipeline: "delay" }],
  ["trigger.fired", "retrain", { trigger: "retrain", condition: "auc of delay below 0.68", outcome: "started", runId: runs[0]?.id }],
  ["rollout.started", "delay", { endpoint: "delay", candidate: 3, weight: 0.1, reason: "version 3 became challenger" }],
  ["model_version.registered", "delay", { model: "delay", version: 3 }],
  ["run.finished", runs[3]?.id ?? "", { pipeline: "delay", state: "failed", message: runs[3]?.message }],
  ["dataset.version_quarantined", "flights", { version: 7, file: "flights-2013-07.parquet", anomalies: 2 }],
  ["dataset.version_accepted", "flights", { version: 8, file: "flights-2013-08.parquet", rows: 27_004 }],
  ["monitor.alert", "delay", { monitor: "delay", reason: "20 % of features drifted" }],
];
export const events: Event[] = range(80).map((i) => {
  const [type, subject, data] = happened[i % happened.length] ?? ["project.applied", "flights", { version: 1 }];
  return { id: String(80 - i), type, subject, data, at: ago(i * 5) };
});
