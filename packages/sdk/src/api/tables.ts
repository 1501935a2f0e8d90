import { type Static, Type } from "@sinclair/typebox";
import { Nullable } from "./common.js";

export const TableColumn = Type.Object({ name: Type.String(), /** As DuckDB names it: `BIGINT`. */ type: Type.String() });
export type TableColumn = Static<typeof TableColumn>;
/** Where a version came from. */
export const DatasetOrigin = Type.Object({
  kind: Type.Union([Type.Literal("file"), Type.Literal("watch"), Type.Literal("s3"), Type.Literal("postgres"), Type.Literal("push"), Type.Literal("run")]),
  /** The address, the connection, or the folder. */
  of: Nullable(Type.String()),
  /** Who asked for it. */
  by: Nullable(Type.String()),
  run: Nullable(Type.String()),
  step: Nullable(Type.String()),
});
export type DatasetOrigin = Static<typeof DatasetOrigin>;
