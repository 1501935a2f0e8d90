import path from "node:path";
import type { Platform } from "../platform/index.js";
import { makeEnvironment } from "./environment.js";
import { findPython } from "./interpreter.js";
import { runScript } from "./script.js";
import type { Compute, Interpreter } from "./types.js";

export function createCompute({ config }: Pick<Platform, "config">): Compute {
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
  return {
    python,
    environment: async (requirements, progress) => makeEnvironment({ folder, toolsFolder }, await python(), requirements, progress),
    runPython: runScript,
  };
}
