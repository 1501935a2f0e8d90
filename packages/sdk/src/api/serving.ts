import { type Static, Type } from "@sinclair/typebox";
import { Duration, FallbackSpec, GraphNode, RolloutSpec } from "../spec.js";
import { Json, Nullable, Time } from "./common.js";

const RolloutResult = Type.Object({
  /** Null: none is better than the control. */
  winner: Nullable(Type.Integer()),
  /** False: the arms can't be compared, and `why` says why. */
  valid: Type.Boolean(),
  /** How many labelled keys each arm was to have. */
  needed: Type.Integer(),
  /** The control first, whose difference is null. Intervals hold together, with the confidence that was declared. */
  arms: Type.Array(
    Type.Object({
      version: Type.Integer(),
      units: Type.Integer(),
      mean: Type.Number(),
      difference: Nullable(Type.Number()),
      lower: Nullable(Type.Number()),
      upper: Nullable(Type.Number()),
      p: Nullable(Type.Number()),
    }),
  ),
  why: Type.String(),
});
export const Rollout = Type.Object({
  id: Type.String(),
  endpoint: Type.String(),
  /** `switch`: all traffic at once because somebody said so, over as soon as it began. */
  kind: Type.Union([
    Type.Literal("canary"),
    Type.Literal("blue_green"),
    Type.Literal("shadow"),
    Type.Literal("split"),
    Type.Literal("experiment"),
    Type.Literal("switch"),
  ]),
  /** Of several the first, and in the end the one that won. */
  candidate: Type.Integer(),
  stable: Nullable(Type.Integer()),
  /** What each version has of the traffic now, 0 to 1; the rest is the stable version's. */
  arms: Type.Array(Type.Object({ version: Type.Integer(), weight: Type.Number() })),
  state: Type.Union([Type.Literal("running"), Type.Literal("promoted"), Type.Literal("rolled_back"), Type.Literal("superseded")]),
  /** The share of traffic now, 0 to 1, of all versions that are tried. */
  weight: Type.Number(),
  step: Type.Integer(),
  /** How many there are; 0: it goes on until somebody, or an experiment's result, decides. */
  steps: Type.Integer(),
  by: Type.String(),
  startedAt: Time,
  stepStartedAt: Time,
  pausedAt: Nullable(Time),
  finishedAt: Nullable(Time),
  /** Why it was promoted or rolled back, with the numbers. */
  reason: Nullable(Type.String()),
  /** What an experiment or a shadow found. */
  result: Nullable(RolloutResult),
  requests: Type.Integer(),
  errors: Type.Integer(),
});
export type Rollout = Static<typeof Rollout>;
/** What a version did in a rollout until now. */
export const RolloutNumbers = Type.Object({
  version: Type.Integer(),
  requests: Type.Integer(),
  errors: Type.Integer(),
  rows: Type.Integer(),
  p50Ms: Nullable(Type.Number()),
  p99Ms: Nullable(Type.Number()),
  /** Of copies in the shadow: how many rows were compared with what was answered, and how many agreed. */
  compared: Type.Integer(),
  agreed: Type.Integer(),
  meanDifference: Nullable(Type.Number()),
  /** Copies that found no room. */
  dropped: Type.Integer(),
});
export type RolloutNumbers = Static<typeof RolloutNumbers>;
export const RolloutStep = Type.Object({
  /** Of the traffic, 0 to 1, that the candidate answers. */
  weight: Type.Number(),
  /** Of the requests, 0 to 1, that a shadow gets a copy of. */
  copied: Type.Number(),
  /** How long it lasts at least. */
  each: Duration,
  /** It waits until a person goes on. */
  hold: Type.Boolean(),
});
export type RolloutStep = Static<typeof RolloutStep>;
export const RolloutDetail = Type.Intersect([
  Rollout,
  Type.Object({
    plan: Type.Union([RolloutSpec, Type.Object({ kind: Type.Literal("switch") })]),
    /** What the plan does in turn: `step` is a place in it. Empty where nothing goes by time. */
    planSteps: Type.Array(RolloutStep),
    /** When its step may be over, if the judges are content; null where none goes by time. */
    dueAt: Nullable(Time),
    /** How many labelled keys each arm of an experiment is to have. */
    needed: Nullable(Type.Integer()),
    versions: Type.Array(RolloutNumbers),
  }),
]);
export type RolloutDetail = Static<typeof RolloutDetail>;

