import { ProjectSpec } from "./project.js";

/** The JSON Schema (2020-12) of a project's document: for editors and for those who write it in another language. */
export function projectSchema(): Record<string, unknown> {
  const definitions: Record<string, unknown> = {};
  // TypeBox refers to what goes into itself by an id of its own; here it stands once, under $defs.
  const schema = JSON.parse(JSON.stringify(ProjectSpec), (key, value: unknown) => {
    if (key === "$ref" && typeof value === "string") return `#/$defs/${value}`;
    if (typeof value !== "object" || value === null || !("$id" in value) || typeof value.$id !== "string") return value;
    const { $id, ...rest } = value;
    definitions[$id] = rest;
    return { $ref: `#/$defs/${$id}` };
  }) as Record<string, unknown>;
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "A project of Millrace, millrace/v1",
    ...schema,
    $defs: definitions,
  };
}
