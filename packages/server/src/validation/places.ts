import type { SchemaSpec } from "@millrace/sdk/spec";

/** The rules without where they stand: moving a line changes nothing. */
export function withoutPlaces(schema: SchemaSpec): unknown {
  return JSON.parse(JSON.stringify(schema), (key, value: unknown) => (key === "definedAt" && typeof value === "string" ? undefined : value));
}

/** What goes into the database has no NUL, which its texts can't hold. */
export function storable<T>(value: T): T;
export function storable(value: unknown): unknown {
  if (typeof value === "string") return value.replaceAll("\u0000", "\ufffd");
  if (Array.isArray(value)) return value.map(storable);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key.replaceAll("\u0000", "\ufffd"), storable(inner)]));
}
