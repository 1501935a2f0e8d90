import { type Static, type TSchema, type TUnsafe, Type } from "@sinclair/typebox";
import { ColumnType, closed, Duration, Name, Severity } from "./common.js";
import { HashedSplit } from "./datasets.js";

export const ArtifactType = Type.Union([
  Type.Literal("table"),
  Type.Literal("model"),
  /** Any one file. */
  Type.Literal("file"),
  Type.Literal("json"),
  /** A JSON object of numbers by name; shown with the run and logged to its tracking run. */
  Type.Literal("metrics"),
  Type.Literal("report"),
  Type.Literal("model_version"),
]);
export type ArtifactType = Static<typeof ArtifactType>;

const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()]);
/** What a run's param can be. */
export const ParamValue = Type.Union([Scalar, Type.Array(Type.Union([Type.String(), Type.Number()]), { maxItems: 10_000 })]);
export type ParamValue = Static<typeof ParamValue>;

export const ParamType = Type.Union([
  Type.Literal("string"),
  Type.Literal("int"),
  Type.Literal("float"),
  Type.Literal("boolean"),
  /** `YYYY-MM`, or `latest` */
  Type.Literal("month"),
  Type.Literal("enum"),
  /** Texts or numbers, at most 10,000: what `map` fans out over. */
  Type.Literal("list"),
]);
export type ParamType = Static<typeof ParamType>;

export const ParamSpec = Type.Object(
  {
    name: Name,
    type: ParamType,
    description: Type.Optional(Type.String()),
    values: Type.Optional(Type.Array(Type.String())),
    /** Inclusive bounds of `int` and `float`. */
    min: Type.Optional(Type.Number()),
    max: Type.Optional(Type.Number()),
    default: Type.Optional(ParamValue),
  },
  closed,
);
export type ParamSpec = Static<typeof ParamSpec>;

/** A step's id: a name, or names joined by dots where a pipeline is used within another one. */
export const NodeId = Type.String({ pattern: "^[a-zA-Z][a-zA-Z0-9_-]{0,99}(\\.[a-zA-Z][a-zA-Z0-9_-]{0,99}){0,8}$" });

/** Where an input's value comes from. */
export const InputRef = Type.Union([
  Type.Object({ node: NodeId, output: Name }, closed),
  Type.Object({ param: Name }, closed),
  Type.Object({ literal: Type.Union([Scalar, Type.Null(), Type.Array(Type.Union([Type.String(), Type.Number()]), { maxItems: 10_000 })]) }, closed),
  /** Within the body of the `map` of this id: the value that the body is run for. */
  Type.Object({ item: NodeId }, closed),
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

/** A step is run only where all of its conditions hold; else it is skipped, with what takes from it. */
export const WhenSpec = Type.Object(
  {
    of: InputRef,
    /** Into a JSON, metrics or report value: `auc`, `candidate.auc`. */
    path: Type.Optional(Type.String({ maxLength: 1_000 })),
    is: Type.Union([
      Type.Literal("equal"),
      Type.Literal("not_equal"),
      Type.Literal("less"),
      Type.Literal("less_or_equal"),
      Type.Literal("greater"),
      Type.Literal("greater_or_equal"),
    ]),
    value: Scalar,
  },
  closed,
);
export type WhenSpec = Static<typeof WhenSpec>;

export const RetrySpec = Type.Object(
  {
    /** Attempts after the first one. */
    times: Type.Integer({ minimum: 1, maximum: 100 }),
    /** Before the second attempt, by default `1s`; each further pause is `factor` times as long (default 2), at most `longest` (default `5m`). */
    wait: Type.Optional(Duration),
    factor: Type.Optional(Type.Number({ minimum: 1, maximum: 10 })),
    longest: Type.Optional(Duration),
    /** Default: all of them. What a dead worker left is done again in any case, and does not count. */
    on: Type.Optional(Type.Array(Type.Union([Type.Literal("error"), Type.Literal("timeout"), Type.Literal("out_of_memory")]), { minItems: 1, maxItems: 3 })),
  },
  closed,
);
export type RetrySpec = Static<typeof RetrySpec>;

export const ResourcesSpec = Type.Object(
  {
    cpus: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 10_000 })),
    /** `512MiB`, `4GiB`. What uses more is ended, and says so. */
    memory: Type.Optional(Type.String({ pattern: "^[0-9]+(MiB|GiB)$" })),
    gpus: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 10_000 })),
  },
  closed,
);
export type ResourcesSpec = Static<typeof ResourcesSpec>;

