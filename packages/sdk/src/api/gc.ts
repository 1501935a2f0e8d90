import { type Static, Type } from "@sinclair/typebox";
import { Duration } from "../spec.js";
import { Nullable, Time } from "./common.js";

/** Ages as `30d`. What is older is freed for good. */
export const CollectionStart = Type.Object({ olderThan: Type.Optional(Duration), dryRun: Type.Optional(Type.Boolean()) });
export type CollectionStart = Static<typeof CollectionStart>;
/** One round of freeing what was deleted. Its numbers grow while it runs; those of a dry run tell what would be freed. */
export const Collection = Type.Object({
  id: Type.String(),
  state: Type.Union([Type.Literal("running"), Type.Literal("done"), Type.Literal("failed"), Type.Literal("interrupted")]),
  phase: Type.Union([Type.Literal("rows"), Type.Literal("objects")]),
  dryRun: Type.Boolean(),
  by: Type.String(),
  deletedBefore: Time,
  /** `artifacts` are names of files, `points` values of metrics, `objects` contents in the store. */
  freed: Type.Object({
    experiments: Type.Number(),
    runs: Type.Number(),
    loggedModels: Type.Number(),
    points: Type.Number(),
    artifacts: Type.Number(),
    artifactBytes: Type.Number(),
    objects: Type.Number(),
    objectBytes: Type.Number(),
  }),
  /** Deleted long ago, and kept: what live versions, runs and pipelines refer to, and objects that are less than a day old. */
  kept: Type.Object({
    experiments: Type.Number(),
    runs: Type.Number(),
    loggedModels: Type.Number(),
    youngObjects: Type.Number(),
    youngObjectBytes: Type.Number(),
  }),
  message: Nullable(Type.String()),
  /** By the machine's clock. */
  startedAt: Time,
  finishedAt: Nullable(Time),
});
export type Collection = Static<typeof Collection>;
