import { type Static, Type } from "@sinclair/typebox";
import { Digest } from "../spec.js";
import { Nullable, Time } from "./common.js";

export const Change = Type.Object({
  action: Type.Union([Type.Literal("create"), Type.Literal("update"), Type.Literal("delete"), Type.Literal("unchanged")]),
  /** `dataset`, `schema`, `feature view` and so on. */
  kind: Type.String(),
  name: Type.String(),
  /** What differs, as paths into the definition. */
  fields: Type.Optional(Type.Array(Type.String())),
});
export type Change = Static<typeof Change>;
export const Plan = Type.Object({
  project: Type.String(),
  changes: Type.Array(Change),
  /** Digests of the project's files that the server does not have yet. */
  missing: Type.Array(Digest),
  /** What holds on the server in place of what the document says, as an edited schedule. */
  notes: Type.Optional(Type.Array(Type.String())),
});
export type Plan = Static<typeof Plan>;
export const ProjectVersion = Type.Object({
  project: Type.String(),
  version: Type.Integer(),
  digest: Digest,
  commit: Nullable(Type.String()),
  dirty: Type.Boolean(),
  appliedAt: Time,
  appliedBy: Type.String(),
});
export type ProjectVersion = Static<typeof ProjectVersion>;