const node = {
  id: NodeId,
  inputs: Type.Record(Type.String(), InputRef),
  /** Of a `map`, each output is a list: one artifact for each item, in the order of the items. */
  outputs: Type.Array(Type.Object({ name: Name, type: ArtifactType }, closed)),
  /** Steps that must have ended well before this one begins, though it takes nothing from them. Where one is skipped, so is this one. */
  after: Type.Optional(Type.Array(NodeId, { minItems: 1, maxItems: 1_000 })),
  when: Type.Optional(Type.Array(WhenSpec, { minItems: 1, maxItems: 20 })),
  /** Reuse the outputs of an earlier run with the same key: never, always (the default), or for so long after they were made. */
  cache: Type.Optional(Type.Union([Type.Boolean(), Type.Object({ for: Duration }, closed)])),
  retries: Type.Optional(RetrySpec),
  /** Of one attempt. */
  timeout: Type.Optional(Duration),
  definedAt: Type.Optional(Type.String()),
};
/** What a process declares to take: an artifact, `many` of them as a map gives them, or a value. */
export const TakesSpec = Type.Object(
  {
    type: Type.Union([ArtifactType, ParamType]),
    many: Type.Optional(Type.Boolean()),
    /** Of a table: columns that it has, among others. `millrace check` looks whether they are there. */
    columns: Type.Optional(Type.Record(Type.String({ maxLength: 1_000 }), ColumnType)),
  },
  closed,
);
export type TakesSpec = Static<typeof TakesSpec>;
/** Of steps that are processes of users' code. */
const processNode = {
  ...node,
  /** The types of its inputs, by name: only to check what it is given. */
  takes: Type.Optional(Type.Record(Type.String(), TakesSpec)),
  resources: Type.Optional(ResourcesSpec),
  /** Where it runs: `local` (the default), `ray`, `kubernetes`. */
  backend: Type.Optional(Name),
  /** Names of secrets, given to the process as environment variables. */
  secrets: Type.Optional(Type.Array(Type.String({ pattern: "^[A-Z][A-Z0-9_]{0,99}$" }), { maxItems: 100 })),
  /** Of all steps with this name, of any run, so many run at a time. */
  group: Type.Optional(Type.Object({ name: Name, limit: Type.Integer({ minimum: 1, maximum: 1_000 }) }, closed)),
  /** Files of the project that its outcome depends on: the script and what it imports. All files, where it is not said. */
  code: Type.Optional(Type.Array(Type.String({ maxLength: 1_000 }), { maxItems: 10_000 })),
};
/** One step. What each kind takes and gives is said where the capability that runs it defines it. */
const plainNodes = [
  /** inputs: until (month), or partition (a key of `partitions`). outputs: rows */
  Type.Object({ ...node, kind: Type.Literal("read_dataset"), config: Type.Object({ dataset: Name }, closed) }, closed),
  /** inputs: rows. outputs: rows, as they came in, and version (json: {dataset, version, digest, rows}). A run's step writes one version, also when it is done again. */
  Type.Object(
    {
      ...node,
      kind: Type.Literal("write_dataset"),
      config: Type.Object({ dataset: Name, mode: Type.Optional(Type.Union([Type.Literal("append"), Type.Literal("snapshot")])) }, closed),
    },
    closed,
  ),
  /** inputs: rows. outputs: a table for each of the shares. Rows with the same values in the group's columns are never on two sides. */
  Type.Object({ ...node, kind: Type.Literal("split_by_group"), config: Type.Object(HashedSplit, closed) }, closed),
  /** inputs: rows. outputs: a table for each of the shares. A row's side depends on its key alone. */
  Type.Object({ ...node, kind: Type.Literal("split_by_hash"), config: Type.Object(HashedSplit, closed) }, closed),
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
  /** inputs and outputs as the step declares. Runs a script of the project, or a function of a module, in an environment made from its requirements. */
  Type.Object(
    {
      ...processNode,
      kind: Type.Literal("python"),
      config: Type.Object(
        {
          /** A path in the project, or `module:function`, whose arguments are the inputs and whose result is the outputs. */
          script: Type.String({ maxLength: 1_000 }),
          /** Locked requirements with hashes, a path in the project. */
          requirements: Type.Optional(Type.String()),
        },
        closed,
      ),
    },
    closed,
  ),
  /** inputs and outputs as the step declares. Runs any program in the project's folder; no shell reads the arguments. */
  Type.Object(
    {
      ...processNode,
      kind: Type.Literal("command"),
      config: Type.Object(
        {
          /** `{inputs.rows}`, `{outputs.model}` and `{params.depth}` within an argument stand for a path or value. */
          command: Type.Array(Type.String({ maxLength: 10_000 }), { minItems: 1, maxItems: 1_000 }),
          requirements: Type.Optional(Type.String()),
        },
        closed,
      ),
    },
    closed,
  ),
  /** inputs and outputs as the step declares. Runs a TypeScript function that was bundled with all that it imports into one file of the project. */
  Type.Object(
    { ...processNode, kind: Type.Literal("typescript"), config: Type.Object({ bundle: Type.String({ maxLength: 1_000 }), step: Name }, closed) },
    closed,
  ),
  /** outputs: model. The files of the version that an alias names; none where no version has it, which is an error unless `optional`: what takes from it is then given nothing. */
  Type.Object(
    { ...node, kind: Type.Literal("read_model"), config: Type.Object({ model: Name, alias: Type.String(), optional: Type.Optional(Type.Boolean()) }, closed) },
    closed,
  ),
  /** outputs: keys (json): the keys of the partitions that the dataset has, in order. */
  Type.Object({ ...node, kind: Type.Literal("partitions"), config: Type.Object({ dataset: Name }, closed) }, closed),
  /** outputs: value, that of the first of its inputs (`first`, `second` …) that is there: joins the branches of a condition. */
  Type.Object({ ...node, kind: Type.Literal("choose"), config: Type.Object({}, closed) }, closed),
  /** outputs: decision (json: {approved, by, at, comment}). Waits until a person says yes; a no ends the run as `refused`. */
  Type.Object(
    {
      ...node,
      kind: Type.Literal("approval"),
      config: Type.Object(
        { question: Type.String({ maxLength: 2_000 }), role: Type.Optional(Type.Union([Type.Literal("editor"), Type.Literal("admin")])) },
        closed,
      ),
    },
    closed,
  ),
  /** outputs: event (json: its type, subject and data). Waits for an event that comes after the step began to wait. */
  Type.Object(
    {
      ...node,
      kind: Type.Literal("wait_event"),
      config: Type.Object({ type: Type.String({ maxLength: 200 }), subject: Type.Optional(Type.String({ maxLength: 1_000 })) }, closed),
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
  /** inputs: model, rows (the features of the service, and more). outputs: rows, as they came in with one column more: the model's answer to each. */
  Type.Object(
    {
      ...node,
      kind: Type.Literal("predict"),
      config: Type.Object(
        {
          /** Whose features the rows have. Without it they have what the model takes, and get a column for each of its outputs. */
          service: Type.Optional(Name),
          /** Of the answer, with a service. */
          column: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
          /** By the model's input, the column that it is, or those that lie side by side in it. Without it, the column of its name. */
          inputs: Type.Optional(
            Type.Record(
              Type.String({ minLength: 1, maxLength: 200 }),
              Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 10_000 })]),
            ),
          ),
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
] as const;

const mapNode = <T extends TSchema>(body: T) =>
  Type.Object(
    {
      ...node,
      kind: Type.Literal("map"),
      config: Type.Object(
        {
          /** Nodes of kinds as here, with ids that no node outside has; they may take from nodes outside that stand before the map. Maps within maps: three deep at most. */
          body: Type.Array(body, { minItems: 1, maxItems: 200 }),
          /** The map's outputs, by name: which output of which node of the body. */
          gives: Type.Record(Type.String(), Type.Object({ node: NodeId, output: Name }, closed)),
          /** So many items at a time; default as many as there is room for. */
          atOnce: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
        },
        closed,
      ),
    },
    closed,
  );

type PlainNode = Static<(typeof plainNodes)[number]>;
type MapShape = Static<ReturnType<typeof mapNode<TUnsafe<unknown>>>>;
/** inputs: over (a list param, a list, or the JSON array of a step). Runs the body once for each item; what it takes from outside, its nodes refer to themselves. */
export interface MapNode extends Omit<MapShape, "config"> {
  config: Omit<MapShape["config"], "body"> & { body: NodeSpec[] };
}
export type NodeSpec = PlainNode | MapNode;
export const NodeSpec = Type.Unsafe<NodeSpec>(Type.Recursive((self) => Type.Union([...plainNodes, mapNode(self)]), { $id: "Node" }) as TSchema);
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
