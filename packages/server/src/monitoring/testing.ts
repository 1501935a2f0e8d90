/** For tests: a whole server whose pipeline trains, registers and serves the model `shade`, and a monitor that watches it. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Run } from "@millrace/sdk/api";
import type { PipelineSpec, ProjectSpec } from "@millrace/sdk/spec";
import { pythonNode } from "../pipelines/testing.js";
import { literal, openDuckDb } from "../platform/index.js";
import { projectSpec } from "../projects/testing.js";
import { startServer } from "../server.js";
import { shadeProject, shadeRequest } from "../serving/testing.js";

/** The model is one of inference's fixtures: sigmoid(x + 1 for red, − 1 for blue), or sigmoid(−x). */
const train = `
import millrace, shutil
folder = millrace.output("model")
folder.mkdir()
shutil.copy(millrace.params()["model"] + ".onnx", folder / "model.onnx")
`;
export const shadePipeline: PipelineSpec = {
  name: "shade",
  params: [{ name: "model", type: "enum", values: ["columns", "reversed"], default: "columns" }],
  nodes: [
    { id: "read", kind: "read_dataset", config: { dataset: "shades" }, inputs: { until: { literal: "latest" } }, outputs: [{ name: "rows", type: "table" }] },
    pythonNode("train", "train.py", {
      inputs: { rows: { node: "read", output: "rows" }, model: { param: "model" } },
      outputs: [{ name: "model", type: "model" }],
    }),
    {
      id: "evaluate",
      kind: "evaluate",
      config: { label: "dark", service: "shade_features", slices: ["color"] },
      inputs: { model: { node: "train", output: "model" }, rows: { node: "read", output: "rows" } },
      outputs: [{ name: "report", type: "report" }],
    },
    {
      id: "register",
      kind: "register",
      config: { model: "shade", service: "shade_features", gates: [{ kind: "latency", p99Ms: 10_000 }], alias: "challenger" },
      inputs: { model: { node: "train", output: "model" }, report: { node: "evaluate", output: "report" } },
      outputs: [{ name: "version", type: "model_version" }],
    },
  ],
};

export async function openShadeLoop(folder: string, from: string) {
  const clock = { kind: "replay" as const, from: new Date(from) };
  const server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock, logLevel: "warn" });
  let now = from;

  async function send<T>(method: string, route: string, body?: unknown): Promise<T> {
    const raw = Buffer.isBuffer(body);
    const answer = await fetch(`${server.url}${route}`, {
      method,
      headers: { "millrace-time": now, ...(body === undefined ? {} : { "content-type": raw ? "application/octet-stream" : "application/json" }) },
      ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${route} answered ${answer.status}: ${await answer.text()}`);
    return answer.json() as Promise<T>;
  }
  const get = <T>(route: string) => send<T>("GET", route);
  const advance = async (to: string) => {
    now = to;
    await send("POST", "/api/v1/clock", { to });
  };

  return {
    ...{ url: server.url, get, send, advance, stop: server.stop },
    /** Applies the project with its code. */
    async apply(part: Partial<ProjectSpec>): Promise<void> {
      const fixture = (name: string) => readFile(fileURLToPath(new URL(`../inference/fixtures/${name}.onnx`, import.meta.url)));
      const files = { "train.py": Buffer.from(train), "columns.onnx": await fixture("columns"), "reversed.onnx": await fixture("reversed") };
      const listed: ProjectSpec["files"] = [];
      for (const [name, bytes] of Object.entries(files)) {
        const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
        await send("PUT", `/api/v1/objects/${digest}`, bytes);
        listed.push({ path: name, digest, size: bytes.length });
      }
      const definitions = { ...shadeProject(), datasets: [{ name: "shades", mode: "append" as const }], pipelines: [shadePipeline], ...part };
      await send("PUT", "/api/v1/projects/test", projectSpec({ ...definitions, files: listed, source: { commit: "c0ffee", dirty: false } }));
    },
    /** Adds what a query gives to the dataset `shades`: columns color, x and dark. */
    async arrive(file: string, query: string): Promise<void> {
      const duckdb = openDuckDb({ memoryMb: 200, threads: 1, spillFolder: path.join(folder, "spill") });
      const target = path.join(folder, file);
      await duckdb.use((connection) => connection.run(`copy (${query}) to ${literal(target)} (format parquet)`));
      await duckdb.close();
      await send("PUT", `/api/v1/datasets/shades/files/${file}`, await readFile(target));
    },
    /** Waits for the run, whose model is served then where it is the first, or tried. */
    async finished(id: string): Promise<Run> {
      for (;;) {
        const run = await get<Run>(`/api/v1/runs/${id}`);
        if (run.state !== "queued" && run.state !== "running") {
          await advance(now);
          return run;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    /** One request at a moment; its predictions are `<id>:<row>`. */
    async predict(at: string, id: string, rows: { color: string | null; x: number }[]): Promise<void> {
      now = at;
      await send("POST", "/v2/models/shade/infer", shadeRequest(rows, id));
    },
    label: (id: string, labels: boolean[]) =>
      send("POST", "/api/v1/endpoints/shade/labels", { labels: labels.map((label, row) => ({ id: `${id}:${row}`, label })) }),
  };
}
export type ShadeLoop = Awaited<ReturnType<typeof openShadeLoop>>;
