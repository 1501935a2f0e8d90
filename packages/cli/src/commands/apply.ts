import { readFile } from "node:fs/promises";
import path from "node:path";
import { compile, ProjectError } from "@millrace/sdk";
import type { Change } from "@millrace/sdk/api";
import { CliError } from "../errors.js";
import { print, printJson, tell } from "../output.js";
import { projectFiles } from "../project/files.js";
import { loadProject } from "../project/load.js";
import { sourceOf } from "../project/source.js";
import { connect, type ServerOptions } from "../server.js";

export async function apply(given: string, options: ServerOptions & { dryRun?: boolean; json?: boolean }): Promise<void> {
  const folder = path.resolve(given);
  const client = connect(options);
  const project = await loadProject(folder);
  const [{ files, links }, source] = await Promise.all([projectFiles(folder), sourceOf(folder)]);
  for (const link of links) tell(`${link} is a link and is left out: a project's files are its own.`);
  const spec = compileOrTell(() => compile(project, { folder, files, source }));

  const plan = await client.projects.plan(spec);
  for (const note of plan.notes ?? []) tell(note);
  if (options.dryRun) {
    if (options.json) return printJson(plan);
    return print([...planLines(plan.changes), summary(spec.name, plan.changes, "would be")].join("\n"));
  }
  const wanted = new Set(plan.missing);
  for (const file of files) {
    if (!wanted.delete(file.digest)) continue;
    const bytes = await readFile(path.join(folder, file.path));
    await client.projects.upload(file.digest, new Uint8Array(bytes));
  }
  const applied = await client.projects.apply(spec);
  if (options.json) return printJson(applied);
  const at = applied.commit === null ? "" : `, commit ${applied.commit.slice(0, 7)}${applied.dirty ? " and changes that are not committed" : ""}`;
  print([...planLines(applied.changes), summary(spec.name, applied.changes, "are"), `${spec.name} is at version ${applied.version}${at}`].join("\n"));
}

function compileOrTell<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof ProjectError) throw new CliError(error.message);
    throw error;
  }
}

const signs = { create: "+", update: "~", delete: "-", unchanged: " " } as const;
function planLines(changes: readonly Change[]): string[] {
  return changes
    .filter((change) => change.action !== "unchanged")
    .map(({ action, kind, name, fields }) => `  ${signs[action]} ${kind.replaceAll("_", " ")} ${name}${fields === undefined ? "" : ` (${shorten(fields)})`}`);
}
const shorten = (fields: readonly string[]): string =>
  fields.length > 5 ? `${fields.slice(0, 5).join(", ")} and ${fields.length - 5} more` : fields.join(", ");

function summary(project: string, changes: readonly Change[], verb: string): string {
  const of = (action: Change["action"]) => changes.filter((change) => change.action === action).length;
  const [created, updated, deleted] = [of("create"), of("update"), of("delete")];
  if (created + updated + deleted === 0) return `${project}: no definition changes`;
  return `${project}: ${created} ${verb} created, ${updated} changed, ${deleted} deleted`;
}
