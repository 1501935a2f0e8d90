import { type Static, Type } from "@sinclair/typebox";
import { Goal, Name, PlainValue, Search, SearchRange, StopSpec, sweepSettings } from "../spec.js";
import { Nullable, Time } from "./common.js";

export const TrialState = Type.Union([
  Type.Literal("running"),
  Type.Literal("succeeded"),
  /** Ended early, as it was worse than others. */
  Type.Literal("stopped"),
  Type.Literal("failed"),
  Type.Literal("cancelled"),
]);
export type TrialState = Static<typeof TrialState>;
export const Trial = Type.Object({
  /** From 0. */
  n: Type.Integer(),
  state: TrialState,
  params: Type.Record(Type.String(), PlainValue),
  /** Of the goal's metric: the last one of a trial that is over; of one that runs what it has said last. */
  value: Nullable(Type.Number()),
  /** The step that it has said last. */
  step: Nullable(Type.Integer()),
  runId: Type.String(),
  trackingRunId: Nullable(Type.String()),
  message: Nullable(Type.String()),
  startedAt: Time,
  finishedAt: Nullable(Time),
});
export type Trial = Static<typeof Trial>;

/** A sweep that a project defines, by name, with what is given beside it in its place; or a whole one. */
export const SweepStart = Type.Object(
  {
    sweep: Type.Optional(Name),
    ...Type.Partial(Type.Object(sweepSettings)).properties,
    /** Whoever may ask twice chooses it: the second time nothing is started. */
    id: Type.Optional(Type.String({ pattern: "^[a-zA-Z0-9_-]{1,60}$" })),
  },
  { additionalProperties: false },
);
export type SweepStart = Static<typeof SweepStart>;
export const SweepState = Type.Union([
  Type.Literal("running"),
  Type.Literal("paused"),
  Type.Literal("succeeded"),
  Type.Literal("failed"),
  Type.Literal("cancelled"),
]);
export const SweepRun = Type.Object({
  id: Type.String(),
  /** The definition that it was started from. */
  sweep: Nullable(Type.String()),
  pipeline: Type.String(),
  state: SweepState,
  message: Nullable(Type.String()),
  search: Search,
  over: Type.Record(Type.String(), SearchRange),
  params: Type.Record(Type.String(), PlainValue),
  goal: Goal,
  stop: Nullable(StopSpec),
  atOnce: Type.Integer(),
  seed: Type.Integer(),
  maxFailed: Type.Integer(),
  /** How many trials there are to be, and in which state those are that there are. */
  progress: Type.Object({
    total: Type.Integer(),
    running: Type.Integer(),
    succeeded: Type.Integer(),
    stopped: Type.Integer(),
    failed: Type.Integer(),
    cancelled: Type.Integer(),
  }),
  best: Nullable(Trial),
  /** The parent of the trials' tracking runs, and its experiment. */
  trackingRunId: Nullable(Type.String()),
  experimentId: Nullable(Type.String()),
  createdBy: Type.String(),
  createdAt: Time,
  finishedAt: Nullable(Time),
});
export type SweepRun = Static<typeof SweepRun>;
export const SweepDetail = Type.Intersect([SweepRun, Type.Object({ trials: Type.Array(Trial) })]);
export type SweepDetail = Static<typeof SweepDetail>;

export const SweepPlots = Type.Object({
  /** The value of each trial that is over, and the best one up to it. */
  history: Type.Array(Type.Object({ n: Type.Integer(), value: Type.Number(), best: Type.Number(), stopped: Type.Boolean() })),
  /**
   * From 0, which changes nothing, to 1: how far the values' order follows the param's alone. Of numbers it is the size of Spearman's rank
   * correlation; of choices the correlation ratio of the ranks.
   */
  importance: Type.Array(
    Type.Object({ param: Type.String(), importance: Type.Number(), method: Type.Union([Type.Literal("spearman"), Type.Literal("correlation_ratio")]) }),
  ),
  /** What trials said by step, thinned; of the newest 100. */
  curves: Type.Array(Type.Object({ n: Type.Integer(), points: Type.Array(Type.Tuple([Type.Number(), Type.Number()])) })),
});
export type SweepPlots = Static<typeof SweepPlots>;
