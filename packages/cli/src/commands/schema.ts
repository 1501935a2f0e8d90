import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import type { ColumnRule, SchemaSpec } from "@millrace/sdk/spec";
import { CliError, exit } from "../errors.js";
import { print, printJson } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export async function inferSchema(file: string, options: ServerOptions & { json?: boolean; name?: string }): Promise<void> {
  const name =
    options.name ??
    path
      .basename(file)
      .replace(/\.[^.]*$/, "")
      .replaceAll(/[^a-zA-Z0-9_-]/g, "_");
  if (!/^[a-zA-Z][a-zA-Z0-9_-]{0,99}$/.test(name)) throw new CliError(`"${name}" can't name a schema: give another with --name, as flights.`, exit.usage);
  if (!(await stat(file)).isFile()) throw new CliError(`${file} is no file.`, exit.usage);
  const bytes = new Blob(await Readable.from(createReadStream(file)).toArray());
  const schema = await connect(options).schemas.infer(name, bytes);
  if (options.json) printJson(schema);
  else print(schemaSource(schema));
}

/** The TypeScript that defines a schema. */
export function schemaSource(schema: SchemaSpec): string {
  const columns = Object.entries(schema.columns);
  const types = [...new Set(columns.map(([, { type }]) => type))].sort();
  const lines = columns.map(([name, { type, ...rule }]) => `    ${key(name)}: ${type}(${ruleSource(rule)}),`);
  const rest = [
    ...(schema.unexpectedColumns === undefined ? [] : [`  unexpectedColumns: ${JSON.stringify(schema.unexpectedColumns)},`]),
    ...(schema.minRows === undefined ? [] : [`  minRows: ${schema.minRows},`]),
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
const source = (value: unknown): string => (Array.isArray(value) ? `[${value.map((one) => JSON.stringify(one)).join(", ")}]` : JSON.stringify(value));
const key = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
const identifier = (name: string): string => `${name.replaceAll(/[^a-zA-Z0-9]+(.)?/g, (_, next: string | undefined) => next?.toUpperCase() ?? "")}Schema`;
