import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectSchema } from "../spec.js";

test("the published schema is that of the types; write it anew with: npm run schema", () => {
  const published: unknown = JSON.parse(readFileSync(new URL("../../schema/project-v1.json", import.meta.url), "utf8"));
  expect(projectSchema()).toEqual(published);
});

test("all that the schema refers to is in it, and every object is closed", () => {
  const schema = projectSchema();
  const defined = Object.keys(schema.$defs ?? {});
  const open: string[] = [];
  JSON.parse(JSON.stringify(schema), function (this: Record<string, unknown>, key, value: unknown) {
    if (key === "$ref") expect(defined.map((name) => `#/$defs/${name}`)).toContain(value);
    if (key === "type" && value === "object" && this.additionalProperties !== false && this.patternProperties === undefined)
      open.push(JSON.stringify(this).slice(0, 100));
    return value;
  });
  expect(defined.sort()).toEqual(["Expr", "GraphNode", "Node"]);
  expect(open).toEqual([]);
});
