/**
 * The JSON form of a project's definitions: what `millrace apply` sends, what the server checks, stores, shows and runs.
 * Definitions in TypeScript compile to it; another language may write it by hand.
 */
import { type Static, type TSchema, Type } from "@sinclair/typebox";

const closed = { additionalProperties: false } as const;
/** Names of definitions: what may stand in a URL, a file name and a SQL identifier alike. */
export const Name = Type.String({ pattern: "^[a-zA-Z][a-zA-Z0-9_-]{0,99}$" });
/** A length of time as users write it: `90s`, `5m`, `3h`, `7d`, `2w`. */
export const Duration = Type.String({ pattern: "^[0-9]+(ms|s|m|h|d|w)$" });
/** `sha256:` and 64 hexadecimal digits. */
export const Digest = Type.String({ pattern: "^sha256:[0-9a-f]{64}$" });

export const ColumnType = Type.Union([
  Type.Literal("string"),
  Type.Literal("int64"),
  Type.Literal("float64"),
  Type.Literal("boolean"),
  Type.Literal("timestamp"),
  Type.Literal("date"),
]);
export type ColumnType = Static<typeof ColumnType>;

export const Severity = Type.Union([Type.Literal("block"), Type.Literal("warn")]);
export type Severity = Static<typeof Severity>;

// ---------------------------------------------------------------------------------------------- data

/** What a column must look like. Shares are of all rows, 0 to 1; bounds are inclusive. */
export const ColumnRule = Type.Object(
  {
    type: ColumnType,
    /** The column must be there. Default true. */
    required: Type.Optional(Type.Boolean()),
    /** The largest share of nulls that is accepted. Default 1. */
    maxNullShare: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    /** The values that are known. */
    domain: Type.Optional(Type.Array(Type.Union([Type.String(), Type.Number(), Type.Boolean()]), { maxItems: 10_000 })),
    /** The largest share of rows whose value is outside `domain`. Default 0. */
    maxOutsideDomain: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    min: Type.Optional(Type.Number()),
    max: Type.Optional(Type.Number()),
    unique: Type.Optional(Type.Boolean()),
    /** Default `block`. */
    severity: Type.Optional(Severity),
    description: Type.Optional(Type.String()),
  },
  closed,
);
export type ColumnRule = Static<typeof ColumnRule>;

export const SchemaSpec = Type.Object(
  {
    name: Name,
    columns: Type.Record(Type.String(), ColumnRule),
    /** What to do about a column that the schema does not name. Default `warn`. */
    unexpectedColumns: Type.Optional(Type.Union([Type.Literal("block"), Type.Literal("warn"), Type.Literal("allow")])),
    minRows: Type.Optional(Type.Integer({ minimum: 0 })),
    /** Conditions of one's own: SQL over a row that must hold for all but `maxFailing` of the rows. */
    expectations: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Name,
            sql: Type.String({ maxLength: 10_000 }),
            maxFailing: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
            severity: Type.Optional(Severity),
          },
          closed,
        ),
      ),
    ),
    /** Where the definition stands, `file:line`, for reports. */
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type SchemaSpec = Static<typeof SchemaSpec>;

