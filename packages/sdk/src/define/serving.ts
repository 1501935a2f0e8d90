import type { EndpointSpec, FallbackSpec, MonitorSpec } from "../spec.js";
import { type Definition, type DurationText, define } from "./definition.js";
import { given, here } from "./place.js";
import { type Percent, type Rollout, shareOf } from "./rollouts.js";
import type { FeatureService } from "./service.js";
import type { MetricName } from "./steps.js";

export interface Endpoint extends Definition<"endpoints"> {}
/** Where a model answers over HTTP. Its stable version is `champion`; a version that becomes `challenger` is rolled out. */
export function endpoint(options: {
  name: string;
  /** The registered model. */
  model: string;
  /** Requests are rows of its request columns, and the model's one probability is the answer. Without it, the endpoint takes and gives what its model does. */
  features?: FeatureService;
  rollout: Rollout;
  /** What is answered while the kill switch is on, a value for each output; without it, requests are refused then. */
  fallback?: FallbackSpec;
  /**
   * Of a model that runs in Python, as those of MLflow's flavors do: how many processes answer (default 1), and of each how long a call may take (`30s`) and
   * how much memory it may have (half of the machine's).
   */
  workers?: number | { count?: number; timeout?: DurationText; memoryMb?: number };
  /**
   * The prediction log: how long it is kept, for which share of the requests (`"10%"`; default all), and whether what can't be logged is answered
   * nevertheless (`required: false`). What was left out is counted.
   */
  log?: { retain?: DurationText; sample?: Percent; required?: boolean };
}): Endpoint {
  const spec: EndpointSpec = given({
    name: options.name,
    model: options.model,
    service: options.features?.name,
    rollout: options.rollout.spec,
    fallback: options.fallback,
    workers: typeof options.workers === "object" ? given(options.workers) : options.workers === undefined ? undefined : { count: options.workers },
    log: given({
      retain: options.log?.retain,
      sample: options.log?.sample === undefined ? undefined : shareOf(options.log.sample),
      required: options.log?.required,
    }),
    definedAt: here(),
  });
  return define("endpoints", spec, options.features === undefined ? [] : [options.features]);
}

export interface Monitor<out M extends MetricName = MetricName> extends Definition<"monitors"> {
  /** Only for the types. */
  readonly metrics?: M;
}
/** Compares what an endpoint sees and says with what its model was trained on, and with what came true. */
export function monitor<const M extends MetricName>(options: {
  name: string;
  endpoint: Endpoint;
  every: DurationText;
  /** The past that is looked at; default `every`. */
  window?: DurationText;
  /** The alias of the version whose training rows are the reference; default `champion`. */
  reference?: string;
  /** A feature drifts where its PSI is over `threshold`; the input does where the `share` of its features drift. Default PSI over 0.2 for 0.3 of them. */
  drift?: { method: "psi"; threshold: number; share: number };
  /** Metrics on labelled predictions, once there are `minLabels` (default 200). */
  performance: { metrics: readonly M[]; minLabels?: number };
}): Monitor<M> {
  const spec: MonitorSpec = given({
    name: options.name,
    endpoint: options.endpoint.name,
    every: options.every,
    window: options.window,
    reference: { alias: options.reference ?? "champion" },
    drift: options.drift ?? { method: "psi", threshold: 0.2, share: 0.3 },
    performance: { metrics: [...options.performance.metrics], minLabels: options.performance.minLabels ?? 200 },
    definedAt: here(),
  });
  return define("monitors", spec, [options.endpoint]);
}
