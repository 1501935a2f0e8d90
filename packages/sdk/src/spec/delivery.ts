import { type Static, Type } from "@sinclair/typebox";
import { closed, Duration, Name, Severity } from "./common.js";
import { GateSpec } from "./pipelines.js";

const gateSeverity = { severity: Type.Optional(Severity) };
const Cell = Type.Union([Type.String({ maxLength: 10_000 }), Type.Number(), Type.Boolean(), Type.Null()]);
/** Of an input that has more than one value a row, all of them in order. */
const Cells = Type.Union([Cell, Type.Array(Cell, { maxItems: 100_000 })]);
/** A request to the endpoint of a model: rows of its inputs, and what it is to answer. */
export const SmokeRequest = Type.Object(
  {
    rows: Type.Array(Type.Record(Type.String(), Cells), { minItems: 1, maxItems: 1_000 }),
    /** By output, a value for each row. */
    expect: Type.Optional(Type.Record(Type.String(), Type.Array(Cells, { minItems: 1, maxItems: 1_000 }))),
    /** How far a number may be from what is expected. Default 0.000001. */
    within: Type.Optional(Type.Number({ minimum: 0 })),
  },
  closed,
);
export type SmokeRequest = Static<typeof SmokeRequest>;

/** What must hold before something comes into an environment. */
export const EnvironmentGate = Type.Union([
  // Of a model's version: its evaluation, whole and by slices.
  GateSpec,
  /** Every version of a dataset that it was made from was accepted by validation; of those that a person accepted, `accepted` says whether that is enough. */
  Type.Object({ kind: Type.Literal("data_validated"), accepted: Type.Boolean(), ...gateSeverity }, closed),
  /** Requests to each endpoint of the model are as they are now, and so are the answers. */
  Type.Object({ kind: Type.Literal("same_signature"), ...gateSeverity }, closed),
  /** Its packages can be had here, and in memory it takes at most so much. */
  Type.Object({ kind: Type.Literal("fits"), memory: Type.Optional(Type.String({ pattern: "^[0-9]+(MiB|GiB)$" })), ...gateSeverity }, closed),
  /** Under so many requests a second for so long its endpoint answers each, 99 of 100 within `p99Ms`. */
  Type.Object(
    {
      kind: Type.Literal("load"),
      perSecond: Type.Number({ exclusiveMinimum: 0, maximum: 100_000 }),
      p99Ms: Type.Number({ exclusiveMinimum: 0 }),
      /** Default 10s, at most 5m. */
      for: Type.Optional(Duration),
      /** Which of these requests are sent, in turn. */
      requests: Type.Array(SmokeRequest, { minItems: 1, maxItems: 1_000 }),
      ...gateSeverity,
    },
    closed,
  ),
  Type.Object({ kind: Type.Literal("smoke"), requests: Type.Array(SmokeRequest, { minItems: 1, maxItems: 1_000 }), ...gateSeverity }, closed),
  // Of a release or a model's version.
  /** One of these keys, as PEM, has signed it. */
  Type.Object({ kind: Type.Literal("signed"), keys: Type.Array(Type.String({ maxLength: 4_000 }), { minItems: 1, maxItems: 100 }), ...gateSeverity }, closed),
  // Of a release.
  /** Its newest check passed. */
  Type.Object({ kind: Type.Literal("checked"), ...gateSeverity }, closed),
]);
export type EnvironmentGate = Static<typeof EnvironmentGate>;

export const EnvironmentSpec = Type.Object(
  {
    name: Name,
    description: Type.Optional(Type.String({ maxLength: 1_000 })),
    /** What comes here was in all of these before. */
    after: Type.Array(Name, { maxItems: 20 }),
    gates: Type.Array(EnvironmentGate, { maxItems: 100 }),
    approvals: Type.Optional(
      Type.Object(
        {
          count: Type.Integer({ minimum: 1, maximum: 20 }),
          /** Names of users, and roles as `role:admin`. Without it, whoever may approve at all. */
          by: Type.Optional(Type.Array(Type.String({ maxLength: 110 }), { minItems: 1, maxItems: 100 })),
        },
        closed,
      ),
    ),
    /** Nothing comes here from one moment to another. */
    freezes: Type.Array(
      Type.Object({ from: Type.String({ maxLength: 40 }), to: Type.String({ maxLength: 40 }), reason: Type.String({ maxLength: 1_000 }) }, closed),
      { maxItems: 100 },
    ),
    /** Only within one of these: for so long from each moment of a cron expression on. Without any, always. */
    windows: Type.Array(Type.Object({ cron: Type.String({ maxLength: 200 }), zone: Type.String({ maxLength: 100 }), for: Duration }, closed), { maxItems: 20 }),
    /** Another server that it is; the secret of this one holds a token of that. Without it, it is this server. */
    server: Type.Optional(
      Type.Object({ url: Type.String({ maxLength: 1_000 }), token: Type.Optional(Type.String({ pattern: "^[A-Z][A-Z0-9_]{0,99}$" })) }, closed),
    ),
    /** What asks for a promotion by itself: a push to the watched branch, a tag, or that all of `after` hold it. */
    on: Type.Optional(Type.Union([Type.Literal("push"), Type.Literal("tag"), Type.Literal("deployed")])),
    /** What this server serves comes by promotion alone: `apply` is refused. */
    protected: Type.Optional(Type.Boolean()),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type EnvironmentSpec = Static<typeof EnvironmentSpec>;

/** What a project that defines none has. */
export const defaultEnvironments: readonly EnvironmentSpec[] = [
  { name: "dev", after: [], gates: [], freezes: [], windows: [], on: "push" },
  { name: "staging", after: ["dev"], gates: [], freezes: [], windows: [], on: "tag" },
  { name: "prod", after: ["staging"], gates: [], freezes: [], windows: [], on: "deployed", approvals: { count: 1 } },
];
