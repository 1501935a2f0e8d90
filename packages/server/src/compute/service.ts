import path from "node:path";
import type { Platform } from "../platform/index.js";
import type { Backend } from "./backend.js";
import { makeEnvironment } from "./environment.js";
import { findPython } from "./interpreter.js";
import { localBackend } from "./local.js";
import { runScript } from "./script.js";
import type { Compute, Interpreter } from "./types.js";

export function createCompute({ config, objects }: Pick<Platform, "config" | "objects">): Compute {
  const folder = process.env.MILLRACE_ENVIRONMENTS ?? path.join(config.dataDir, "environments");
  const toolsFolder = path.join(config.dataDir, "tools");
  let found: Promise<Interpreter> | undefined;
  /** Asked once; where there is none it is looked for again, so that installing one is enough. */
  function python(): Promise<Interpreter> {
    found ??= findPython().catch((error) => {
      found = undefined;
      throw error;
    });
    return found;
  }
  const environment: Compute["environment"] = async (requirements, progress) =>
    makeEnvironment({ folder, toolsFolder }, await python(), requirements, progress);
  const backends: Backend[] = [localBackend({ config, objects }, { python, environment })];
  return {
    python,
    environment,
    runPython: runScript,
    backend(name = "local") {
      const backend = backends.find((one) => one.name === name);
      if (backend !== undefined) return backend;
      throw new Error(`There is no backend "${name}" here; there is ${backends.map((one) => one.name).join(", ")}. docs/compute.md says how to set one up.`);
    },
  };
}
