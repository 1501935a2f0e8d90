import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningServer, startServer } from "../server.js";
import { mlflowApi, withMlflowClient } from "../tracking/testing.js";

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

const call = mlflowApi(() => server.url);
const put = (artifact: string, body: string) => fetch(`${server.url}/api/2.0/mlflow-artifacts/artifacts/${artifact}`, { method: "PUT", body });
const get = async (uri: string) => (await fetch(`${server.url}/api/2.0/mlflow-artifacts/artifacts/${uri.replace("mlflow-artifacts:/", "")}`)).text();
async function newRun(): Promise<{ id: string; root: string }> {
  const { body } = await call("POST", "runs/create", { experiment_id: "0" });
  return { id: body.text("run", "info", "run_id"), root: body.text("run", "info", "artifact_uri").replace("mlflow-artifacts:/", "") };
}
async function newVersion(name: string, source: string, more: Record<string, unknown> = {}) {
  return (await call("POST", "model-versions/create", { name, source, ...more })).body.at("model_version");
}

describe("a version", () => {
  it("has the files that lay at its source when it was made, whatever comes later", async () => {
    const run = await newRun();
    await put(`${run.root}/model/weights.bin`, "first");
    await call("POST", "registered-models/create", { name: "with spaces" });
    const version = await newVersion("with spaces", `runs:/${run.id}/model`, { run_id: run.id });
    expect([version.text("version"), version.text("run_id"), version.text("status")]).toEqual(["1", run.id, "READY"]);
    await put(`${run.root}/model/weights.bin`, "second");
    const { body } = await call("GET", "model-versions/get-download-uri", { name: "with spaces", version: "1" });
    expect(await get(`${body.text("artifact_uri")}/weights.bin`)).toBe("first");
    expect((await put("registry/with%20spaces/1/weights.bin", "third")).status).toBe(400);
    const own = await fetch(`${server.url}/api/v1/models/with%20spaces/versions/1/files/weights.bin`);
    expect(await own.text()).toBe("first");
    await newVersion("with spaces", "models:/with spaces/1");
    const copied = await call("GET", "model-versions/get-download-uri", { name: "with spaces", version: "2" });
    expect(await get(`${copied.body.text("artifact_uri")}/weights.bin`)).toBe("first");
  });

  it("can't come from where a client may not look", async () => {
    await call("POST", "registered-models/create", { name: "hostile" });
    const run = await newRun();
    const sources = [
      "/etc/passwd",
      "file:///etc/passwd",
      "file://C:/secrets",
      "mlflow-artifacts:/../../etc",
      "mlflow-artifacts:/0/%2e%2e/%2e%2e/etc",
      "mlflow-artifacts:/0/%252e%252e/etc",
      "s3://bucket/../other",
      `runs:/${run.id}/../../other`,
      "runs:/..%2f..%2fetc/model",
      "models:/hostile",
      "models:/..",
      "%",
      "relative/path",
    ];
    for (const source of sources) {
      const { status, body } = await call("POST", "model-versions/create", { name: "hostile", source, run_id: run.id });
      expect([source, status, body.text("error_code")]).toEqual([source, 400, "INVALID_PARAMETER_VALUE"]);
    }
    expect((await newVersion("hostile", "s3://bucket/model")).text("source")).toBe("s3://bucket/model");
  });

  it("has stages, of which another one can be archived, and is told to a logged model that it was made from", async () => {
    const { body } = await call("POST", "logged-models", { experiment_id: "0", name: "net" });
    const model_id = body.text("model", "info", "model_id");
    await put(`0/models/${model_id}/artifacts/MLmodel`, "flavors: {}");
    await call("PATCH", `logged-models/${model_id}`, { model_id, status: "LOGGED_MODEL_READY" });
    await call("POST", "registered-models/create", { name: "staged" });
    expect((await newVersion("staged", `models:/${model_id}`)).text("model_id")).toBe(model_id);
    await newVersion("staged", `models:/${model_id}`);
    for (const version of ["1", "2"]) {
      await call("POST", "model-versions/transition-stage", { name: "staged", version, stage: "production", archive_existing_versions: true });
    }
    const latest = await call("POST", "registered-models/get-latest-versions", { name: "staged" });
    expect(latest.body.list("model_versions").map((one) => [one.text("version"), one.text("current_stage")])).toEqual([
      ["1", "Archived"],
      ["2", "Production"],
    ]);
    const logged = await call("GET", `logged-models/${model_id}`);
    expect(logged.body.list("model", "info", "tags").map((tag) => tag.text("value"))).toEqual([
      JSON.stringify([
        { name: "staged", version: 1 },
        { name: "staged", version: 2 },
      ]),
    ]);
  });
});

