import { type Static, Type } from "@sinclair/typebox";
import { Json, Time } from "./common.js";

export const ClockState = Type.Object({
  now: Time,
  kind: Type.Union([Type.Literal("system"), Type.Literal("replay")]),
});
export type ClockState = Static<typeof ClockState>;
/** Moves a replayed clock forward, lets everything that is due by then happen, and answers when it has. */
export const ClockAdvance = Type.Object({ to: Time });

/** Something that happened, in the order in which it became visible. */
export const Event = Type.Object({
  id: Type.String(),
  /** `<subject kind>.<what happened>`, as `run.finished`. */
  type: Type.String(),
  /** Name or id of what it happened to. */
  subject: Type.String(),
  data: Type.Record(Type.String(), Json),
  at: Time,
});
export type Event = Static<typeof Event>;
