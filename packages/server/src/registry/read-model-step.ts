import type { StepKind } from "../pipelines/step.js";
import { invalid } from "../platform/index.js";
import type { Registry } from "./types.js";

/** Gives the files of the version that an alias names, so that training can go on from it. */
export function createReadModelStep(registry: Pick<Registry, "byAlias">): StepKind<"read_model"> {
  return {
    kind: "read_model",
    version: "1",
    async identity({ node: { config } }) {
      const found = await registry.byAlias(config.model, config.alias);
      return found === undefined ? { version: null } : { version: found.version, digest: found.digest };
    },
    async run({ node: { config, outputs }, log }) {
      const found = await registry.byAlias(config.model, config.alias);
      if (found === undefined) {
        if (config.optional !== true)
          throw invalid(`No version of the model "${config.model}" has the alias "${config.alias}". Register one, or say that the model is optional.`);
        log(`no version of ${config.model} is the ${config.alias}: nothing is given`);
        return { outputs: {} };
      }
      log(`${config.model}/${found.version} is the ${config.alias}`);
      const meta = { model: found.model, version: found.version };
      return { outputs: { [outputs[0]?.name ?? "model"]: { type: "model", digest: found.digest, files: found.files, meta } } };
    },
  };
}
