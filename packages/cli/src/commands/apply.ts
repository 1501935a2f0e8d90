import path from "node:path";
import type { Change, Plan, ProjectVersion } from "@millrace/sdk/api";
import { ApiError, type Client } from "@millrace/sdk/client";
import type { DatasetSpec } from "@millrace/sdk/spec";
import { print, printJson, tell } from "../output.js";
import { compileProject } from "../project/compile.js";
import { connect, type ServerOptions } from "../server.js";

export async function apply(given: string, options: ServerOptions & { dryRun?: boolean; wait: boolean; json?: boolean }): Promise<void> {
  const folder = path.resolve(given);
  const client = connect(options);
  const { spec, links, upload } = await compileProject(folder);
  for (const link of links) tell(`${link} is a link and is left out: a project's files are its own.`);

  const plan = await client.projects.plan(spec);
  for (const note of plan.notes ?? []) tell(note);
  if (options.dryRun) {
    if (options.json) return printJson(plan);
    return print([...planLines(plan.changes), summary(spec.name, plan.changes, "would be")].join("\n"));
  }
  await upload(client, plan);
  const applied = await client.projects.apply(spec);
  if (options.json) printJson(applied);
  else print(appliedLines(applied).join("\n"));
  const made = new Set(applied.changes.filter(({ kind, action }) => kind === "dataset" && action === "create").map(({ name }) => name));
  if (options.wait) await takenIn(client, spec.datasets, made, options.json ? tell : print).catch(unlessForbidden);
}

/** Files are taken in while the server is asked to: what follows the command finds them there. */
const longestMs = 60_000;
const lookMs = 200;
/** What is taken in at once needs no word before it is. */
const patienceMs = 3_000;
async function takenIn(client: Client, datasets: readonly DatasetSpec[], made: ReadonlySet<string>, say: (line: string) => void): Promise<void> {
  const began = performance.now();
  for (const { name } of datasets.filter((one) => one.watch !== undefined)) {
    let told = "";
    // What is new may be there before anyone looks.
    for (let waited = made.has(name); ; waited = true) {
      const { state, files, taken, message } = await client.datasets.coming(name);
      const sofar = `${taken} of ${files} ${files === 1 ? "file" : "files"} taken in`;
      if (state !== "coming") {
        if (message !== null) tell(message);
        else if (waited) say(`${name}: ${sofar}`);
        break;
      }
      const passed = performance.now() - began;
      if (passed > longestMs) {
        tell(`${name}: ${sofar}; the server goes on with it. See what came with: millrace dataset versions ${name}`);
        break;
      }
      if (passed > patienceMs && told !== sofar) say(`${name}: ${sofar} so far`);
      told = sofar;
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }
}

/** What was changed, and the version that the project is at. */
export function appliedLines(applied: Plan & ProjectVersion): string[] {
  const at = applied.commit === null ? "" : `, commit ${applied.commit.slice(0, 7)}${applied.dirty ? " and changes that are not committed" : ""}`;
  return [...planLines(applied.changes), summary(applied.project, applied.changes, "are"), `${applied.project} is at version ${applied.version}${at}`];
}

/** Whoever may apply need not be allowed to look at data. */
function unlessForbidden(error: unknown): void {
  if (!(error instanceof ApiError && error.status === 403)) throw error;
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
