/** The main job as its user runs it: through the CLI and HTTP, with the real data, Python and PostgreSQL. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Endpoint, Lineage, Run, RunDetail } from "@millrace/sdk/api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const project = fileURLToPath(new URL(".", import.meta.url));
const checkout = path.join(project, "../..");
const command = path.join(checkout, "bin", "millrace");
const arrivals = `arrivals/test-${process.pid}`;
/** Made once for all tests and runs of this checkout, as the requirements are locked. */
const environments = path.join(checkout, ".millrace", "environments");

let folder: string;
let server: ChildProcess | undefined;
let url = "";

async function up(dataDir: string): Promise<void> {
  const child = spawn(command, ["up", "--port", "0", "--data-dir", dataDir, "--replay-from", "2013-01-31T12:00:00Z"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, MILLRACE_ENVIRONMENTS: environments },
  });
  server = child;
  url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const address = /https?:\/\/\S+/.exec(line)?.[0];
      if (address !== undefined) resolve(address);
    });
    child.once("exit", (code) => reject(new Error(`The server ended with ${code}.`)));
  });
}
async function ended(signal: NodeJS.Signals): Promise<void> {
  const child = server;
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => {
    child.once("exit", resolve);
    child.kill(signal);
  });
}
async function get<T>(path: string): Promise<T> {
  const response = await fetch(`${url}${path}`);
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}
async function post<T>(path: string, body: unknown): Promise<{ status: number; body: T }> {
  const response = await fetch(`${url}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  return { status: response.status, body: (await response.json()) as T };
}
async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + 120_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const found = await look();
    if (found !== undefined) return found;
  }
  throw new Error(`It did not happen within two minutes: ${what}`);
}

describe("the flights project", () => {
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "millrace-flights-"));
    await mkdir(path.join(project, arrivals), { recursive: true });
    for (const name of ["flights-2013-01.parquet", "weather-2013-01.parquet"])
      await copyFile(path.join(project, "data", name), path.join(project, arrivals, name));
    await up(path.join(folder, "data"));
  });
  afterAll(async () => {
    await ended("SIGTERM");
    await rm(folder, { recursive: true, force: true });
    await rm(path.join(project, arrivals), { recursive: true, force: true });
  });

  it("goes on with a run whose server was killed in the middle of training", { timeout: 240_000 }, async () => {
    const env = { ...process.env, MILLRACE_URL: url, FLIGHTS_ARRIVALS: arrivals };
    const { stdout } = await promisify(execFile)(command, ["apply", project], { env });
    expect(stdout).toContain("delay");
    for (const to of ["2013-01-31T13:00:00Z", "2013-01-31T14:00:00Z", "2013-01-31T15:00:00Z"]) {
      expect(await post("/api/v1/clock", { to })).toMatchObject({ status: 200 });
    }
    const [run] = (await get<{ items: Run[] }>("/api/v1/runs")).items;
    if (run === undefined) throw new Error("New data started no run.");

    await until("training runs", async () => {
      const { state, message, trackingRunId } = await get<Run>(`/api/v1/runs/${run.id}`);
      if (state === "failed") throw new Error(message ?? "failed");
      if (trackingRunId === null) return undefined;
      // The script says with how many rows it trains, then trains.
      const tracked = await get<{ run: { data: { params: { key: string }[] } } }>(`/api/2.0/mlflow/runs/get?run_id=${trackingRunId}`);
      return tracked.run.data.params.some(({ key }) => key === "rows") ? true : undefined;
    });
    await ended("SIGKILL");
    const killed = performance.now();
    await up(path.join(folder, "data"));
    expect(performance.now() - killed).toBeLessThan(10_000);

    const finished = await until("the run finishes", async () => {
      const detail = await get<RunDetail>(`/api/v1/runs/${run.id}`);
      return detail.state === "running" || detail.state === "queued" ? undefined : detail;
    });
    expect({ state: finished.state, message: finished.message }).toEqual({ state: "succeeded", message: null });
    expect(finished.modelVersion).toBe("delay/1");
  });

  it("answers with the first version, and any prediction leads back to its files", { timeout: 60_000 }, async () => {
    await post("/api/v1/clock", { to: "2013-01-31T16:00:00Z" });
    expect(await get<Endpoint>("/api/v1/endpoints/delay")).toMatchObject({ stable: 1 });
    const input = (name: string, datatype: string, value: unknown) => ({ name, datatype, shape: [1], data: [value] });
    const { status, body } = await post<{ outputs: { name: string; data: unknown[] }[] }>("/v2/models/delay/infer", {
      id: "a-flight",
      inputs: [
        input("sched_dep", "BYTES", "2013-01-31T16:00:00Z"),
        input("carrier", "BYTES", "UA"),
        input("origin", "BYTES", "EWR"),
        input("dest", "BYTES", "ORD"),
        input("tailnum", "BYTES", "N14228"),
        input("distance", "FP64", 719),
      ],
    });
    expect({ status, outputs: body.outputs.map((o) => o.name) }).toEqual({ status: 200, outputs: ["probability", "prediction_id"] });
    expect(body.outputs[1]?.data).toEqual(["a-flight"]);
    const probability = Number(body.outputs[0]?.data[0]);
    expect(probability).toBeGreaterThan(0);
    expect(probability).toBeLessThan(1);

    const { nodes } = await get<Lineage>("/api/v1/lineage/prediction/a-flight");
    const kinds = new Set(nodes.map((n) => n.kind));
    for (const kind of ["prediction", "model_version", "run", "dataset_version", "file", "project_version"]) expect(kinds).toContain(kind);
    expect(nodes.filter((n) => n.kind === "file").map((n) => n.label)).toContain("flights-2013-01.parquet");
  });
});
