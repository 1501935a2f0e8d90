/** For tests: a server in a process of its own, which can be killed, and a client of its API. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { LogPage, Run, RunDetail } from "@millrace/sdk/api";
import type { NodeSpec, PipelineSpec, ProjectSpec } from "@millrace/sdk/spec";
import type { ServerConfig } from "../platform/index.js";

export interface ServerProcess {
  url: string;
  pid: number;
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** `worker` runs steps alone, on the PostgreSQL that the environment names. */
export async function startServerProcess(
  dataDir: string,
  environment: Record<string, string> = {},
  as: "server" | "worker" = "server",
  compute: { folderBytes?: number } = {},
  more: Partial<ServerConfig> = {},
): Promise<ServerProcess> {
  const config = { host: "127.0.0.1", port: 0, dataDir, clock: { kind: "system" }, logLevel: "warn", compute, ...more, ...optional(environment.DATABASE_URL) };
  const code = `
    const { startServer, startWorker } = await import(${JSON.stringify(new URL("../server.ts", import.meta.url).href)});
    const server = await ${as === "server" ? "startServer" : "startWorker"}(${JSON.stringify(config)});
    process.once("SIGTERM", () => server.stop().then(() => process.exit(0)));
    console.log(server.url);`;
  const child = spawn(process.execPath, ["--import", "tsx", "--conditions=millrace-source", "--input-type=module", "--eval", code], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...environment },
  });
  const url = await firstLine(child);
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  };
  return { url, pid: child.pid ?? 0, kill: () => end("SIGKILL"), stop: () => end("SIGTERM") };
}
const optional = (databaseUrl: string | undefined) => (databaseUrl === undefined ? {} : { databaseUrl });

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error("The server has no output.");
  const lines = createInterface({ input: child.stdout });
  return new Promise((resolve, reject) => {
    lines.once("line", resolve);
    child.once("exit", (code) => reject(new Error(`The server ended with ${code} at its start.`)));
  });
}

export function openApi(url: string) {
  async function call<T>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }> {
    const answer = await fetch(`${url}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return { status: answer.status, body: (await answer.json()) as T };
  }
  const get = async <T>(path: string): Promise<T> => (await call<T>("GET", path)).body;

  return {
    call,
    get,
    /** Applies the pipelines as the project `test`, with its files. */
    async apply(files: Record<string, string>, pipelines: PipelineSpec[]): Promise<void> {
      const listed: ProjectSpec["files"] = [];
      for (const [path, text] of Object.entries(files)) {
        const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
        await fetch(`${url}/api/v1/objects/${digest}`, { method: "PUT", body: text, headers: { "content-type": "application/octet-stream" } });
        listed.push({ path, digest, size: Buffer.byteLength(text) });
      }
      const none = { datasets: [], schemas: [], entities: [], featureViews: [], featureServices: [], endpoints: [], monitors: [], triggers: [] };
      const document: ProjectSpec = { apiVersion: "millrace/v1", name: "test", ...none, pipelines, files: listed, folder: "/nowhere" };
      const applied = await call("PUT", "/api/v1/projects/test", document);
      if (applied.status !== 200) throw new Error(JSON.stringify(applied.body));
    },
    async start(pipeline: string, params: Record<string, string | number | boolean> = {}): Promise<Run> {
      const { status, body } = await call<Run>("POST", `/api/v1/pipelines/${pipeline}/runs`, { params });
      if (status !== 201) throw new Error(JSON.stringify(body));
      return body;
    },
    /** Looks at a run until it is as wished. */
    async until(id: string, wish: (run: RunDetail) => boolean): Promise<RunDetail> {
      for (;;) {
        const run = await get<RunDetail>(`/api/v1/runs/${id}`);
        if (wish(run)) return run;
        await delay(50);
      }
    },
    async untilOver(id: string): Promise<RunDetail> {
      return this.until(id, (run) => run.state !== "queued" && run.state !== "running");
    },
    async log(id: string, step: string): Promise<string[]> {
      const page = await get<LogPage>(`/api/v1/runs/${id}/steps/${step}/log`);
      return page.lines.map((line) => line.text);
    },
    /** Resolves when a step has said a line. */
    async untilSaid(id: string, step: string, text: string): Promise<void> {
      while (!(await this.log(id, step)).includes(text)) await delay(50);
    },
  };
}

/** A Python step without requirements. */
export function pythonNode(id: string, script: string, rest: Partial<Extract<NodeSpec, { kind: "python" }>> = {}): NodeSpec {
  return { id, kind: "python", inputs: {}, outputs: [], config: { script }, ...rest };
}
