/** Clients of the Open Inference Protocol, of Triton, KServe and MLServer, and of MLflow's deployments, as they come. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { clientPython } from "../../tracking/testing.js";
import { openServingServer, type ServingServer } from "../testing.js";

const scripts = fileURLToPath(new URL(".", import.meta.url));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
let folder: string;
let server: ServingServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await openServingServer(path.join(folder, "data"), { kind: "system" });
  await server.apply();
  await server.registry.setAlias("shade", "champion", await server.register("columns"));
  await server.settled();
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Said {
  server: { name: string; extensions: string[] };
  inputs: [string, string, number[]][];
  ids: string[];
  index: [string, string, string][];
  refused: Record<"type" | "model" | "large" | "version", [string, string]>;
  [numbers: string]: unknown;
}

/** What the script says that its client was answered, in the environment of its own lock. */
async function says(client: "triton" | "kserve" | "mlserver"): Promise<unknown> {
  const python = await clientPython(path.join(scripts, `${client}.lock`), folder);
  const env = { ...process.env, MLFLOW_DISABLE_TELEMETRY: "true", PYTHONWARNINGS: "ignore", PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout } = await promisify(execFile)(python, [path.join(scripts, `${client}_user.py`), server.url, server.grpc], { cwd: folder, env });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
}
// "blauß" is a colour that the model does not know.
const rows = [0.5 + 1, -1, 2 - 1].map(sigmoid);
const near = (numbers: number[]) => numbers.map((number): number => expect.closeTo(number, 6));

it("serves Triton's clients over HTTP and gRPC, and MLflow's client for deployments", { timeout: 600_000 }, async () => {
  const said = (await says("triton")) as { http: Said; grpc: Said; json: number[]; packed: object; invocations: object; reasons: object };

  const whole = [1 + 1, 2, 3 - 1].map(sigmoid);
  for (const [how, one] of Object.entries({ http: said.http, grpc: said.grpc })) {
    expect(one.server, how).toMatchObject({ name: "millrace", extensions: ["binary_tensor_data", "model_repository"] });
    expect(one.inputs, how).toEqual([
      ["asked", "BYTES", [-1]],
      ["color", "BYTES", [-1]],
      ["x", "FP64", [-1]],
    ]);
    for (const name of ["probability", "again", "FP64", "FP32", "FP16"]) expect(one[name], `${name} over ${how}`).toEqual(near(rows));
    for (const bits of [8, 16, 32, 64]) for (const sign of ["INT", "UINT"]) expect(one[`${sign}${bits}`], `${sign}${bits} over ${how}`).toEqual(near(whole));
    expect(one.ids).toEqual([0, 1, 2].map((row) => `tritonclient.${how}-1:${row}`));
    expect(one.index).toEqual([["shade", "1", "READY"]]);
    const { type, model, large, version } = one.refused;
    expect([type[1], model[1], large[1], version[1]]).toEqual([
      expect.stringContaining('The input "x" has the datatype BOOL; it takes FP64, '),
      'There is no endpoint "nobody".',
      expect.stringContaining('The input "x" of INT64 holds 9007199254740992'),
      expect.stringContaining("99"),
    ]);
    const codes =
      how === "http"
        ? ["400", "404", "400", "404"]
        : ["StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND"];
    expect([type[0], model[0], large[0], version[0]]).toEqual(codes);
  }
  expect(said.json).toEqual(near(rows));
  expect(said.packed).toEqual({ gzip: near(rows), deflate: near(rows), grpc: near(rows) });
  // sigmoid(x + code) is no tree.
  const reason = { method: "sampled", version: 1, background: { from: "log" }, attributions: [{ feature: expect.stringMatching(/^(color|x)$/) }] };
  expect(said.reasons).toMatchObject({ http: [reason, reason, reason], grpc: [reason, reason, reason] });
  expect(said.invocations).toEqual({ dataframe_records: near(rows), dataframe_split: near(rows), instances: near(rows), inputs: near(rows) });
});

it("serves KServe's clients over HTTP and gRPC", { timeout: 600_000 }, async () => {
  const answer = (id: string) => ({ id, probability: near(rows), ids: [0, 1, 2].map((row) => `${id}:${row}`) });
  expect(await says("kserve")).toEqual({
    ...{ rest: answer("kserve-False"), binary: answer("kserve-True"), grpc: answer("kserve-False") },
    ...{ ready: [true, true, true], grpc_ready: [true, true, true] },
  });
});

it("serves what MLServer's codecs make, over HTTP and gRPC", { timeout: 600_000 }, async () => {
  const answer = (id: string) => ({ id, probability: near(rows), ids: [0, 1, 2].map((row) => `${id}:${row}`) });
  const inputs = [
    ["asked", "BYTES", [-1]],
    ["color", "BYTES", [-1]],
    ["x", "FP64", [-1]],
  ];
  expect(await says("mlserver")).toEqual({ rest: answer("mlserver-rest"), grpc: answer("mlserver-grpc"), server: "millrace", inputs, index: ["shade"] });
});
