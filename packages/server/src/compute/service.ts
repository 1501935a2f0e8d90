import path from "node:path";
import type { Access } from "../access/index.js";
import type { Platform } from "../platform/index.js";
import type { Backend } from "./backend.js";
import { makeEnvironment } from "./environment.js";
import { findPython, findPythonOf } from "./interpreter.js";
import { kubernetesBackend } from "./kubernetes.js";
import { localBackend } from "./local.js";
import { lockRequirements } from "./lock.js";
import { rayBackend } from "./ray.js";
import { createRowChecks } from "./row-checks.js";
import type { Compute, Interpreter } from "./types.js";
import { typescriptBackend } from "./typescript.js";
import { openRunners } from "./typescript-runners.js";

/** Without `access` nobody can be let in from elsewhere: then there is no backend but `local`. */
export function createCompute(
  platform: Pick<Platform, "config" | "objects"> & Partial<Pick<Platform, "address">>,
  { access }: { access?: Pick<Access, "issueToken"> } = {},
): Compute {
  const { config, objects } = platform;
  const folder = process.env.MILLRACE_ENVIRONMENTS ?? path.join(config.dataDir, "environments");
  // Beside environments that several servers share, for all of them.
  const toolsFolder = process.env.MILLRACE_ENVIRONMENTS === undefined ? path.join(config.dataDir, "tools") : path.join(folder, "tools");
  let found: Promise<Interpreter> | undefined;
  /** Asked once; where there is none it is looked for again, so that installing one is enough. */
  function python(version?: string): Promise<Interpreter> {
    if (version !== undefined) return findPythonOf(version, python);
    found ??= findPython().catch((error) => {
      found = undefined;
      throw error;
    });
    return found;
  }
  const environment: Compute["environment"] = async (requirements, progress, version) =>
    makeEnvironment({ folder, toolsFolder }, await python(version), requirements, progress);
  const { folderBytes, kubernetes, ray } = config.compute ?? {};
  const disk = folderBytes === undefined ? {} : { folderBytes };
  const backends: Backend[] = [localBackend({ config, objects }, { python, environment }, disk)];
  const runners = openRunners({ config, objects });
  backends.push(typescriptBackend({ objects }, runners, disk));
  if (access !== undefined) {
    const remote = { config, objects, address: platform.address ?? { url: undefined } };
    if (ray !== undefined) backends.push(rayBackend(remote, access, ray));
    if (kubernetes !== undefined) backends.push(kubernetesBackend(remote, access, kubernetes));
  }
  return {
    python,
    environment,
    lock: async (wanted, progress, version) => lockRequirements({ toolsFolder }, await python(version), wanted, progress),
    backends: backends.map((one) => one.name),
    checkRows: createRowChecks(runners),
    async stop() {
      await Promise.all(backends.map((one) => one.stop?.()));
      await runners.stop();
    },
    backend(name = "local") {
      const backend = backends.find((one) => one.name === name);
      if (backend !== undefined) return backend;
      throw new Error(`There is no backend "${name}" here; there is ${backends.map((one) => one.name).join(", ")}. docs/compute.md says how to set one up.`);
    },
  };
}
