/** MLflow's own client, of a project's locked requirements, against a server of a test. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createCompute } from "../compute/index.js";
import { openFolderStore } from "../platform/index.js";

const root = fileURLToPath(new URL("../../../../", import.meta.url));

/** The Python of an environment with the locked requirements, which all tests share and which is made where there is none. */
export async function clientPython(lock: string, folder: string): Promise<string> {
  process.env.MILLRACE_ENVIRONMENTS ??= path.join(root, ".millrace", "environments");
  const compute = createCompute({
    config: { dataDir: folder, host: "127.0.0.1", port: 0, clock: { kind: "system" }, logLevel: "warn" },
    objects: await openFolderStore(path.join(folder, "objects")),
  });
  const digest = `sha256:${createHash("sha256")
    .update(await readFile(lock))
    .digest("hex")}`;
  return (await compute.environment({ file: lock, digest }, { signal: new AbortController().signal, onLine: () => {} })).path;
}

/** Runs a script whose last line of output is JSON, and answers that. */
export async function withMlflowClient(url: string, script: string): Promise<unknown> {
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-client-"));
  try {
    const python = await clientPython(path.join(root, "examples/flights/requirements.lock"), folder);
    await writeFile(path.join(folder, "client.py"), script);
    const env = { ...process.env, MLFLOW_TRACKING_URI: url, NO_COLOR: "1", PYTHONWARNINGS: "ignore", MLFLOW_DISABLE_TELEMETRY: "true" };
    const { stdout } = await promisify(execFile)(python, ["client.py"], { cwd: folder, env });
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Calls MLflow's API. `body` goes into the address of a GET. */
export const mlflowApi =
  (url: () => string, headers: Record<string, string> = {}) =>
  async (method: "GET" | "POST" | "PATCH" | "DELETE", route: string, body: Record<string, unknown> = {}): Promise<{ status: number; body: Json }> => {
    const query = new URLSearchParams(Object.entries(body).flatMap(([key, value]) => [value].flat().map((one): [string, string] => [key, String(one)])));
    const answer =
      method === "GET"
        ? await fetch(`${url()}/api/2.0/mlflow/${route}?${query}`, { headers })
        : await fetch(`${url()}/api/2.0/mlflow/${route}`, { method, headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) });
    return { status: answer.status, body: new Json(await answer.json()) };
  };

/** A value of an answer, to be looked into. */
export class Json {
  constructor(readonly value: unknown) {}
  at(...keys: (string | number)[]): Json {
    return new Json(keys.reduce<unknown>((value, key) => (value === null || typeof value !== "object" ? undefined : Reflect.get(value, key)), this.value));
  }
  list(...keys: (string | number)[]): Json[] {
    const { value } = this.at(...keys);
    return Array.isArray(value) ? value.map((one) => new Json(one)) : [];
  }
  text(...keys: (string | number)[]): string {
    return String(this.at(...keys).value);
  }
}
