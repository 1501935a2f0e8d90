import { type Static, Type } from "@sinclair/typebox";

export const closed = { additionalProperties: false } as const;
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
