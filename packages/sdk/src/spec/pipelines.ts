import { type Static, Type } from "@sinclair/typebox";
import { closed, Duration, Name, Severity } from "./common.js";

export const ArtifactType = Type.Union([
  Type.Literal("table"),
  Type.Literal("model"),
  Type.Literal("report"),
  Type.Literal("model_version"),
  Type.Literal("json"),
]);
export type ArtifactType = Static<typeof ArtifactType>;

export const ParamSpec = Type.Object(
  {
    name: Name,
    type: Type.Union([
      Type.Literal("string"),
      Type.Literal("int"),
      Type.Literal("float"),
      Type.Literal("boolean"),
      /** `YYYY-MM`, or `latest` */
      Type.Literal("month"),
      Type.Literal("enum"),
    ]),
    values: Type.Optional(Type.Array(Type.String())),
    default: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
  },
  closed,
);
export type ParamSpec = Static<typeof ParamSpec>;

/** Where an input's value comes from. */
export const InputRef = Type.Union([
  Type.Object({ node: Name, output: Name }, closed),
  Type.Object({ param: Name }, closed),
  Type.Object({ literal: Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]) }, closed),
]);
export type InputRef = Static<typeof InputRef>;

const gateSeverity = { severity: Type.Optional(Severity) };
/** A condition on an evaluation report. `auc` is better when larger; `log_loss`, `brier` and `calibration_error` when smaller. */
export const GateSpec = Type.Union([
  /** The candidate's metric is better than the champion's by at least `by`; passes where there is no champion. */
  Type.Object({ kind: Type.Literal("better"), metric: Type.String(), by: Type.Number(), ...gateSeverity }, closed),
  /** On no slice is the candidate's metric worse than the champion's by more than `by`, among slices of `minRows` rows. */
  Type.Object({ kind: Type.Literal("no_slice_worse"), metric: Type.String(), by: Type.Number(), minRows: Type.Integer(), ...gateSeverity }, closed),
  Type.Object({ kind: Type.Literal("at_least"), metric: Type.String(), value: Type.Number(), ...gateSeverity }, closed),
  Type.Object({ kind: Type.Literal("at_most"), metric: Type.String(), value: Type.Number(), ...gateSeverity }, closed),
  /** The exported model gives what the trained one gave on the sample that the training step wrote. */
  Type.Object({ kind: Type.Literal("same_as_trained"), within: Type.Number(), ...gateSeverity }, closed),
  /** One row through the exported model takes at most `p99Ms` milliseconds at the 99th percentile. */
  Type.Object({ kind: Type.Literal("latency"), p99Ms: Type.Number(), ...gateSeverity }, closed),
]);
export type GateSpec = Static<typeof GateSpec>;

const node = {
  id: Name,
  inputs: Type.Record(Type.String(), InputRef),
  outputs: Type.Array(Type.Object({ name: Name, type: ArtifactType }, closed)),
  /** Reuse the outputs of an earlier run with the same key. Default true. */
  cache: Type.Optional(Type.Boolean()),
  definedAt: Type.Optional(Type.String()),
};
/** One step. What each kind takes and gives is said where the capability that runs it defines it. */
export const NodeSpec = Type.Union([
  /** inputs: until (month). outputs: rows */
  Type.Object({ ...node, kind: Type.Literal("read_dataset"), config: Type.Object({ dataset: Name }, closed) }, closed),
  /** inputs: rows. outputs: rows, report */
  Type.Object({ ...node, kind: Type.Literal("validate"), config: Type.Object({ schema: Name, environment: Type.Optional(Name) }, closed) }, closed),
  /** inputs: rows (any columns that the request of the service names, and more). outputs: rows (all columns of the input and the features) */
  Type.Object(
    {
      ...node,
      kind: Type.Literal("historical_features"),
      config: Type.Object(
        {
          service: Name,
          /** A SELECT over the input table `rows` that shapes it into the service's request columns and the label. */
          select: Type.Optional(Type.String({ maxLength: 20_000 })),
          /** `known` (default): what had been created by a row's moment. `event_time`: whatever speaks of it, also what was created later. */
          asOf: Type.Optional(Type.Union([Type.Literal("known"), Type.Literal("event_time")])),
        },
        closed,
      ),
    },
    closed,
  ),
  /** inputs: rows. outputs: train, test: the rows before and in the last `test` of time. */
  Type.Object(
    { ...node, kind: Type.Literal("split_by_time"), config: Type.Object({ timestamp: Type.String(), test: Duration, train: Type.Optional(Duration) }, closed) },
    closed,
  ),
  /** inputs and outputs as the step declares. Runs a script of the project in an environment made from its requirements. */
  Type.Object(
    {
      ...node,
      kind: Type.Literal("python"),
      config: Type.Object(
        {
          script: Type.String(),
          requirements: Type.Optional(Type.String()),
          timeout: Type.Optional(Duration),
          retries: Type.Optional(Type.Integer({ minimum: 0, maximum: 10 })),
        },
        closed,
      ),
    },
    closed,
  ),
  /** inputs: model, rows. outputs: report */
  Type.Object(
    {
      ...node,
      kind: Type.Literal("evaluate"),
      config: Type.Object(
        {
          label: Type.String(),
          service: Name,
          slices: Type.Array(Type.String()),
          against: Type.Optional(Type.Object({ model: Name, alias: Type.String() }, closed)),
        },
        closed,
      ),
    },
    closed,
  ),
  /** inputs: model, report. outputs: version. Registers the model where every gate passes; else the run ends as `refused`. */
  Type.Object(
    {
      ...node,
      kind: Type.Literal("register"),
      config: Type.Object({ model: Name, service: Name, gates: Type.Array(GateSpec), alias: Type.String() }, closed),
    },
    closed,
  ),
]);
export type NodeSpec = Static<typeof NodeSpec>;
export type NodeKind = NodeSpec["kind"];

export const PipelineSpec = Type.Object(
  {
    name: Name,
    description: Type.Optional(Type.String()),
    params: Type.Array(ParamSpec),
    /** In an order in which each node stands after those it takes from. */
    nodes: Type.Array(NodeSpec, { minItems: 1, maxItems: 2_000 }),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type PipelineSpec = Static<typeof PipelineSpec>;
