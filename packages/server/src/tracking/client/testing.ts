/** What an MLflow user does in a week, with the client as it comes. Each version of it has a test of its own, as a process has one server. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RunningServer, startServer } from "../../server.js";
import { clientPython } from "../testing.js";

const scripts = fileURLToPath(new URL(".", import.meta.url));

export function aWeekOf(version: string, lock: string): void {
  let folder: string;
  let server: RunningServer;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
    server = await startServer({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "warn" });
  });
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it(`serves MLflow's client ${version} for whatever its users do`, { timeout: 600_000 }, async () => {
    const python = await clientPython(path.join(scripts, lock), folder);
    const env = { ...process.env, MLFLOW_TRACKING_URI: server.url, MLFLOW_DISABLE_TELEMETRY: "true", PYTHONWARNINGS: "ignore", PYTHONDONTWRITEBYTECODE: "1" };
    const { stdout } = await promisify(execFile)(python, [path.join(scripts, "user.py")], { cwd: folder, env });
    const { mlflow, done } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { mlflow: string; done: [string, number][] };
    expect(mlflow).toBe(version);
    expect(done.map(([step]) => step)).toEqual([
      "logs_every_kind",
      "keeps_files",
      "searches_runs",
      "changes_and_deletes",
      "logs_from_the_background",
      "autologs_scikit_learn",
      "autologs_a_search_in_child_runs",
      "autologs_xgboost",
      "logs_registers_and_loads",
      "searches_and_changes_the_registry",
      "evaluates",
      "keeps_logged_models",
      "keeps_prompts",
    ]);
  });
}
