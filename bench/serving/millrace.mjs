/** Millrace with an endpoint for the model's own tensors: started, given the model as MLflow's clients give one, asked over HTTP and gRPC. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { secondOf, tensorRequest } from "./peers.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

export const millrace = {
  name: "Millrace",
  command: (folder, port) => [
    process.execPath,
    [path.join(root, "bin/millrace"), "up", "--port", String(port), "--grpc-port", String(port + 1), "--data-dir", path.join(folder, "data")],
  ],
  path: () => "/v2/models/trees/infer",
  headers: { "content-type": "application/json" },
  body: tensorRequest,
  read: ({ outputs }) => secondOf(outputs.find(({ name }) => name === "probabilities").data),
};

/** Makes the model, which is these files of its folder, the champion of an endpoint of this name; endpoints of one project are brought together. */
export async function bring(url, model, folder, names = ["trees"], files = ["model.onnx"]) {
  const send = async (method, route, body) => {
    const raw = body instanceof Buffer;
    const answer = await fetch(url + route, {
      method,
      headers: { "content-type": raw ? "application/octet-stream" : "application/json" },
      body: raw ? body : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${route}: ${await answer.text()}`);
    return answer.json().catch(() => ({}));
  };
  const nothing = Object.fromEntries(
    ["schemas", "datasets", "entities", "featureViews", "featureServices", "pipelines", "monitors", "triggers"].map((kind) => [kind, []]),
  );
  const [project] = names;
  const endpoints = names.map((name) => ({ name, model: name, rollout: { kind: "canary", steps: [1], each: "1h", judge: [] }, log: {} }));
  await send("PUT", `/api/v1/projects/${project}`, { apiVersion: "millrace/v1", name: project, files: [], folder, ...nothing, endpoints });
  for (const name of names) await register(url, send, { model, name, files });
}
async function register(url, send, { model, name, files }) {
  await send("POST", "/api/2.0/mlflow/registered-models/create", { name });
  const { run } = await send("POST", "/api/2.0/mlflow/runs/create", { experiment_id: "0" });
  const artifacts = run.info.artifact_uri.replace("mlflow-artifacts:/", "");
  for (const file of files) await send("PUT", `/api/2.0/mlflow-artifacts/artifacts/${artifacts}/model/${file}`, readFileSync(path.join(model, file)));
  const source = { name, source: `runs:/${run.info.run_id}/model`, run_id: run.info.run_id };
  const { model_version: made } = await send("POST", "/api/2.0/mlflow/model-versions/create", source);
  await send("POST", "/api/2.0/mlflow/registered-models/alias", { name, alias: "champion", version: made.version });
  // Packages that a model needs may have to be installed.
  for (const until = Date.now() + 600_000; ; ) {
    const answer = await fetch(`${url}/v2/models/${name}/ready`);
    if (answer.ok) return;
    if (Date.now() > until) throw new Error(`The endpoint does not answer: ${await answer.text()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** JSON with the numbers' bytes behind it, and what says so. */
export function binaryRequest(rows) {
  return bytesRequest(rows, "features", { outputs: [{ name: "probabilities", parameters: { binary_data: true } }] });
}
/** The same for a model whose input has another name; `asked` is what is wanted of it. */
export function bytesRequest(rows, name, asked) {
  const data = Buffer.from(Float32Array.from(rows.flat()).buffer);
  const input = { name, shape: [rows.length, rows[0].length], datatype: "FP32", parameters: { binary_data_size: data.length } };
  const head = Buffer.from(JSON.stringify({ inputs: [input], ...asked }));
  return { headers: { "content-type": "application/octet-stream", "inference-header-content-length": head.length }, body: Buffer.concat([head, data]) };
}

/** A message of the protocol's ModelInfer, as its clients send it: raw contents. */
export function grpcMessages() {
  const load = createRequire(path.join(root, "packages/server/package.json"))("@grpc/proto-loader");
  const { ModelInfer } = load.loadSync(path.join(root, "packages/server/proto/open_inference.proto"), { keepCase: true })["inference.GRPCInferenceService"];
  return {
    path: ModelInfer.path,
    body: (rows) =>
      ModelInfer.requestSerialize({
        model_name: "trees",
        inputs: [{ name: "features", datatype: "FP32", shape: [rows.length, rows[0].length] }],
        raw_input_contents: [Buffer.from(Float32Array.from(rows.flat()).buffer)],
      }),
  };
}
