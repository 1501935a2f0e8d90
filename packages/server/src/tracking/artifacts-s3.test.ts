import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openApi, pythonNode } from "../pipelines/testing.js";
import { openLog } from "../platform/log.js";
import { openS3Store } from "../platform/objects/s3/index.js";
import { type S3Process, s3Server, startS3 } from "../platform/objects/s3/testing.js";
import { type RunningServer, startServer } from "../server.js";
import { mlflowApi, withMlflowClient } from "./testing.js";

const program = s3Server();

describe.runIf(program !== undefined)("with data in a bucket", () => {
  let folder: string;
  let s3: S3Process;
  let server: RunningServer;
  const url = "s3://bucket/data";
  const start = () =>
    startServer({
      ...{ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "warn" },
      objects: { url, direct: true, cacheBytes: 1e9 },
    });
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
    s3 = await startS3(program ?? "");
    server = await start();
  });
  afterAll(async () => {
    await server.stop();
    await s3.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const call = mlflowApi(() => server.url);
  const artifacts = () => `${server.url}/api/2.0/mlflow-artifacts`;
  const put = (name: string, body: string | Buffer) => fetch(`${artifacts()}/artifacts/${name}`, { method: "PUT", body });
  const get = (name: string, headers = {}) => fetch(`${artifacts()}/artifacts/${name}`, { headers });
  const list = async (below: string) => (await fetch(`${artifacts()}/artifacts?path=${below}`)).json();
  async function post(route: string, body: unknown): Promise<{ status: number; body: Record<string, string> }> {
    const answer = await fetch(`${artifacts()}/${route}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    return { status: answer.status, body: (await answer.json()) as Record<string, string> };
  }
  const staged = async () =>
    (await readdir(path.join(s3.folder, "bucket/data/staging"), { recursive: true, withFileTypes: true }).catch(() => [])).filter((entry) => entry.isFile());

  it("keeps artifacts, gives them whole and in part, and has them after a restart; nothing lies in the data folder", async () => {
    const large = randomBytes(20_000_000);
    expect((await put("0/run/artifacts/large.bin", large)).status).toBe(200);
    expect((await put("0/run/artifacts/note.txt", "some bytes")).status).toBe(200);
    expect(await list("0/run/artifacts")).toEqual({
      files: [
        { path: "large.bin", is_dir: false, file_size: large.length },
        { path: "note.txt", is_dir: false, file_size: 10 },
      ],
    });
    await server.stop();
    server = await start();
    const whole = await get("0/run/artifacts/large.bin");
    expect(Buffer.from(await whole.arrayBuffer()).equals(large)).toBe(true);
    const part = await get("0/run/artifacts/large.bin", { range: "bytes=9000000-9000099" });
    expect([part.status, Buffer.from(await part.arrayBuffer()).equals(large.subarray(9_000_000, 9_000_100))]).toEqual([206, true]);
    expect((await fetch(`${artifacts()}/artifacts/0/run/artifacts`, { method: "DELETE" })).status).toBe(200);
    expect(await list("0/run/artifacts")).toEqual({ files: [] });
    await expect(stat(path.join(folder, "data/objects"))).rejects.toThrow();
  });

  async function upload(name: string, parts: Buffer[]): Promise<{ id: string; sent: { part_number: number; etag: string }[]; urls: string[] }> {
    const { status, body } = await post("mpu/create/7/run/artifacts", { path: `/home/me/${name}`, num_parts: parts.length });
    expect(status).toBe(200);
    const credentials = body.credentials as unknown as { url: string; part_number: number }[];
    const sent = await Promise.all(
      credentials.map(async ({ url, part_number }, at) => {
        const answer = await fetch(url, { method: "PUT", body: parts[at] ?? "" });
        expect(answer.status).toBe(200);
        return { part_number, etag: answer.headers.get("etag") ?? "" };
      }),
    );
    return { id: body.upload_id ?? "", sent, urls: credentials.map(({ url }) => url) };
  }

  it("takes files in parts that clients send to the store, also when the word that they are complete comes again", async () => {
    const parts = [randomBytes(5 * 1024 ** 2), randomBytes(1_000)];
    const { id, sent, urls } = await upload("model.bin", parts);
    expect((await get("7/run/artifacts/model.bin")).status).toBe(404);
    const complete = () => post("mpu/complete/7/run/artifacts", { path: "model.bin", upload_id: id, parts: sent });
    // As when the server died between what it did in the store and what it did in the database.
    const store = await openS3Store({ url, direct: true, cache: { folder: path.join(folder, "other"), bytes: 1e6 } }, openLog("silent"));
    const address = new URL(urls[0] ?? "");
    await store.store.direct?.completeParts(
      address.pathname.split("/staging/")[1] ?? "",
      address.searchParams.get("uploadId") ?? "",
      sent.map(({ part_number, etag }) => ({ number: part_number, tag: etag })),
    );
    store.close();
    expect((await Promise.all([complete(), complete()])).map(({ status }) => status)).toEqual([200, 200]);
    expect((await complete()).status).toBe(200);
    const read = await get("7/run/artifacts/model.bin");
    expect(read.headers.get("etag")).toBe(`"${createHash("sha256").update(Buffer.concat(parts)).digest("hex")}"`);
    expect(Buffer.from(await read.arrayBuffer()).equals(Buffer.concat(parts))).toBe(true);
    expect(await staged()).toEqual([]);
    // What is there can't be written over by who has the addresses.
    expect((await fetch(urls[0] ?? "", { method: "PUT", body: "other" })).ok).toBe(false);
    expect((await post("mpu/abort/7/run/artifacts", { path: "model.bin", upload_id: id })).status).toBe(400);
  });

  it("refuses uploads in parts that lead elsewhere, are unknown, don't fit or were aborted", async () => {
    const create = (folder: string, name: string, num_parts: unknown = 1) => post(`mpu/create/${folder}`, { path: name, num_parts });
    for (const [at, name] of [
      ["7/..%2fx", "a"],
      ["7/x", ".."],
      ["7/x", "a/.."],
      ["7/x", ""],
      ["registry/m/1", "a"],
    ] as const)
      expect((await create(at, name)).status).toBe(400);
    for (const count of [0, 10_001, "x", 1.5]) expect((await create("7/x", "a", count)).status).toBe(400);
    const { id, sent } = await upload("other.bin", [Buffer.from("one")]);
    const complete = (given: object) => post("mpu/complete/7/run/artifacts", { path: "other.bin", upload_id: id, parts: sent, ...given });
    expect((await complete({ path: "another.bin" })).status).toBe(404);
    expect((await complete({ upload_id: "none" })).status).toBe(404);
    expect((await complete({ parts: [] })).status).toBe(400);
    expect((await complete({ parts: [{ part_number: 1, etag: '"0123"' }] })).status).toBe(400);
    const abort = () => post("mpu/abort/7/run/artifacts", { path: "other.bin", upload_id: id });
    expect((await Promise.all([abort(), abort()])).map(({ status }) => status)).toEqual([200, 200]);
    expect((await complete({})).status).toBe(400);
    expect((await get("7/run/artifacts/other.bin")).status).toBe(404);
  });

  it("takes over what is sent to an address for the whole: whoever looks finds it, and what is put or deleted later stays so", async () => {
    const run_id = (await call("POST", "runs/create", { experiment_id: "0" })).body.text("run", "info", "run_id");
    const address = async (name: string) => (await call("POST", "artifacts/presigned-upload-url", { run_id, path: name })).body.text("presigned_url");
    const listed = async (below: string) => (await call("GET", "artifacts/list", { run_id, path: below })).body.list("files").map((file) => file.text("path"));
    const text = async (name: string) => (await fetch(`${server.url}/get-artifact?run_id=${run_id}&path=${name}`)).text();

    const [first, second, third] = await Promise.all(["a/one.txt", "a/two.txt", "b/three.txt"].map(address));
    expect(await listed("a")).toEqual([]);
    await fetch(first ?? "", { method: "PUT", body: "one" });
    await fetch(second ?? "", { method: "PUT", body: "two" });
    await fetch(third ?? "", { method: "PUT", body: "three" });
    expect(await listed("a")).toEqual(["a/one.txt", "a/two.txt"]);
    expect(await text("b/three.txt")).toBe("three");
    // Sent again, as after a lost answer, or with other content.
    await fetch(first ?? "", { method: "PUT", body: "one, again" });
    expect(await Promise.all([text("a/one.txt"), text("a/one.txt"), listed("")])).toEqual(["one, again", "one, again", ["a", "b"]]);

    const root = `0/${run_id}/artifacts`;
    await fetch(second ?? "", { method: "PUT", body: "two, before the next" });
    await put(`${root}/a/two.txt`, "two, through the server");
    expect(await text("a/two.txt")).toBe("two, through the server");
    await fetch(`${artifacts()}/artifacts/${root}/b`, { method: "DELETE" });
    expect(await listed("b")).toEqual([]);

    const late = await address("late.txt");
    await server.stop();
    await fetch(late, { method: "PUT", body: "sent while nobody was there" });
    server = await start();
    expect(await text("late.txt")).toBe("sent while nobody was there");
  });

  it("gives addresses that are good for one thing and for a short time", async () => {
    const run_id = (await call("POST", "runs/create", { experiment_id: "0" })).body.text("run", "info", "run_id");
    await put(`0/${run_id}/artifacts/page.html`, "<script>alert(1)</script>");
    const { body } = await call("POST", "artifacts/presigned-download-url", { run_id, path: "page.html", expiration: 604_800 });
    const address = new URL(body.text("presigned_url"));
    expect([body.at("file_size").value, body.at("headers").value, address.searchParams.get("X-Amz-Expires")]).toEqual([25, {}, "3600"]);
    const read = await fetch(address, { headers: { range: "bytes=0-7" } });
    const told = [read.status, read.headers.get("content-type"), read.headers.get("content-disposition"), await read.text()];
    expect(told).toEqual([206, "application/octet-stream", 'attachment; filename="page.html"', "<script>"]);
    expect((await fetch(address, { method: "PUT", body: "other" })).ok).toBe(false);
    expect((await fetch(address, { method: "DELETE" })).ok).toBe(false);

    const upload = new URL((await call("POST", "artifacts/presigned-upload-url", { run_id, path: "x" })).body.text("presigned_url"));
    expect(upload.searchParams.get("X-Amz-Expires")).toBe("900");
    const elsewhere = new URL(upload);
    elsewhere.pathname = elsewhere.pathname.replace(/[^/]+$/, "0");
    expect((await fetch(elsewhere, { method: "PUT", body: "other" })).status).toBe(403);
    const wrong = [
      { run_id, path: "../x" },
      { run_id, path: "a/%2e%2e/x" },
      { run_id, path: "x", expiration: 0 },
      { run_id, model_id: "m", path: "x" },
      { path: "x" },
      { run_id },
    ];
    for (const given of wrong) expect((await call("POST", "artifacts/presigned-upload-url", given)).status).toBe(400);
    expect((await call("POST", "artifacts/presigned-download-url", { run_id, path: "absent" })).status).toBe(404);
    expect((await call("POST", "artifacts/presigned-upload-url", { run_id: "absent", path: "x" })).status).toBe(404);
  });

  it("has the files of a registered version after they were sent to the store", async () => {
    const run_id = (await call("POST", "runs/create", { experiment_id: "0" })).body.text("run", "info", "run_id");
    const { body } = await call("POST", "artifacts/presigned-upload-url", { run_id, path: "model/model.bin" });
    await fetch(body.text("presigned_url"), { method: "PUT", body: "weights" });
    await call("POST", "registered-models/create", { name: "sent" });
    expect((await call("POST", "model-versions/create", { name: "sent", source: `runs:/${run_id}/model`, run_id })).status).toBe(200);
    await fetch(body.text("presigned_url"), { method: "PUT", body: "other weights" });
    const { body: source } = await call("GET", "model-versions/get-download-uri", { name: "sent", version: "1" });
    expect(await (await get(`${source.text("artifact_uri").replace(/^mlflow-artifacts:\/+/, "")}/model.bin`)).text()).toBe("weights");
  });

  it("hands the outputs of a pipeline's steps on", { timeout: 120_000 }, async () => {
    const api = openApi(server.url);
    await api.apply(
      {
        "write.py": 'import millrace\nmillrace.output("model").mkdir()\n(millrace.output("model") / "weights.bin").write_bytes(b"weights" * 2_000_000)',
        "read.py":
          'import json, pathlib, millrace\npath = pathlib.Path(millrace.inputs()["model"].path)\nmillrace.output("size").write_text(json.dumps(path.stat().st_size))',
      },
      [
        {
          name: "sizes",
          params: [],
          nodes: [
            pythonNode("write", "write.py", { outputs: [{ name: "model", type: "model" }] }),
            pythonNode("read", "read.py", { inputs: { model: { node: "write", output: "model" } }, outputs: [{ name: "size", type: "json" }] }),
          ],
        },
      ],
    );
    const run = await api.untilOver((await api.start("sizes")).id);
    expect([run.state, run.steps[1]?.outputs.size?.meta.value]).toEqual(["succeeded", 14_000_000]);
    const digest = run.steps[0]?.outputs.model?.files[0]?.digest ?? "";
    expect((await stat(path.join(s3.folder, "bucket/data", digest.slice(7, 9), digest.slice(9)))).size).toBe(14_000_000);
  });

  it("serves MLflow's own client, which goes past the server with what is large", { timeout: 300_000 }, async () => {
    const answered = await withMlflowClient(
      server.url,
      `
import json, os, pathlib
os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = str(6 * 1024 ** 2)
os.environ["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = str(5 * 1024 ** 2)
os.environ["MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE"] = str(3 * 1024 ** 2)
import mlflow, requests
content = os.urandom(11 * 1024 ** 2 + 17)
pathlib.Path("large.bin").write_bytes(content)
pathlib.Path("small.txt").write_text("small")
asked = []
send = requests.Session.send
def told(self, request, **kwargs):
    asked.append(request.method + " " + ("server" if os.environ["MLFLOW_TRACKING_URI"] in request.url else "store"))
    return send(self, request, **kwargs)
requests.Session.send = told
with mlflow.start_run() as run:
    mlflow.log_artifact("large.bin", "models")
    mlflow.log_artifact("small.txt")
sent = asked.count("PUT store"), asked.count("PUT server")
asked.clear()
uri = f"runs:/{run.info.run_id}"
back = pathlib.Path(mlflow.artifacts.download_artifacts(f"{uri}/models/large.bin")).read_bytes() == content
print(json.dumps({"sent": sent, "back": back, "taken": asked.count("GET store"), "small": mlflow.artifacts.load_text(f"{uri}/small.txt"),
    "listed": [[f.path, f.file_size] for f in mlflow.MlflowClient().list_artifacts(run.info.run_id, "models")]}))
`,
    );
    expect(answered).toEqual({ sent: [3, 1], back: true, taken: 4, small: "small", listed: [["models/large.bin", 11 * 1024 ** 2 + 17]] });
  });
});
