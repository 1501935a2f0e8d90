/** What Millrace is measured beside: how each is started with a model's folder, how it is asked, and how its answer is read. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { environment } from "../environment.mjs";

const here = fileURLToPath(new URL("./peers", import.meta.url));
const program = (peer, name) => path.join(environment(`serving-${peer}`, path.join(here, `${peer}.txt`)), name);
const json = { "content-type": "application/json" };

/** A request of the Open Inference Protocol. */
export const tensorRequest = (rows) => ({ inputs: [{ name: "features", shape: [rows.length, rows[0].length], datatype: "FP32", data: rows.flat() }] });
/** The second class' probability of each row. */
export const secondOf = (flat) => flat.filter((_, i) => i % 2 === 1);

export const peers = {
  fastapi: {
    name: "FastAPI",
    env: (model) => ({ MODEL: model, PYTHONPATH: here }),
    command: (_folder, port) => [program("fastapi", "uvicorn"), ["fastapi_app:app", "--host", "127.0.0.1", "--port", String(port), "--no-access-log"]],
    path: () => "/predict",
    headers: json,
    body: (rows) => ({ rows }),
    read: (answer) => answer.probabilities,
  },
  mlserver: {
    name: "MLServer",
    env: (model) => ({ MODEL: model, PYTHONPATH: here }),
    ready: "/v2/models/trees/ready",
    command(folder, port) {
      // One process, as there is one core.
      const ports = { http_port: port, grpc_port: port + 1, metrics_port: port + 2 };
      writeFileSync(path.join(folder, "settings.json"), JSON.stringify({ host: "127.0.0.1", ...ports, parallel_workers: 0, debug: false }));
      writeFileSync(path.join(folder, "model-settings.json"), JSON.stringify({ name: "trees", implementation: "mlserver_runtime.Trees" }));
      return [program("mlserver", "mlserver"), ["start", folder]];
    },
    path: () => "/v2/models/trees/infer",
    headers: json,
    body: tensorRequest,
    read: (answer) => secondOf(answer.outputs[0].data),
  },
  bentoml: {
    name: "BentoML",
    env: (model) => ({ MODEL: model, PYTHONPATH: here, BENTOML_DO_NOT_TRACK: "True" }),
    ready: "/readyz",
    command: (_folder, port) => [
      program("bentoml", "bentoml"),
      ["serve", "bentoml_service:Trees", "--host", "127.0.0.1", "--port", String(port), "--working-dir", here],
    ],
    path: () => "/predict",
    headers: json,
    body: (rows) => ({ rows }),
    read: (answer) => answer,
  },
  mlflow: {
    name: "mlflow models serve",
    // It starts uvicorn by name.
    env: () => ({ PATH: `${path.dirname(program("mlflow", "python"))}:${process.env.PATH}` }),
    command: (_folder, port, model) => [
      program("mlflow", "mlflow"),
      ["models", "serve", "--model-uri", mlflowModel(model), "--env-manager", "local", "--host", "127.0.0.1", "--port", String(port), "--workers", "1"],
    ],
    path: () => "/invocations",
    headers: json,
    body: (rows) => ({ inputs: rows }),
    read: ({ predictions }) => predictions.probabilities.map((row) => row[1]),
  },
};

function mlflowModel(model) {
  const folder = path.join(model, "mlflow");
  if (existsSync(folder)) return folder;
  const { status } = spawnSync(program("mlflow", "python"), [path.join(here, "mlflow_model.py"), path.join(model, "model.onnx"), folder], {
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) throw new Error("The model could not be written in MLflow's form.");
  return folder;
}

/** The folders of the models, made once. */
export function models(folder) {
  const done = path.join(folder, "trees300", "rows.json");
  if (!existsSync(done)) {
    mkdirSync(folder, { recursive: true });
    const { status } = spawnSync(program("models", "python"), [fileURLToPath(new URL("./models.py", import.meta.url)), folder], { stdio: ["ignore", 2, 2] });
    if (status !== 0) throw new Error("The models could not be made.");
  }
  return ["trees100", "trees300"].map((name) => ({ name, folder: path.join(folder, name) }));
}
