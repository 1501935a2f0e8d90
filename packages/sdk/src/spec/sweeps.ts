import { type Static, Type } from "@sinclair/typebox";
import { closed, Name } from "./common.js";
import { PlainValue } from "./schedules.js";

/** The values that a param is tried with. */
export const SearchRange = Type.Union([
  Type.Object({ kind: Type.Literal("choice"), values: Type.Array(PlainValue, { minItems: 1, maxItems: 1_000 }) }, closed),
  /** Whole numbers, both ends included. `log` spreads them by order of magnitude. */
  Type.Object(
    {
      kind: Type.Literal("int"),
      from: Type.Integer(),
      to: Type.Integer(),
      step: Type.Optional(Type.Integer({ minimum: 1 })),
      log: Type.Optional(Type.Boolean()),
    },
    closed,
  ),
  /** `points` is how many values a grid takes, both ends included; without `step` it needs them. */
  Type.Object(
    {
      kind: Type.Literal("float"),
      from: Type.Number(),
      to: Type.Number(),
      step: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
      log: Type.Optional(Type.Boolean()),
      points: Type.Optional(Type.Integer({ minimum: 2, maximum: 1_000 })),
    },
    closed,
  ),
]);
export type SearchRange = Static<typeof SearchRange>;

/** How bad trials are ended early, by the values of the goal's metric that their runs log by step. */
export const StopSpec = Type.Union([
  /**
   * Asynchronous successive halving (Li et al. 2018, "A System for Massively Parallel Hyperparameter Tuning"): at the steps `minSteps`,
   * `minSteps × reduction`, … a trial goes on if it is among the best 1/`reduction` of those that came so far.
   */
  Type.Object(
    {
      kind: Type.Literal("asha"),
      /** Default 3. */
      reduction: Type.Optional(Type.Integer({ minimum: 2, maximum: 10 })),
      /** Default 1. */
      minSteps: Type.Optional(Type.Integer({ minimum: 1 })),
    },
    closed,
  ),
  /** The median stopping rule (Golovin et al. 2017, "Google Vizier"): a trial ends if its best value so far is worse than the median of the others' means up to the same step. */
  Type.Object(
    {
      kind: Type.Literal("median"),
      /** Steps that no trial is judged at. Default 1. */
      warmUp: Type.Optional(Type.Integer({ minimum: 0 })),
      /** So many trials are over before one is judged. Default 3. */
      trials: Type.Optional(Type.Integer({ minimum: 1 })),
    },
    closed,
  ),
]);
export type StopSpec = Static<typeof StopSpec>;

export const Search = Type.Union([Type.Literal("grid"), Type.Literal("random"), Type.Literal("bayesian")]);
export type Search = Static<typeof Search>;
export const Goal = Type.Object(
  { metric: Type.String({ minLength: 1, maxLength: 250 }), direction: Type.Union([Type.Literal("maximize"), Type.Literal("minimize")]) },
  closed,
);
export type Goal = Static<typeof Goal>;

export const mostTrials = 10_000;
export const sweepSettings = {
  pipeline: Name,
  /** By the name of the pipeline's param. */
  over: Type.Record(Type.String({ maxLength: 100 }), SearchRange, { minProperties: 1, maxProperties: 100 }),
  search: Search,
  /** How many; of a grid all by default, 20 of other searches. */
  trials: Type.Optional(Type.Integer({ minimum: 1, maximum: mostTrials })),
  /** Default 2. */
  atOnce: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  /** Equal seeds try equal values. Default 0. */
  seed: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })),
  goal: Goal,
  stop: Type.Optional(StopSpec),
  /** Params of the pipeline that are the same for all trials. */
  params: Type.Optional(Type.Record(Type.String({ maxLength: 100 }), PlainValue)),
  /** With more failed trials than this the sweep ends. Default 10. */
  maxFailed: Type.Optional(Type.Integer({ minimum: 0, maximum: mostTrials })),
};
export const SweepSpec = Type.Object(
  { name: Name, description: Type.Optional(Type.String({ maxLength: 1_000 })), ...sweepSettings, definedAt: Type.Optional(Type.String()) },
  closed,
);
export type SweepSpec = Static<typeof SweepSpec>;