const RolloutArms = Type.Array(Type.Object({ version: Type.Integer({ minimum: 1 }), weight: Type.Number({ exclusiveMinimum: 0, maximum: 1 }) }), {
  minItems: 1,
  maxItems: 8,
});
/** One version by the endpoint's plan, or several with their parts of the traffic until somebody decides. */
export const RolloutStart = Type.Object({
  version: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Of `split` and `experiment`. */
  arms: Type.Optional(RolloutArms),
  /** In place of the plan that the endpoint defines. */
  plan: Type.Optional(RolloutSpec),
  reason: Type.Optional(Type.String({ maxLength: 1_000 })),
});
export type RolloutStart = Static<typeof RolloutStart>;
export const RolloutMove = Type.Object({
  /** `promote` without a rollout: the version that answers from now on. */
  version: Type.Optional(Type.Integer({ minimum: 1 })),
  reason: Type.Optional(Type.String({ maxLength: 1_000 })),
});
export type RolloutMove = Static<typeof RolloutMove>;

export const RolloutWeights = Type.Object({ arms: RolloutArms, reason: Type.Optional(Type.String({ maxLength: 1_000 })) });
export type RolloutWeights = Static<typeof RolloutWeights>;
export const EndpointSwitch = Type.Object({ reason: Type.Optional(Type.String({ maxLength: 1_000 })) });
export type EndpointSwitch = Static<typeof EndpointSwitch>;

