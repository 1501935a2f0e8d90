import { mkdtemp, readdir, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RunningServer, startServer } from "../server.js";
import { mlflowApi } from "./testing.js";

let folder: string;
let server: RunningServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await startServer({
    host: "127.0.0.1",
    port: 0,
    dataDir: folder,
    clock: { kind: "system" },
    logLevel: "warn",
    artifactLocations: ["s3://team/experiments/"],
  });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const call = mlflowApi(() => server.url);
const base = () => `${server.url}/api/2.0/mlflow-artifacts/artifacts`;
const put = (name: string, body = "some bytes") => fetch(`${base()}/${name}`, { method: "PUT", body });
const list = async (below: string) => (await fetch(`${base()}?path=${below}`)).json();
/** Sends the address as it is, which `fetch` would tidy up first. */
function raw(method: string, address: string): Promise<number> {
  const { port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path: address, method, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    asked.on("error", reject).end(method === "PUT" ? "hostile" : undefined);
  });
}

it("keeps files under their names, and gives them whole or in part", async () => {
  expect((await put("0/run/artifacts/plots/curve.txt")).status).toBe(200);
  expect(await list("0/run/artifacts")).toEqual({ files: [{ path: "plots", is_dir: true }] });
  expect(await list("0/run/artifacts/plots")).toEqual({ files: [{ path: "curve.txt", is_dir: false, file_size: 10 }] });
  const file = `${base()}/0/run/artifacts/plots/curve.txt`;
  expect(await (await fetch(file)).text()).toBe("some bytes");
  const part = async (range: string, headers = {}) => {
    const answer = await fetch(file, { headers: { range, ...headers } });
    return [answer.status, answer.headers.get("content-range"), answer.ok ? await answer.text() : ""];
  };
  expect(await part("bytes=5-")).toEqual([206, "bytes 5-9/10", "bytes"]);
  expect(await part("bytes=-3")).toEqual([206, "bytes 7-9/10", "tes"]);
  expect(await part("bytes=0-0")).toEqual([206, "bytes 0-0/10", "s"]);
  expect(await part("bytes=8-99")).toEqual([206, "bytes 8-9/10", "es"]);
  expect(await part("bytes=10-")).toEqual([416, "bytes */10", ""]);
  expect(await part("bytes=5-2")).toEqual([200, null, "some bytes"]);
  expect(await part("bytes=5-", { "if-range": '"another"' })).toEqual([200, null, "some bytes"]);
});

it("says what a file is without giving it, and not again to who has it", async () => {
  await put("0/run/artifacts/r%C3%A9sum%C3%A9 (1).html", "<script>alert(1)</script>");
  const file = `${base()}/0/run/artifacts/r%C3%A9sum%C3%A9 (1).html`;
  const head = await fetch(file, { method: "HEAD" });
  const told = ["content-length", "content-type", "x-content-type-options", "content-disposition", "accept-ranges"].map((name) => head.headers.get(name));
  const disposition = `attachment; filename="r_sum___1_.html"; filename*=UTF-8''r%C3%A9sum%C3%A9%20%281%29.html`;
  expect([head.status, ...told]).toEqual([200, "25", "application/octet-stream", "nosniff", disposition, "bytes"]);
  const tag = head.headers.get("etag") ?? "";
  expect((await fetch(file, { headers: { "if-none-match": tag } })).status).toBe(304);
  expect((await fetch(file, { headers: { "if-none-match": '"another"' } })).status).toBe(200);
  await put("0/run/artifacts/empty", "");
  const empty = await fetch(`${base()}/0/run/artifacts/empty`);
  expect([empty.status, empty.headers.get("content-length"), await empty.text()]).toEqual([200, "0", ""]);
});

it("keeps names with signs that mean something elsewhere", async () => {
  const names = ["100%25.txt", "50%25off", "a%23b%3Fc", "%E2%82%AC", "a%20b+c", "tag:x", "x=1&y", "%25zz", "...hidden"];
  for (const name of names) expect((await put(`signs/${name}`, name)).status).toBe(200);
  for (const name of names) expect(await (await fetch(`${base()}/signs/${name}`)).text()).toBe(name);
});

