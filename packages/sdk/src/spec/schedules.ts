import { type Static, Type } from "@sinclair/typebox";
import { closed, Duration, Name } from "./common.js";

export const PlainValue = Type.Union([Type.String({ maxLength: 10_000 }), Type.Number(), Type.Boolean()]);
export type PlainValue = Static<typeof PlainValue>;

/** What becomes of moments that passed while no server ran, or that a server comes to more than a minute late. */
export const CatchUp = Type.Union([
  /** They are noted as missed. */
  Type.Literal("none"),
  /** One run, for the last of them. */
  Type.Literal("last"),
  /** A run for each of the last `catchUpLimit`, in order. */
  Type.Literal("all"),
]);
export type CatchUp = Static<typeof CatchUp>;
/** What becomes of a moment that comes while a run of the schedule is under way. */
export const Overlap = Type.Union([
  Type.Literal("skip"),
  /** It waits for the run's end; at most a hundred wait. */
  Type.Literal("queue"),
  Type.Literal("cancel_running"),
  Type.Literal("allow"),
]);
export type Overlap = Static<typeof Overlap>;

/** What of a schedule can be edited while it is there. */
export const scheduleSettings = {
  /** Five fields: minute, hour, day of the month, month, day of the week. */
  cron: Type.String({ maxLength: 200 }),
  /** As `Europe/Oslo`, in which the cron expression and the scheduled moment are read. */
  zone: Type.String({ maxLength: 100 }),
  /** Of the pipeline. A text may hold `{scheduled:month}`, with `year`, `month`, `week`, `date`, `hour` or `time`, also as `{scheduled:month-1}`. */
  params: Type.Record(Type.String({ maxLength: 100 }), PlainValue),
  catchUp: CatchUp,
  catchUpLimit: Type.Integer({ minimum: 1, maximum: 1_000 }),
  overlap: Overlap,
  /** Each moment is put off by a part of this, the same whoever asks, so that many schedules do not start at once. */
  jitter: Duration,
};
const { cron, zone, ...settings } = scheduleSettings;
export const ScheduleSpec = Type.Object(
  {
    name: Name,
    description: Type.Optional(Type.String({ maxLength: 1_000 })),
    pipeline: Name,
    cron,
    zone,
    params: Type.Optional(settings.params),
    /** Default `last`. */
    catchUp: Type.Optional(CatchUp),
    /** Default 100. */
    catchUpLimit: Type.Optional(settings.catchUpLimit),
    /** Default `skip`. */
    overlap: Type.Optional(Overlap),
    jitter: Type.Optional(Duration),
    /** Starts nothing until it is resumed. */
    paused: Type.Optional(Type.Boolean()),
    definedAt: Type.Optional(Type.String()),
  },
  closed,
);
export type ScheduleSpec = Static<typeof ScheduleSpec>;
