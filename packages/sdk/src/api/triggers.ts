import { type Static, Type } from "@sinclair/typebox";
import { Nullable, Time } from "./common.js";

export const Firing = Type.Object({
  id: Type.String(),
  trigger: Type.String(),
  at: Time,
  condition: Type.String(),
  /** `started`, `skipped` (a cron moment in the cool-down), `deferred` (a condition that holds waits for the end of the cool-down) */
  outcome: Type.String(),
  reason: Type.String(),
  runId: Nullable(Type.String()),
});
export type Firing = Static<typeof Firing>;
export const Trigger = Type.Object({
  name: Type.String(),
  project: Type.String(),
  pipeline: Type.String(),
  paused: Type.Boolean(),
  conditions: Type.Array(Type.String()),
  coolDownUntil: Nullable(Time),
  nextCron: Nullable(Time),
  lastFiring: Nullable(Firing),
});
export type Trigger = Static<typeof Trigger>;
