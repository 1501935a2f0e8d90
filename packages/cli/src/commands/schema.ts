import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { ColumnRule, RelationSpec, SchemaSpec } from "@millrace/sdk/spec";
import { CliError, exit } from "../errors.js";
import { print, printJson, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";
import { bytesOf, fileAt, versionNamed } from "./validate.js";

export async function inferSchema(what: string, options: ServerOptions & { json?: boolean; name?: string; write?: string }): Promise<void> {
  const client = connect(options);
  const file = await fileAt(what);
  const base = file ? path.basename(what).replace(/\.[^.]*$/, "") : (what.split("@")[0] ?? what);
  const name = options.name ?? base.replaceAll(/[^a-zA-Z0-9_-]/g, "_");
  if (!/^[a-zA-Z][a-zA-Z0-9_-]{0,99}$/.test(name)) throw new CliError(`"${name}" can't name a schema: give another with --name, as flights.`, exit.usage);
  let schema: SchemaSpec;
  if (file) schema = await client.schemas.infer(name, await bytesOf(what), path.basename(what));
  else {
    const { dataset, version } = await versionNamed(client, what);
    schema = await client.datasets.inferSchema(dataset, version, name);
  }
  if (options.json) printJson(schema);
  if (options.write !== undefined) {
    await mkdir(path.dirname(path.resolve(options.write)), { recursive: true });
    // What a person edited is not written over.
    await writeFile(options.write, `${schemaSource(schema)}\n`, { flag: "wx" }).catch((error: NodeJS.ErrnoException) => {
      throw error.code === "EEXIST" ? new CliError(`${options.write} is there already. Name another file, or remove it.`) : error;
    });
    tell(`${options.write} is written. Review it: the rules are what this one table keeps.`);
  } else if (!options.json) print(schemaSource(schema));
}

/** The TypeScript that defines a schema. */
export function schemaSource(schema: SchemaSpec): string {
  const columns = Object.entries(schema.columns);
  const relations = schema.relations ?? [];
  const types = [...new Set([...columns.map(([, { type }]) => type), ...relations.map(({ kind }) => builders[kind])])];
  const lines = columns.map(([name, { type, ...rule }]) => `    ${key(name)}: ${type}(${ruleSource(rule)}),`);
  const rest = [
    ...(schema.unexpectedColumns === undefined ? [] : [`  unexpectedColumns: ${JSON.stringify(schema.unexpectedColumns)},`]),
    ...(schema.minRows === undefined ? [] : [`  minRows: ${schema.minRows},`]),
    ...(schema.maxRows === undefined ? [] : [`  maxRows: ${schema.maxRows},`]),
    ...(schema.volume === undefined ? [] : [`  volume: ${source(schema.volume)},`]),
    ...(schema.freshness === undefined ? [] : [`  freshness: ${source(schema.freshness)},`]),
    ...(relations.length === 0 ? [] : ["  relations: [", ...relations.map((one) => `    ${relationSource(one)},`), "  ],"]),
  ];
  return [
    `import { ${[...types, "schema"].sort().join(", ")} } from "@millrace/sdk";`,
    "",
    `export const ${identifier(schema.name)} = schema({`,
    `  name: ${JSON.stringify(schema.name)},`,
    "  columns: {",
    ...lines,
    "  },",
    ...rest,
    "});",
  ].join("\n");
}

function ruleSource(rule: Omit<ColumnRule, "type">): string {
  const entries = Object.entries(rule).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? "" : `{ ${entries.map(([name, value]) => `${name}: ${source(value)}`).join(", ")} }`;
}
function source(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(source).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .map(([name, one]) => `${key(name)}: ${source(one)}`)
    .join(", ")} }`;
}
const builders = { compare: "compare", sum: "sums", not_all_null: "notAllNull", null_together: "nullTogether", unique: "uniqueTogether" } as const;
function relationSource(relation: RelationSpec): string {
  const of =
    relation.kind === "compare" ? [relation.left, relation.op, relation.right] : relation.kind === "sum" ? [relation.of, relation.equals] : [relation.columns];
  return `${builders[relation.kind]}(${of.map(source).join(", ")})`;
}
const key = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
const identifier = (name: string): string => `${name.replaceAll(/[^a-zA-Z0-9]+(.)?/g, (_, next: string | undefined) => next?.toUpperCase() ?? "")}Schema`;
