import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RunningServer, startServer } from "../server.js";

let folder: string;
let server: RunningServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "silent" });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Row {
  method: string;
  /** As in the table. */
  route: string;
  state: string;
}
async function table(): Promise<Row[]> {
  const text = await readFile(new URL("../../../../docs/mlflow.md", import.meta.url), "utf8");
  return [...text.matchAll(/^\| [^|]+ \| `(GET|POST|PUT|PATCH|DELETE) ([^`]+)` \| ([^|]+) \|$/gm)].map(([, method = "", route = "", state = ""]) => ({
    method,
    route,
    state,
  }));
}
const addresses = (route: string): string[] => {
  const told = route.replaceAll(/<[^>]+>/g, "none");
  if (/^[23]\.0\//.test(told)) return [`/api/${told.slice(0, 3)}/mlflow${told.slice(3)}`, `/ajax-api/${told.slice(0, 3)}/mlflow${told.slice(3)}`];
  return told.startsWith("artifacts/") ? [`/api/2.0/mlflow-artifacts/${told.slice(10)}`, `/ajax-api/2.0/mlflow-artifacts/${told.slice(10)}`] : [told];
};
async function ask(method: string, address: string): Promise<{ status: number; code?: string; message?: string }> {
  const body = method === "GET" ? {} : { body: "{}", headers: { "content-type": "application/json" } };
  const answer = await fetch(server.url + address, { method, redirect: "manual", ...body });
  const told = (await answer.json().catch(() => ({}))) as { error_code?: string; message?: string; error?: { code?: string } };
  const code = told.error_code ?? told.error?.code;
  return { status: answer.status, ...(code === undefined ? {} : { code }), ...(told.message === undefined ? {} : { message: told.message }) };
}

it("has the routes of MLflow that docs/mlflow.md says it has, and says of the others that it has not", async () => {
  const rows = await table();
  expect(rows.length).toBeGreaterThan(190);
  const wrong: unknown[] = [];
  for (const { method, route, state } of rows) {
    for (const address of addresses(route)) {
      const { status, code, message = "" } = await ask(method, address);
      const is =
        code === "ENDPOINT_NOT_FOUND" && status === 404 && message.includes("docs/mlflow.md names every route")
          ? "no"
          : code === "NOT_FOUND" || code === "ENDPOINT_NOT_FOUND" || status >= 500
            ? status === 501
              ? "with S3, else 501"
              : `${status} ${code}`
            : "yes";
      if (is !== state) wrong.push([method, address, state, is]);
    }
  }
  expect(wrong).toEqual([]);
});

it("names what it lacks, whatever comes along", async () => {
  const post = (address: string, type: string) => fetch(server.url + address, { method: "POST", headers: { "content-type": type }, body: "\u0000{" });
  for (const [address, type, what] of [
    ["/v1/traces", "application/x-protobuf", "no traces"],
    ["/api/3.0/mlflow/traces", "application/json", "no traces"],
    ["/ajax-api/3.0/mlflow/gateway/endpoints/create", "application/json", "no gateway"],
    ["/graphql", "application/json", "no GraphQL"],
    ["/api/2.0/mlflow/of-tomorrow", "text/plain", "no such route"],
  ] as const) {
    const answer = await post(address, type);
    expect([address, answer.status, ((await answer.json()) as { message: string }).message]).toEqual([
      address,
      404,
      expect.stringContaining(`This server has ${what}`),
    ]);
  }
});
