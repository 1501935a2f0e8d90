import { existsSync, openAsBlob } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import path from "node:path";
import type { ValidationReport } from "@millrace/sdk/api";
import { ApiError, type Client } from "@millrace/sdk/client";
import type { SchemaSpec } from "@millrace/sdk/spec";
import { CliError, exit } from "../errors.js";
import { junit } from "../junit.js";
import { count, print, printJson, tell } from "../output.js";
import { connect, isNotFound, type ServerOptions } from "../server.js";

export interface ValidateOptions extends ServerOptions {
  json?: boolean;
  junit?: string;
  environment?: string;
  dataset?: string;
  whole?: boolean;
  project?: string;
  applied?: boolean;
}

/** Checks a file, or a version of a dataset, and ends with 3 where something blocks. */
export async function validate(name: string, what: string, options: ValidateOptions): Promise<void> {
  const client = connect(options);
  const schema = (await schemaHere(client, name, options)) ?? name;
  const environment = options.environment === undefined ? {} : { environment: options.environment };
  const file = await fileAt(what);
  let report: ValidationReport;
  if (file) {
    const dataset = options.dataset === undefined ? {} : { dataset: options.dataset };
    report = await client.schemas.validate(schema, await bytesOf(what), { ...environment, ...dataset, file: path.basename(what) });
  } else {
    const { dataset, version } = await versionNamed(client, what);
    report = await client.datasets.validate(dataset, version, { schema, ...environment }, options.whole ? "whole" : "added");
  }
  if (options.junit !== undefined) await writeFile(options.junit, junit(report, what));
  if (options.json) printJson(report);
  else tellReport(report);
  if (!report.passed) throw new CliError(`${what} does not fit the schema "${name}".`, exit.refused);
}

/** The schema as the project's files say it, applied or not. Undefined where they say nothing of it, or what the server has: then the server's counts. */
async function schemaHere(client: Client, name: string, { project, applied }: ValidateOptions): Promise<SchemaSpec | undefined> {
  const folder = path.resolve(project ?? ".");
  if (applied || (project === undefined && !["ts", "mts", "js", "mjs"].some((end) => existsSync(path.join(folder, `millrace.${end}`))))) return undefined;
  const { compileProject, definitionsOf } = await import("../project/compile.js");
  const found = (await definitionsOf(folder)).schemas.find((schema) => schema.name === name);
  if (found === undefined && project !== undefined) throw new CliError(`The project in ${project} has no schema "${name}".`);
  if (found === undefined) return undefined;
  const functions = (found.expectations ?? []).filter((one) => "bundle" in one);
  if (functions.length > 0) {
    // The server runs the code of projects that were applied, and of nobody else.
    const plan = await client.projects.plan((await compileProject(folder)).spec).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 403) return undefined;
      throw error;
    });
    if (plan?.changes.some((change) => change.kind === "schema" && change.name === name && change.action === "unchanged")) return undefined;
    tell(`Left out, as functions run when they are applied: ${functions.map((one) => one.name).join(", ")}.`);
  }
  tell(`The schema "${name}" is as the project's files say; with --applied, as the server has it.`);
  return { ...found, ...(found.expectations === undefined ? {} : { expectations: found.expectations.filter((one) => !("bundle" in one)) }) };
}

/** A file on this machine. */
export async function fileAt(what: string): Promise<boolean> {
  return stat(what).then(
    (found) => found.isFile(),
    () => false,
  );
}
/** Read when it is sent. */
export const bytesOf = (file: string): Promise<Blob> => openAsBlob(file);

/** `flights` is the newest version, `flights@3` that one. */
export async function versionNamed(client: Client, text: string): Promise<{ dataset: string; version: number }> {
  const match = /^([a-zA-Z][a-zA-Z0-9_-]{0,99})(?:@([1-9][0-9]{0,8}|latest))?$/.exec(text);
  if (match?.[1] === undefined) throw new CliError(`There is no file ${text}, and it names no dataset: write one as flights or flights@3.`, exit.usage);
  if (match[2] !== undefined && match[2] !== "latest") return { dataset: match[1], version: Number(match[2]) };
  const found = await client.datasets.get(match[1]).catch((error: unknown) => {
    if (isNotFound(error)) throw new CliError(`There is neither a file nor a dataset ${text}.`);
    throw error;
  });
  if (found.latest === null) throw new CliError(`The dataset ${text} has no accepted version yet.`);
  return { dataset: found.name, version: found.latest.version };
}

export function tellReport(report: ValidationReport): void {
  const checks = report.checks ?? [];
  for (const { severity, kind, message, examples, rule } of report.anomalies) {
    print(`${severity === "block" ? "blocks" : "warns "}  ${kind.replaceAll("_", " ")}: ${message}`);
    const rows = examples.filter((one) => typeof one === "object" && one !== null && !("count" in one));
    for (const row of rows) print(`          ${JSON.stringify(row)}`);
    if (rule !== null) print(`        at ${rule}`);
  }
  for (const { name, skipped } of checks) if (skipped !== undefined) tell(`skipped ${name}: ${skipped}`);
  const blocking = report.anomalies.filter(({ severity }) => severity === "block").length;
  const warning = report.anomalies.length - blocking;
  print(`${count(report.rows)} rows, ${checks.length} checks: ${report.passed ? "passed" : `${blocking} block`}${warning > 0 ? `, ${warning} warn` : ""}.`);
}
