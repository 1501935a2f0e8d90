import { type Static, Type } from "@sinclair/typebox";
import { Name, PlainValue, ScheduleSpec, scheduleSettings } from "../spec.js";
import { Nullable, PageQuery, Time } from "./common.js";

/** One moment of a schedule, and what became of it. */
export const ScheduleFiring = Type.Object({
  /** Derived from the schedule and the moment: however many servers come to it, it is one. It is the id of the run too. */
  id: Type.String(),
  schedule: Type.String(),
  /** The moment that it is for, which the run's params may tell. */
  moment: Time,
  /** With the jitter. */
  dueAt: Time,
  decidedAt: Nullable(Time),
  outcome: Type.Union([
    /** It is not due yet, or waits for the end of the run before. */
    Type.Literal("waiting"),
    Type.Literal("started"),
    /** A run was under way. */
    Type.Literal("skipped"),
    /** No server came to it in time. */
    Type.Literal("missed"),
    /** The run could not be started. */
    Type.Literal("failed"),
  ]),
  /** By hand, not by the clock. */
  manual: Type.Boolean(),
  reason: Type.String(),
  runId: Nullable(Type.String()),
  runState: Nullable(Type.String()),
});
export type ScheduleFiring = Static<typeof ScheduleFiring>;

export const Schedule = Type.Object({
  name: Type.String(),
  /** The project that defines it; null where it was made by API. */
  project: Nullable(Type.String()),
  description: Nullable(Type.String()),
  pipeline: Type.String(),
  /** What holds: as defined, with what was edited. */
  ...scheduleSettings,
  jitter: Nullable(Type.String()),
  paused: Type.Boolean(),
  /** Settings that were edited since, and stay so whatever is applied until they are reset. */
  edited: Type.Array(Type.String()),
  editedBy: Nullable(Type.String()),
  definedAt: Nullable(Type.String()),
  /** Null where it is paused, or has no moment any more. */
  next: Nullable(Time),
  last: Nullable(ScheduleFiring),
});
export type Schedule = Static<typeof Schedule>;

export const ScheduleCreate = Type.Omit(ScheduleSpec, ["definedAt"], { additionalProperties: false });
export type ScheduleCreate = Static<typeof ScheduleCreate>;
export const ScheduleEdit = Type.Partial(Type.Object(scheduleSettings), { additionalProperties: false, minProperties: 1 });
export type ScheduleEdit = Static<typeof ScheduleEdit>;
export const ScheduleMoment = Type.Object({
  moment: Time,
  dueAt: Time,
  /** As the zone's clocks show it, with their distance from UTC: `2024-03-31T03:00:00+02:00`. */
  local: Type.String(),
  params: Type.Record(Type.String(), PlainValue),
});
export type ScheduleMoment = Static<typeof ScheduleMoment>;

/** The values of the param, one run each. */
export const BackfillRange = Type.Union([
  Type.Object({
    kind: Type.Literal("months"),
    from: Type.String({ pattern: "^[0-9]{4}-(0[1-9]|1[0-2])$" }),
    to: Type.String({ pattern: "^[0-9]{4}-(0[1-9]|1[0-2])$" }),
  }),
  Type.Object({
    kind: Type.Literal("dates"),
    from: Type.String({ pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
    to: Type.String({ pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
    /** Every so many days. Default 1. */
    every: Type.Optional(Type.Integer({ minimum: 1, maximum: 366 })),
  }),
  /** Those that the dataset's newest version has. */
  Type.Object({ kind: Type.Literal("partitions"), dataset: Name }),
  Type.Object({ kind: Type.Literal("values"), values: Type.Array(PlainValue, { minItems: 1, maxItems: 10_000 }) }),
]);
export type BackfillRange = Static<typeof BackfillRange>;
export const BackfillStart = Type.Object(
  {
    pipeline: Name,
    param: Type.String({ maxLength: 100 }),
    over: BackfillRange,
    params: Type.Optional(Type.Record(Type.String({ maxLength: 100 }), PlainValue)),
    /** Default 1: one after the other. */
    atOnce: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    order: Type.Optional(Type.Union([Type.Literal("oldest_first"), Type.Literal("newest_first")])),
    /** Leaves out values with which a run of the pipeline, with the same other params, has succeeded. */
    skipSucceeded: Type.Optional(Type.Boolean()),
    /** Whoever may ask twice chooses it: the second time nothing is started. */
    id: Type.Optional(Type.String({ pattern: "^[a-zA-Z0-9_-]{1,60}$" })),
  },
  { additionalProperties: false },
);
export type BackfillStart = Static<typeof BackfillStart>;
export const BackfillState = Type.Union([
  Type.Literal("running"),
  Type.Literal("paused"),
  Type.Literal("succeeded"),
  /** All is over, and a run failed. */
  Type.Literal("failed"),
  Type.Literal("cancelled"),
]);
export const Backfill = Type.Object({
  id: Type.String(),
  pipeline: Type.String(),
  param: Type.String(),
  params: Type.Record(Type.String(), PlainValue),
  atOnce: Type.Integer(),
  state: BackfillState,
  message: Nullable(Type.String()),
  /** How many of its values are in which state. */
  progress: Type.Object({
    total: Type.Integer(),
    waiting: Type.Integer(),
    running: Type.Integer(),
    succeeded: Type.Integer(),
    refused: Type.Integer(),
    failed: Type.Integer(),
    cancelled: Type.Integer(),
    /** Left out, as they have succeeded before. */
    skipped: Type.Integer(),
  }),
  first: Nullable(PlainValue),
  last: Nullable(PlainValue),
  createdBy: Type.String(),
  createdAt: Time,
  finishedAt: Nullable(Time),
});
export type Backfill = Static<typeof Backfill>;
export const BackfillItem = Type.Object({
  n: Type.Integer(),
  value: PlainValue,
  state: Type.Union([
    Type.Literal("waiting"),
    Type.Literal("running"),
    Type.Literal("succeeded"),
    Type.Literal("refused"),
    Type.Literal("failed"),
    Type.Literal("cancelled"),
    Type.Literal("skipped"),
  ]),
  attempt: Type.Integer(),
  runId: Nullable(Type.String()),
  message: Nullable(Type.String()),
});
export type BackfillItem = Static<typeof BackfillItem>;
export const BackfillItemQuery = Type.Object({ ...PageQuery.properties, state: Type.Optional(BackfillItem.properties.state) });