/** What became of an endpoint's versions. */
export const RolloutEvent = Type.Object({
  id: Type.String(),
  endpoint: Type.String(),
  rollout: Nullable(Type.String()),
  kind: Type.Union([
    Type.Literal("started"),
    Type.Literal("advanced"),
    Type.Literal("reweighted"),
    Type.Literal("paused"),
    Type.Literal("resumed"),
    Type.Literal("decided"),
    Type.Literal("promoted"),
    Type.Literal("rolled_back"),
    Type.Literal("superseded"),
    Type.Literal("killed"),
    Type.Literal("revived"),
  ]),
  at: Time,
  /** Who, or `millrace` where a judge decided. */
  by: Type.String(),
  version: Nullable(Type.Integer()),
  /** What the versions that are tried have of the traffic from then on. */
  weight: Nullable(Type.Number()),
  reason: Type.String(),
  /** What was known of each version at that moment: requests, errors, latency and so on. */
  numbers: Type.Record(Type.String(), Json),
});
export type RolloutEvent = Static<typeof RolloutEvent>;
export const Endpoint = Type.Object({
  name: Type.String(),
  project: Type.String(),
  model: Type.String(),
  /** Null: it takes what its model takes. */
  service: Nullable(Type.String()),
  /** The version that answers, and the one that is tried. */
  stable: Nullable(Type.Integer()),
  candidate: Nullable(Type.Integer()),
  weight: Type.Number(),
  /** Of this process, over the last minute of real time. */
  requestsPerSecond: Type.Number(),
  latency: Type.Object({ p50Ms: Nullable(Type.Number()), p99Ms: Nullable(Type.Number()) }),
  /** Rows predicted since the endpoint was made. */
  predictions: Type.Integer(),
  errors: Type.Integer(),
  /** Of the rows predicted: those in the prediction log, those that its sample left out, and those that could not be logged and need not be. */
  log: Type.Object({ logged: Type.Integer(), sampledOut: Type.Integer(), dropped: Type.Integer() }),
  rollout: Nullable(Rollout),
  /** Versions that answered before, the last one first: where a rollback goes, kept in memory. */
  earlier: Type.Array(Type.Integer()),
  /** Versions that an alias was set to, until they are in memory and begin. */
  preparing: Type.Array(Type.Integer()),
  /** While the kill switch is on, no version answers. */
  killed: Nullable(Type.Object({ at: Time, by: Type.String(), reason: Type.String() })),
  /** What is answered then; null: requests are refused. */
  fallback: Nullable(FallbackSpec),
});
export type Endpoint = Static<typeof Endpoint>;
/** Endpoints and functions that answer as one. */
export const InferenceGraph = Type.Object({
  name: Type.String(),
  project: Type.String(),
  /** The project version that last changed it. */
  version: Type.Integer(),
  node: GraphNode,
  /** Whether each endpoint in it has a version to answer with. */
  ready: Type.Boolean(),
  /** Why it is not. */
  reason: Nullable(Type.String()),
});
export type InferenceGraph = Omit<Static<typeof InferenceGraph>, "node"> & { node: GraphNode };
const label = { label: Type.Union([Type.Number(), Type.Boolean()]) };
/** What came true of a prediction, by its id; or of what was predicted, by columns of its request, as the keys of an entity, and the moment. */
export const Label = Type.Union([
  Type.Object({ id: Type.String({ maxLength: 200 }), ...label }),
  Type.Object({
    /** By column of the request, or input of the model. */
    entity: Type.Record(Type.String({ maxLength: 200 }), Type.Union([Type.String({ maxLength: 10_000 }), Type.Number(), Type.Boolean()]), { minProperties: 1 }),
    /** It is of the last prediction as of this moment or before it. */
    at: Time,
    ...label,
  }),
]);
export type Label = Static<typeof Label>;
export const LabelPush = Type.Object({
  labels: Type.Array(Label, { minItems: 1, maxItems: 100_000 }),
  /** How long before a label's moment its prediction may be; default `1d`. */
  within: Type.Optional(Duration),
});
export type LabelPush = Static<typeof LabelPush>;
export const LabelResult = Type.Object({
  /** Labels that are kept. */
  accepted: Type.Integer(),
  /** Places in the request, from 0, of those by entity of which there is no prediction: they are not kept. At most 1,000 are told. */
  unmatched: Type.Array(Type.Integer()),
});
export type LabelResult = Static<typeof LabelResult>;
export const Prediction = Type.Object({
  id: Type.String(),
  endpoint: Type.String(),
  model: Type.String(),
  version: Type.Integer(),
  at: Time,
  /**
   * `stable`, `candidate`, `control` and `arm` (of an experiment), `fallback` (the candidate failed and the stable version answered), `shadow` (a copy, which nobody was answered
   * with), `pinned` (the request named the version), or `killed` (the kill switch was on; the version is 0).
   */
  route: Type.String(),
  /** By what the version was chosen, where the request or the endpoint's plan names one. */
  key: Nullable(Type.String()),
  request: Type.Record(Type.String(), Json),
  features: Type.Record(Type.String(), Json),
  /** Of an endpoint without a feature service: what its model was given and gave. Whole numbers beyond 2^53 are texts. */
  inputs: Type.Record(Type.String(), Json),
  outputs: Type.Record(Type.String(), Json),
  /** The probability, or the one number that the last output has for the row: of two the second. */
  prediction: Nullable(Type.Number()),
  /** Of the whole request, until it was logged. */
  latencyMs: Nullable(Type.Number()),
  /** Who asked. */
  caller: Nullable(Type.String()),
  /** The rollout by whose rule the version was chosen. */
  rollout: Nullable(Type.String()),
  label: Nullable(Type.Number()),
  labelledAt: Nullable(Time),
});
export type Prediction = Static<typeof Prediction>;
/** The same version on what was logged, once more. */
export const Replay = Type.Object({
  id: Type.String(),
  endpoint: Type.String(),
  model: Type.String(),
  version: Type.Integer(),
  /** Every value of every output is what it was. */
  same: Type.Boolean(),
  /** The largest difference of two numbers; null where other values differ, or as many. */
  difference: Nullable(Type.Number()),
  logged: Type.Record(Type.String(), Json),
  replayed: Type.Record(Type.String(), Json),
});
export type Replay = Static<typeof Replay>;
