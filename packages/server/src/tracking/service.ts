import { createHash } from "node:crypto";
import type { Access } from "../access/index.js";
import { largest, wrongState } from "../mlflow/index.js";
import type { Platform } from "../platform/index.js";
import { createArtifacts } from "./artifacts.js";
import { createRunKeys } from "./columns.js";
import { createExperiments } from "./experiments.js";
import { createHistory } from "./history.js";
import { createInputs } from "./inputs.js";
import { createLog } from "./log.js";
import { createModels } from "./models.js";
import { createOverview } from "./overview.js";
import { createPreview } from "./preview.js";
import { createRuns } from "./runs.js";
import { createSeries } from "./series.js";
import { createSettling } from "./settling.js";
import { createRunTable } from "./table.js";
import type { Metric, Tracking } from "./types.js";

/** A pipeline's step has this long to log to its run. */
const tokenMs = 48 * 3_600_000;

export function createTracking(
  platform: Pick<Platform, "db" | "clock" | "address" | "objects" | "duckdb" | "log" | "config">,
  { access }: { access: Pick<Access, "issueToken"> },
): Tracking {
  const experiments = createExperiments(platform);
  const settling = createSettling(platform);
  const runs = createRuns(platform, settling);
  const log = createLog(platform, settling);
  const artifacts = createArtifacts(platform);
  const now = () => platform.clock.now().getTime();

  async function experimentNamed(name: string): Promise<string> {
    const find = () => experiments.experiment({ name });
    // Another run of the pipeline may make it at the same moment.
    const found = await find().catch(() => experiments.createExperiment(name, {}).then((id) => experiments.experiment({ id }), find));
    if (found.lifecycle_stage === "deleted") await experiments.updateExperiment(found.id, { stage: "active" });
    return found.id;
  }

  return {
    ...experiments,
    ...runs,
    ...log,
    ...createHistory(platform),
    ...createInputs(platform),
    ...createModels(platform),
    artifacts,
    preview: createPreview(platform, artifacts),
    table: createRunTable(platform, settling),
    keys: createRunKeys(platform, settling),
    overview: createOverview(platform, settling),
    charts: createSeries(platform, settling),
    stop: () => settling.stop(),
    runTracker: {
      async begin({ of, experiment: name, runName, tags }) {
        const id = createHash("sha256").update(of).digest("hex").slice(0, 32);
        const list = Object.entries(tags).map(([key, value]) => ({ key, value }));
        const { info } = await runs.createRun({ id, experimentId: await experimentNamed(name), name: runName, userId: "millrace", tags: list });
        return { runId: info.run_id };
      },
      async end(runId, status) {
        await runs.updateRun(runId, { status, endTime: now() });
      },
      async logParams(runId, params) {
        const list = Object.entries(params).map(([key, value]) => ({ key, value }));
        for (let at = 0; at < list.length; at += largest.batch.params) await log.log(runId, { params: list.slice(at, at + largest.batch.params) });
      },
      async logMetrics(runId, metrics) {
        const list = Object.entries(metrics).map(([key, value]): Metric => ({ key, value, timestamp: now(), step: 0 }));
        for (let at = 0; at < list.length; at += largest.batch.metrics) await log.log(runId, { metrics: list.slice(at, at + largest.batch.metrics) });
      },
      environment(runId) {
        const { url } = platform.address;
        if (url === undefined) throw wrongState("The server has no address yet.");
        return {
          MLFLOW_TRACKING_URI: url,
          MLFLOW_RUN_ID: runId,
          // The addresses that it would print are those of MLflow's own pages.
          MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT: "true",
          MLFLOW_TRACKING_TOKEN: access.issueToken(`run ${runId}`, ["tracking:*", "models:*"], tokenMs),
        };
      },
    },
  };
}
