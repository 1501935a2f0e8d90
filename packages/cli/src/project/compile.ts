/** From a project's folder to the document that a server takes, and the files that go with it. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { type CheckSpec, checkProject, checksOf, compile, ProjectError } from "@millrace/sdk";
import type { Plan } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import type { ProjectSpec } from "@millrace/sdk/spec";
import { CliError } from "../errors.js";
import { withCode } from "./code.js";
import { projectFiles } from "./files.js";
import { loadProject } from "./load.js";
import { sourceOf } from "./source.js";

type Uploads = { projects: Pick<Client["projects"], "upload"> };
export interface Compiled {
  spec: ProjectSpec;
  /** What `millrace check` runs. */
  checks: CheckSpec[];
  /** Links in the folder, which are left out. */
  links: string[];
  /** The bytes of one of the document's files. */
  read(digest: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Sends the files that the server lacks. */
  upload(client: Uploads, plan: Pick<Plan, "missing">): Promise<void>;
}

/** Throws a CliError with a line for everything that is wrong. */
export async function compileProject(folder: string): Promise<Compiled> {
  const project = await loadProject(folder);
  const [{ files, links }, source] = await Promise.all([projectFiles(folder), sourceOf(folder)]);
  const draft = compileOrTell(() => compile(project, { folder, source }));
  const { spec, made } = await withCode(draft, folder, files);
  compileOrTell(() => {
    const problems = checkProject(spec);
    if (problems.length > 0) throw new ProjectError(problems);
  });
  const places = new Map(spec.files.map((file) => [file.digest, file.path]));
  const read = async (digest: string) => new Uint8Array(made.get(digest) ?? (await readFile(path.join(folder, places.get(digest) ?? ""))));
  return {
    spec,
    checks: checksOf(project, { folder }),
    links,
    read,
    async upload(client, { missing }) {
      for (const digest of new Set(missing)) if (places.has(digest)) await client.projects.upload(digest, await read(digest));
    },
  };
}

/** What the files define, without the code of steps: quick, and enough for who looks at definitions alone. */
export async function definitionsOf(folder: string): Promise<ProjectSpec> {
  const project = await loadProject(folder);
  return compileOrTell(() => compile(project, { folder }));
}

function compileOrTell<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof ProjectError) throw new CliError(error.message);
    throw error;
  }
}
