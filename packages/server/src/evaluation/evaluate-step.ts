import type { EvaluationReport, Metrics } from "@millrace/sdk/api";
import type { StepKind } from "../pipelines/step.js";
import type { Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { artifact, digestOf, modelSource } from "./artifacts.js";
import type { ScorerSource, VersionRegistry } from "./ports.js";
import { evaluate, type ScoredModel } from "./report.js";

/** Scores a candidate, and the champion beside it, on rows that neither was trained on. */
export function evaluateStep(
  platform: Pick<Platform, "objects" | "duckdb">,
  { projects, registry, inference }: { projects: Pick<Projects, "require">; registry: VersionRegistry; inference: ScorerSource },
): StepKind<"evaluate"> {
  const featuresOf = async (service: string) => (await projects.require("feature_service", service)).spec.features;
  const opened = async (name: string, files: { path: string; digest: string }[], service: string): Promise<ScoredModel> => {
    const features = await featuresOf(service);
    return { name, features, scorer: await inference.openModel(await modelSource(platform.objects, files, name), features) };
  };

  return {
    kind: "evaluate",
    version: "1",
    async identity({ node: { config } }) {
      const champion = config.against === undefined ? undefined : await registry.byAlias(config.against.model, config.against.alias);
      return {
        features: await featuresOf(config.service),
        champion: champion === undefined ? null : { digest: champion.digest, features: await featuresOf(champion.service ?? config.service) },
      };
    },
    async run({ node: { config, outputs }, inputs, signal, log }) {
      const model = artifact(inputs, "model", "model");
      const rows = artifact(inputs, "rows", "table");
      const against = config.against === undefined ? undefined : await registry.byAlias(config.against.model, config.against.alias);
      const open: ScoredModel[] = [];
      try {
        const candidate = await opened("the candidate", model.files, config.service);
        open.push(candidate);
        let champion: (ScoredModel & { version: string }) | undefined;
        if (against !== undefined) {
          const version = `${against.model}/${against.version}`;
          champion = { ...(await opened(version, against.files, against.service ?? config.service)), version };
          open.push(champion);
        }
        const parity = model.files.find((f) => f.path === "parity.parquet");
        const report = await platform.duckdb.use((connection) =>
          evaluate({
            connection,
            objects: platform.objects,
            rows,
            label: config.label,
            slices: config.slices,
            candidate,
            champion,
            parity: parity === undefined ? undefined : digestOf(parity.digest),
            signal,
            log,
          }),
        );
        const metrics = shownMetrics(report);
        log(
          Object.entries(metrics)
            .map(([name, value]) => `${name} ${value.toFixed(5)}`)
            .join(", "),
        );
        const stored = await platform.objects.put(Buffer.from(JSON.stringify(report)));
        const output = outputs.find((o) => o.type === "report")?.name ?? "report";
        return {
          outputs: {
            [output]: {
              type: "report",
              digest: stored.digest,
              files: [{ path: "report.json", digest: stored.digest, size: stored.size }],
              meta: { metrics, championVersion: report.championVersion },
            },
          },
          metrics,
        };
      } finally {
        await Promise.all(open.map((m) => m.scorer.close()));
      }
    },
  };
}

/** The numbers that stand beside a run: the candidate's by name, the champion's with `champion_` before. */
function shownMetrics(report: EvaluationReport): Record<string, number> {
  const of = (metrics: Metrics, prefix: string) =>
    (["auc", "log_loss", "brier", "calibration_error"] as const).flatMap((name) => {
      const value = metrics[name];
      return value === null ? [] : [[`${prefix}${name}`, value] as const];
    });
  return Object.fromEntries([...of(report.candidate, ""), ...(report.champion === null ? [] : of(report.champion, "champion_"))]);
}
