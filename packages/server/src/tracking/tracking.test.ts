import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCompute } from "../compute/index.js";
import { type RunningServer, startServer } from "../server.js";

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

async function call(method: string, route: string, body?: unknown) {
  const answer = await fetch(`${server.url}${route}`, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, never> & { run: never } };
}
const post = (route: string, body: unknown) => call("POST", `/api/2.0/mlflow/${route}`, body);
async function newRun(name: string): Promise<string> {
  const { body } = await post("runs/create", { experiment_id: "0", run_name: name, start_time: 1 });
  return (body as unknown as { run: { info: { run_id: string } } }).run.info.run_id;
}

describe("tracking", () => {
  it("keeps of a metric the value of the largest step, and all of them as its history, the odd ones too", async () => {
    const run_id = await newRun("metrics");
    const at = (value: number | string, step: number, timestamp: number) => ({ key: "loss", value, step, timestamp });
    expect(await post("runs/log-batch", { run_id, metrics: [at(3, 2, 10), at("NaN", 1, 30), at(1, 2, 9)] })).toEqual({ status: 200, body: {} });
    await post("runs/log-batch", { run_id, metrics: [at(3, 2, 10), at("-Infinity", 0, 50)] });
    const { body } = await call("GET", `/api/2.0/mlflow/runs/get?run_id=${run_id}`);
    expect(body).toMatchObject({ run: { data: { metrics: [{ key: "loss", value: 3, step: 2, timestamp: 10 }] } } });
    const history = await call("GET", `/ajax-api/2.0/mlflow/metrics/get-history?run_id=${run_id}&metric_key=loss`);
    expect((history.body as unknown as { metrics: { value: unknown }[] }).metrics.map((m) => m.value)).toEqual([1, 3, "NaN", "-Infinity"]);
  });

  it("refuses another value of a param, and takes nothing of the batch then", async () => {
    const run_id = await newRun("params");
    await post("runs/log-parameter", { run_id, key: "depth", value: "6" });
    expect(await post("runs/log-parameter", { run_id, key: "depth", value: "6" })).toMatchObject({ status: 200 });
    const refused = await post("runs/log-batch", { run_id, params: [{ key: "depth", value: "7" }], tags: [{ key: "late", value: "yes" }] });
    expect(refused).toMatchObject({
      status: 400,
      body: { error_code: "INVALID_PARAMETER_VALUE", message: expect.stringContaining("already logged with value='6'") },
    });
    const { body } = await call("GET", `/api/2.0/mlflow/runs/get?run_id=${run_id}`);
    expect(JSON.stringify(body)).not.toContain("late");
  });

  it("searches runs by metrics, params, tags and attributes", async () => {
    for (const [name, auc, kind] of [
      ["low", 0.6, "tree"],
      ["high", 0.8, "tree"],
      ["other", 0.9, "linear"],
    ] as const) {
      const run_id = await newRun(name);
      await post("runs/log-batch", { run_id, metrics: [{ key: "val/auc", value: auc, timestamp: 1, step: 0 }], params: [{ key: "kind", value: kind }] });
    }
    const search = async (filter: string, order_by: string[] = []) => {
      const { status, body } = await post("runs/search", { experiment_ids: ["0"], filter, order_by });
      return status === 200 ? ((body as unknown as { runs?: { info: { run_name: string } }[] }).runs ?? []).map((r) => r.info.run_name) : body;
    };
    expect(await search("metrics.`val/auc` > 0.5 and params.kind = 'tree'", ["metrics.`val/auc` DESC"])).toEqual(["high", "low"]);
    expect(await search("attributes.run_name LIKE 'o%'")).toEqual(["other"]);
    expect(await search("run_name IN ('low', 'other')", ["run_name ASC"])).toEqual(["low", "other"]);
    expect(await search("metrics.auc > 'x'; drop table experiment")).toMatchObject({ error_code: "INVALID_PARAMETER_VALUE" });
    expect(await search("nothing.at = 1")).toMatchObject({ message: expect.stringContaining("Invalid entity type 'nothing'") });
  });

  it("keeps artifacts under their names, and refuses names that lead elsewhere", async () => {
    const base = "/api/2.0/mlflow-artifacts/artifacts";
    const put = (name: string) => fetch(`${server.url}${base}/${name}`, { method: "PUT", body: "some bytes" });
    expect((await put("0/run/artifacts/plots/curve.txt")).status).toBe(200);
    expect((await call("GET", `${base}?path=0/run/artifacts`)).body).toEqual({ files: [{ path: "plots", is_dir: true }] });
    expect((await call("GET", `${base}?path=0/run/artifacts/plots`)).body).toEqual({ files: [{ path: "curve.txt", is_dir: false, file_size: 10 }] });
    expect(await (await fetch(`${server.url}${base}/0/run/artifacts/plots/curve.txt`)).text()).toBe("some bytes");
    for (const name of ["0/a%2f..%2f..%2fetc/passwd", "0/a%5c..%5cb", "0//a", "0/%252e%252e/a"]) expect((await put(name)).status).toBe(400);
  });

  it("serves MLflow's own client", { timeout: 300_000 }, async () => {
    const root = fileURLToPath(new URL("../../../../", import.meta.url));
    // The environment of the example's locked requirements, which other tests use too.
    process.env.MILLRACE_ENVIRONMENTS ??= path.join(root, ".millrace", "environments");
    const lock = path.join(root, "examples/flights/requirements.lock");
    const compute = createCompute({ config: { dataDir: folder, host: "127.0.0.1", port: 0, clock: { kind: "system" }, logLevel: "warn" } });
    const digest = `sha256:${createHash("sha256")
      .update(await readFile(lock))
      .digest("hex")}`;
    const { path: python } = await compute.environment({ file: lock, digest }, { signal: new AbortController().signal, onLine: () => {} });
    const script = path.join(folder, "client.py");
    await writeFile(
      script,
      `
import json, math, pathlib, tempfile
import mlflow
mlflow.set_experiment("from the client")
with mlflow.start_run(run_name="first") as run:
    mlflow.log_params({"rounds": 10, "kind": "tree"})
    for step in range(5):
        mlflow.log_metrics({"loss": 1 / (step + 1), "odd": math.nan}, step=step)
    mlflow.set_tag("who", "me")
    file = pathlib.Path(tempfile.mkdtemp()) / "notes.txt"
    file.write_text("kept")
    mlflow.log_artifact(str(file), "texts")
client = mlflow.MlflowClient()
read = client.get_run(run.info.run_id)
found = mlflow.search_runs(experiment_names=["from the client"], filter_string="params.kind = 'tree' and metrics.loss < 0.5", output_format="list")
print(json.dumps({
    "status": read.info.status, "params": read.data.params, "loss": read.data.metrics["loss"], "odd": math.isnan(read.data.metrics["odd"]),
    "history": len(client.get_metric_history(run.info.run_id, "loss")), "found": [r.info.run_name for r in found],
    "artifacts": [a.path for a in client.list_artifacts(run.info.run_id, "texts")],
    "text": mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/texts/notes.txt"),
}))
`,
    );
    const { stdout } = await promisify(execFile)(python, [script], { env: { ...process.env, MLFLOW_TRACKING_URI: server.url, NO_COLOR: "1" } });
    expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toEqual({
      status: "FINISHED",
      params: { rounds: "10", kind: "tree" },
      loss: 0.2,
      odd: true,
      history: 5,
      found: ["first"],
      artifacts: ["texts/notes.txt"],
      text: "kept",
    });
  });
});