it("deletes a file, or a folder with all that is below, and nothing beside it", async () => {
  for (const name of ["d/a/1", "d/a/b/2", "d/ab", "d/a_c"]) await put(name);
  expect((await fetch(`${base()}/d/a`, { method: "DELETE" })).status).toBe(200);
  expect(await list("d")).toEqual({ files: ["a_c", "ab"].map((name) => ({ path: name, is_dir: false, file_size: 10 })) });
  expect((await fetch(`${base()}/d/a/1`)).status).toBe(404);
});

it("refuses names that lead elsewhere, in any writing, and touches no file", async () => {
  const before = await readdir(folder, { recursive: true });
  const ups = [
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "%25252e%25252e",
    "%2525252525252e.",
    "%c0%ae%c0%ae",
    "%ef%bc%8e%ef%bc%8e",
    "..%00",
    "%5c..",
    "..%5c",
    ".",
  ];
  const names = [
    ...ups.flatMap((up) => [`0/${up}/x`, `${up}/${up}/etc/passwd`, `0/x/${up}`, `0%2f${up}%2fx`]),
    ...["0//a", "/etc/passwd", "%2fetc%2fpasswd", "C:/x", "C%3a/x", "C%253a/x", "0/a%00b", "0/a%0ab", "0/a%5cb", "x".repeat(1_001)],
  ];
  const routes = [
    (name: string) => ["PUT", `/api/2.0/mlflow-artifacts/artifacts/${name}`],
    (name: string) => ["GET", `/api/2.0/mlflow-artifacts/artifacts/${name}`],
    (name: string) => ["DELETE", `/ajax-api/2.0/mlflow-artifacts/artifacts/${name}`],
    (name: string) => ["GET", `/api/2.0/mlflow-artifacts/artifacts?path=${name}`],
  ] as const;
  const wrong: string[] = [];
  for (const name of names) {
    for (const route of routes) {
      const [method = "", address = ""] = route(name);
      const status = await raw(method, address);
      if (status !== 400) wrong.push(`${method} ${address}: ${status}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(await readdir(folder, { recursive: true })).toEqual(before);
});

it("refuses addresses that are not its own, unless the operator allows them", async () => {
  const create = (location: string) => call("POST", "experiments/create", { name: `at ${location}`, artifact_location: location });
  const elsewhere = ["file:///etc", "s3://bucket/x", "mlflow-artifacts:/../x", "mlflow-artifacts:/a/%2e%2e/b", "/tmp", "http://elsewhere/x"];
  const besideAllowed = [
    "s3://team",
    "s3://teams/x",
    "s3://team/experiments-2",
    "s3://team/experiments/../x",
    "s3://team/experiments/%2e%2e/x",
    "s3://team/experiments/x?y",
  ];
  for (const location of [...elsewhere, ...besideAllowed]) expect([location, (await create(location)).status]).toEqual([location, 400]);
  const { status, body } = await create("s3://team/experiments/one");
  expect(status).toBe(200);
  const run = (await call("POST", "runs/create", { experiment_id: body.text("experiment_id") })).body.at("run", "info");
  expect(run.text("artifact_uri")).toBe(`s3://team/experiments/one/${run.text("run_id")}/artifacts`);
  expect((await call("GET", "artifacts/list", { run_id: run.text("run_id") })).status).toBe(400);
});

it("tells a client that would go past it to go through it", async () => {
  const create = await fetch(`${server.url}/api/2.0/mlflow-artifacts/mpu/create/0/run/artifacts`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ path: "/tmp/big.bin", num_parts: 2 }),
  });
  // MLflow's client takes it so by the beginning of the message.
  const { message } = (await create.json()) as { message: string };
  expect([create.status, message]).toEqual([501, expect.stringMatching(/^Multipart upload is not supported for the current artifact repository/)]);
  expect((await fetch(`${server.url}/api/2.0/mlflow-artifacts/presigned/0/run/artifacts/x`)).status).toBe(501);
  expect((await call("POST", "artifacts/presigned-upload-url", { run_id: "x", path: "y" })).status).toBe(501);
});