describe("a model", () => {
  it("takes its versions and aliases along to another name, and gives no number twice", async () => {
    await call("POST", "registered-models/create", { name: "old name", tags: [{ key: "team", value: "a" }] });
    for (let i = 0; i < 3; i++) await newVersion("old name", "s3://bucket/model");
    await call("POST", "registered-models/alias", { name: "old name", alias: "champion", version: "2" });
    await call("POST", "registered-models/rename", { name: "old name", new_name: "new name" });
    const champion = await call("GET", "registered-models/alias", { name: "new name", alias: "champion" });
    expect(champion.body.text("model_version", "version")).toBe("2");
    await call("DELETE", "model-versions/delete", { name: "new name", version: "3" });
    expect((await newVersion("new name", "s3://bucket/model")).text("version")).toBe("4");
    await call("DELETE", "model-versions/delete", { name: "new name", version: "2" });
    expect((await call("GET", "registered-models/alias", { name: "new name", alias: "champion" })).status).toBe(400);
    const events = (await (await fetch(`${server.url}/api/v1/events?types=alias.*&limit=100`)).json()) as { items: { type: string; data: unknown }[] };
    expect(events.items.map(({ type, data }) => [type, data])).toEqual([
      ["alias.set", { model: "old name", alias: "champion", version: 2 }],
      ["alias.deleted", { model: "old name", alias: "champion", version: 2 }],
      ["alias.set", { model: "new name", alias: "champion", version: 2 }],
      ["alias.deleted", { model: "new name", alias: "champion", version: 2 }],
    ]);
    await call("POST", "registered-models/create", { name: "taken" });
    expect((await call("POST", "registered-models/rename", { name: "new name", new_name: "taken" })).body.text("error_code")).toBe("RESOURCE_ALREADY_EXISTS");
  });

  it("is found by name and tags, in pages, and without the prompts that lie beside it", async () => {
    for (const name of ["find a", "find b", "find c"]) await call("POST", "registered-models/create", { name, tags: [{ key: "of", value: name.slice(-1) }] });
    await call("POST", "registered-models/create", { name: "find prompt", tags: [{ key: "mlflow.prompt.is_prompt", value: "true" }] });
    await newVersion("find prompt", "dummy-source", { tags: [{ key: "mlflow.prompt.is_prompt", value: "true" }] });
    const found = async (filter: string, more: Record<string, unknown> = {}) => {
      const { body } = await call("GET", "registered-models/search", { filter, ...more });
      return { names: body.list("registered_models").map((model) => model.text("name")), next: body.text("next_page_token") };
    };
    expect((await found("name LIKE 'find %'")).names).toEqual(["find a", "find b", "find c"]);
    expect((await found("name LIKE 'find %' AND tags.`mlflow.prompt.is_prompt` != 'true'")).names).toEqual(["find a", "find b", "find c"]);
    expect((await found("name LIKE 'find %' AND tags.`mlflow.prompt.is_prompt` = 'true'")).names).toEqual(["find prompt"]);
    expect((await found("tags.of = 'b'")).names).toEqual(["find b"]);
    const first = await found("name LIKE 'find %'", { max_results: 2, order_by: "name DESC" });
    expect(first.names).toEqual(["find c", "find b"]);
    const next = await found("name LIKE 'find %'", { max_results: 2, order_by: "name DESC", page_token: first.next });
    expect(next.names).toEqual(["find a"]);
    const versions = await call("GET", "model-versions/search", { filter: "name = 'find prompt' AND tags.`mlflow.prompt.is_prompt` = 'true'" });
    expect(versions.body.list("model_versions")).toHaveLength(1);
    const own = (await (await fetch(`${server.url}/api/v1/models`)).json()) as { items: { name: string }[] };
    expect(own.items.map(({ name }) => name)).not.toContain("find prompt");
  });
});

it("serves MLflow's own client: a logged model, registered, given an alias and taken by it", { timeout: 300_000 }, async () => {
  const answered = await withMlflowClient(
    server.url,
    `
import json, pathlib
import mlflow
client = mlflow.MlflowClient()
pathlib.Path("model").mkdir()
pathlib.Path("model/MLmodel").write_text("flavors: {}\\n")
pathlib.Path("model/weights.bin").write_bytes(b"12345")
with mlflow.start_run() as run:
    model = mlflow.initialize_logged_model(name="net", params={"depth": "3"}, source_run_id=run.info.run_id)
    client.log_model_artifacts(model.model_id, "model")
    client.finalize_logged_model(model.model_id, "READY")
    mlflow.log_metric("auc", 0.75, model_id=model.model_id)
client.create_registered_model("net", description="of the client")
for source in (f"models:/{model.model_id}", f"runs:/{run.info.run_id}/net"):
    client.create_model_version("net", source, run_id=run.info.run_id)
client.set_registered_model_alias("net", "champion", "2")
path = mlflow.artifacts.download_artifacts("models:/net@champion")
found = mlflow.search_logged_models(experiment_ids=["0"], filter_string="metrics.auc > 0.7 AND params.depth = '3'", output_format="list")
print(json.dumps({
    "weights": (pathlib.Path(path) / "weights.bin").read_text(),
    "version": client.get_model_version_by_alias("net", "champion").version,
    "versions": [v.version for v in client.search_model_versions("name = 'net'", order_by=["version_number ASC"])],
    "models": [m.name for m in client.search_registered_models("name = 'net'")],
    "logged": [(m.name, m.status.value, m.metrics[0].value) for m in found],
    "missing": [e.error_code for e in [error(lambda: client.get_registered_model("nothing")), error(lambda: client.get_model_version("net", "9"))]],
}))
`.replace(
      "import mlflow\n",
      `import mlflow
def error(ask):
    try:
        ask()
    except mlflow.exceptions.MlflowException as e:
        return e
`,
    ),
  );
  expect(answered).toEqual({
    weights: "12345",
    version: "2",
    versions: ["1", "2"],
    models: ["net"],
    logged: [["net", "READY", 0.75]],
    missing: ["RESOURCE_DOES_NOT_EXIST", "RESOURCE_DOES_NOT_EXIST"],
  });
});