export const DatasetSpec = Type.Object(
  {
    name: Name,
    description: Type.Optional(Type.String()),
    /** `append`: every arrival adds its rows; `snapshot`: every arrival replaces them. */
    mode: Type.Union([Type.Literal("append"), Type.Literal("snapshot")]),
    /** A folder that is watched for files, picked up once each in the order of their names. Relative to the project folder. */
    watch: Type.Optional(Type.Object({ folder: Type.String(), pattern: Type.String() }, closed)),
    /** The column that says when a row's event happened. */
    timestamp: Type.Optional(Type.String()),
    /** The schema that every arrival must pass. */
    schema: Type.Optional(Name),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type DatasetSpec = Static<typeof DatasetSpec>;

// ------------------------------------------------------------------------------------------ features

export const EntitySpec = Type.Object(
  { name: Name, keys: Type.Array(Type.Object({ name: Type.String(), type: ColumnType }, closed), { minItems: 1, maxItems: 8 }) },
  closed,
);
export type EntitySpec = Static<typeof EntitySpec>;

/**
 * A computation over named columns that gives the same value in DuckDB (offline) and in the serving process (online).
 * Null in, null out, except for `is_null` and `coalesce`. Times are read in the zone that is named.
 */
export type Expr =
  | { op: "column"; name: string }
  | { op: "literal"; value: number | string | boolean | null }
  | { op: "add" | "subtract" | "multiply" | "divide" | "equal" | "less" | "less_or_equal"; left: Expr; right: Expr }
  | { op: "year" | "month" | "day_of_month" | "day_of_week" | "hour" | "minute"; of: Expr; zone: string }
  | { op: "is_null"; of: Expr }
  | { op: "coalesce"; of: Expr[] };
const times = ["year", "month", "day_of_month", "day_of_week", "hour", "minute"] as const;
const binary = ["add", "subtract", "multiply", "divide", "equal", "less", "less_or_equal"] as const;
export const Expr = Type.Unsafe<Expr>(
  Type.Recursive(
    (self) =>
      Type.Union([
        Type.Object({ op: Type.Literal("column"), name: Type.String() }, closed),
        Type.Object({ op: Type.Literal("literal"), value: Type.Union([Type.Number(), Type.String(), Type.Boolean(), Type.Null()]) }, closed),
        Type.Object({ op: Type.Union(binary.map((b) => Type.Literal(b))), left: self, right: self }, closed),
        Type.Object({ op: Type.Union(times.map((t) => Type.Literal(t))), of: self, zone: Type.String() }, closed),
        Type.Object({ op: Type.Literal("is_null"), of: self }, closed),
        Type.Object({ op: Type.Literal("coalesce"), of: Type.Array(self, { minItems: 1 }) }, closed),
      ]),
    { $id: "Expr" },
  ) as TSchema,
);

const FeatureSource = Type.Object(
  {
    dataset: Name,
    /** A SELECT over the dataset, which it sees as a table of the dataset's name. */
    sql: Type.Optional(Type.String({ maxLength: 20_000 })),
  },
  closed,
);
const feature = { name: Name, type: ColumnType, unit: Type.Optional(Type.String()), description: Type.Optional(Type.String()) };

export const Aggregate = Type.Union([Type.Literal("count"), Type.Literal("sum"), Type.Literal("mean"), Type.Literal("share")]);

/** `latest`: the newest row of an entity not older than the TTL. `window`: aggregates of its events over (t − over, t]. */
export const FeatureViewSpec = Type.Union([
  Type.Object(
    {
      kind: Type.Literal("latest"),
      name: Name,
      entity: Name,
      source: FeatureSource,
      /** The column that says from when on a row's values were known. Without it the values hold for all time. */
      timestamp: Type.Optional(Type.String()),
      ttl: Type.Optional(Duration),
      features: Type.Array(Type.Object(feature, closed), { minItems: 1 }),
      description: Type.Optional(Type.String()),
      definedAt: Type.Optional(Type.String()),
    },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal("window"),
      name: Name,
      entity: Name,
      source: FeatureSource,
      timestamp: Type.String(),
      features: Type.Array(Type.Object({ ...feature, aggregate: Aggregate, column: Type.Optional(Type.String()), over: Duration }, closed), { minItems: 1 }),
      description: Type.Optional(Type.String()),
      definedAt: Type.Optional(Type.String()),
    },
    closed,
  ),
]);
export type FeatureViewSpec = Static<typeof FeatureViewSpec>;

/** What a model takes: the columns of a request, the features looked up by them, and what is computed from both. */
export const FeatureServiceSpec = Type.Object(
  {
    name: Name,
    /** Columns that the request (online) or the row (offline) brings itself; entity keys are among them. */
    request: Type.Array(Type.Object({ name: Name, type: ColumnType }, closed), { minItems: 1 }),
    /** The request column that holds a row's own moment when features are joined offline. */
    timestamp: Name,
    views: Type.Array(Name),
    compute: Type.Array(Type.Object({ name: Name, type: ColumnType, expr: Expr }, closed)),
    /** The model's inputs in order: names of request columns, of the views' features, or of computed ones. */
    features: Type.Array(Type.Object({ name: Name, type: ColumnType }, closed), { minItems: 1 }),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type FeatureServiceSpec = Static<typeof FeatureServiceSpec>;

// ----------------------------------------------------------------------------------------- pipelines

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
  Type.Object({ ...node, kind: Type.Literal("validate"), config: Type.Object({ schema: Name }, closed) }, closed),
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

// ------------------------------------------------------------------------- serving, monitors, triggers

/** A condition under which a rollout goes on. */
export const JudgeSpec = Type.Union([
  /** The candidate's share of requests answered with an error, 0 to 1, once `minRequests` came. */
  Type.Object({ kind: Type.Literal("error_rate_below"), share: Type.Number(), minRequests: Type.Integer() }, closed),
  /** The candidate's metric on labelled predictions of the rollout is not worse than the stable version's by more than `by`. */
  Type.Object({ kind: Type.Literal("metric_not_worse"), metric: Type.String(), by: Type.Number(), minLabels: Type.Integer() }, closed),
]);
export type JudgeSpec = Static<typeof JudgeSpec>;

export const EndpointSpec = Type.Object(
  {
    name: Name,
    model: Name,
    service: Name,
    rollout: Type.Object(
      {
        kind: Type.Literal("canary"),
        /** Weights of the candidate in turn, 0 to 1, the last of them 1. */
        steps: Type.Array(Type.Number({ exclusiveMinimum: 0, maximum: 1 }), { minItems: 1 }),
        each: Duration,
        judge: Type.Array(JudgeSpec),
      },
      closed,
    ),
    log: Type.Object({ retain: Type.Optional(Duration) }, closed),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type EndpointSpec = Static<typeof EndpointSpec>;

export const MonitorSpec = Type.Object(
  {
    name: Name,
    endpoint: Name,
    every: Duration,
    /** The past that is looked at, ending at the moment of the check. Default: `every`. */
    window: Type.Optional(Duration),
    /** The training rows of the version behind this alias are what the window is compared with. */
    reference: Type.Object({ alias: Type.String() }, closed),
    drift: Type.Object(
      { method: Type.Literal("psi"), threshold: Type.Number(), /** share of features that must drift for an alert */ share: Type.Number() },
      closed,
    ),
    performance: Type.Object({ metrics: Type.Array(Type.String(), { minItems: 1 }), minLabels: Type.Integer() }, closed),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type MonitorSpec = Static<typeof MonitorSpec>;

export const ConditionSpec = Type.Union([
  /** Holds while the dataset has an accepted version newer than the one the last run of the pipeline read. */
  Type.Object({ kind: Type.Literal("new_data"), dataset: Name }, closed),
  /** Five fields, read in the zone. A moment that falls into the cool-down is skipped. */
  Type.Object({ kind: Type.Literal("cron"), expression: Type.String(), zone: Type.String() }, closed),
  /** Holds while the monitor's newest value of the metric is below the bound. */
  Type.Object({ kind: Type.Literal("below"), monitor: Name, metric: Type.String(), bound: Type.Number() }, closed),
  /** Holds while the monitor's newest check found drift. */
  Type.Object({ kind: Type.Literal("drift"), monitor: Name }, closed),
]);
export type ConditionSpec = Static<typeof ConditionSpec>;

export const TriggerSpec = Type.Object(
  {
    name: Name,
    pipeline: Name,
    when: Type.Array(ConditionSpec, { minItems: 1 }),
    /** After a run was started, no other is started for this long by this trigger. */
    coolDown: Type.Optional(Duration),
    params: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]))),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type TriggerSpec = Static<typeof TriggerSpec>;

// ------------------------------------------------------------------------------------------- project

export const ProjectSpec = Type.Object(
  {
    apiVersion: Type.Literal("millrace/v1"),
    name: Name,
    datasets: Type.Array(DatasetSpec),
    schemas: Type.Array(SchemaSpec),
    entities: Type.Array(EntitySpec),
    featureViews: Type.Array(FeatureViewSpec),
    featureServices: Type.Array(FeatureServiceSpec),
    pipelines: Type.Array(PipelineSpec),
    endpoints: Type.Array(EndpointSpec),
    monitors: Type.Array(MonitorSpec),
    triggers: Type.Array(TriggerSpec),
    /** The project's code: what a Python step finds in its working folder. Paths are relative, with `/`. */
    files: Type.Array(Type.Object({ path: Type.String({ maxLength: 1_000 }), digest: Digest, size: Type.Integer() }, closed), { maxItems: 10_000 }),
    source: Type.Optional(Type.Object({ commit: Type.Optional(Type.String()), branch: Type.Optional(Type.String()), dirty: Type.Boolean() }, closed)),
    /** The folder on the client's machine; watched folders are relative to it. Only a server on the same machine can use it. */
    folder: Type.String(),
  },
  closed,
);
export type ProjectSpec = Static<typeof ProjectSpec>;
