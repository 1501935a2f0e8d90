import { EvaluationReport } from "@millrace/sdk/api";
import { Value } from "@sinclair/typebox/value";
import type { StepKind, StepResult } from "../pipelines/step.js";
import { invalid, newId, type ObjectStore, type Platform } from "../platform/index.js";
import { artifact, type Digest, digestOf } from "./artifacts.js";
import { judgeGates } from "./gates.js";
import type { VersionRegistry } from "./ports.js";

const championAlias = "champion";
const maxReportBytes = 64 * 1024 * 1024;

/** Registers a model where every gate passes; else refuses, with every gate that said no. */
export function registerStep(platform: Pick<Platform, "objects">, registry: VersionRegistry): StepKind<"register"> {
  return {
    kind: "register",
    version: "1",
    // An act on the registry as it is now: its outcome is never taken from an earlier run.
    identity: async () => ({ once: newId() }),
    async run({ node: { config, outputs }, inputs, runId, trackingRunId, log }): Promise<StepResult> {
      const model = artifact(inputs, "model", "model");
      const report = artifact(inputs, "report", "report");
      const evaluation = await readReport(platform.objects, digestOf(report.files[0]?.digest ?? ""));

      const gates = judgeGates(config.gates, evaluation);
      for (const gate of gates) log(`${gate.passed ? "passed" : gate.severity === "block" ? "FAILED" : "warning"}: ${gate.gate}. ${gate.message}`);
      const failed = gates.filter((g) => !g.passed && g.severity === "block");
      if (failed.length > 0) {
        const reasons = failed.map((g) => `${g.gate}: ${g.message}`);
        return { outputs: {}, refused: `${failed.length} of ${gates.length} gates said no. ${reasons.join(" ")}` };
      }

      const known = await registry.byDigest(config.model, model.digest);
      const version = known?.version ?? (await register());
      const name = `${config.model}/${version}`;
      if (known === undefined) log(`registered ${name}`);
      else log(`${name} holds this very model already; no new version is made`);
      // A version of this run that is known was registered by an attempt that was cut off, perhaps before its aliases.
      if (known === undefined || known.runId === runId) {
        if ((await registry.byAlias(config.model, championAlias)) === undefined) {
          await registry.setAlias(config.model, championAlias, version);
          log(`${name} is the first ${championAlias}`);
        }
        await registry.setAlias(config.model, config.alias, version);
        log(`${name} is the ${config.alias}`);
      }
      const output = outputs.find((o) => o.type === "model_version")?.name ?? "version";
      return {
        outputs: { [output]: { type: "model_version", digest: model.digest, files: [], meta: { model: config.model, version, new: known === undefined } } },
        modelVersion: name,
      };

      async function register(): Promise<number> {
        const metrics = numbers(report.meta.metrics);
        const made = await registry.register({
          model: config.model,
          digest: model.digest,
          files: model.files,
          service: config.service,
          runId,
          trackingRunId,
          metrics,
          gates,
          report: evaluation,
        });
        return made.version;
      }
    },
  };
}

async function readReport(objects: ObjectStore, digest: Digest): Promise<EvaluationReport> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of await objects.read(digest)) {
    size += part.length;
    if (size > maxReportBytes) throw invalid(`The report is larger than ${maxReportBytes} bytes.`);
    parts.push(part);
  }
  const report: unknown = JSON.parse(Buffer.concat(parts).toString("utf8"));
  if (!Value.Check(EvaluationReport, report)) throw invalid("The input `report` is no report of an evaluation.");
  return report;
}

function numbers(value: unknown): Record<string, number> {
  if (value === null || typeof value !== "object") return {};
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, number] => typeof entry[1] === "number"));
}
