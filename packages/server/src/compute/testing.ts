/** A server that offers what nodes of a cluster ask for, and jobs for its backends. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Access, createAccess } from "../access/index.js";
import { listen, type ObjectStore, openHttp, type Platform, type ServerConfig } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import type { Backend, Job, JobEnd } from "./backend.js";
import { pythonCommand } from "./layout.js";
import { computeRoutes } from "./routes.js";

export interface Served {
  platform: Platform;
  access: Access;
  url: string;
  close(): Promise<void>;
}
export async function serve(config: Partial<ServerConfig> = {}): Promise<Served> {
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const { platform, close } = await openPlatform({
    ...{ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" as const }, logLevel: "silent" },
    ...config,
  });
  const access = await createAccess(platform);
  // Here too a token is asked for.
  await access.addPrincipal("somebody", "viewer");
  const app = await openHttp(platform, access.authorize);
  computeRoutes(app, platform.objects);
  const url = await listen(app, platform.config);
  platform.address.url = url;
  return {
    platform,
    access,
    url,
    async close() {
      await app.close();
      await close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface Told {
  end: JobEnd;
  lines: string[];
  progress: unknown[];
  metrics: Record<string, number>[];
  usage: number;
}
export interface Step extends Partial<Job> {
  files: Record<string, string>;
}
export async function jobOf(objects: ObjectStore, { files, ...job }: Step): Promise<Job> {
  const code = [];
  for (const [name, text] of Object.entries(files)) code.push({ path: name, digest: (await objects.put(Buffer.from(text))).digest });
  return {
    ...{ id: "run-1/step/1", command: pythonCommand(Object.keys(files)[0] ?? ""), python: {}, code, inputs: {}, outputs: {}, params: {} },
    ...{ environment: {}, secretValues: [], resources: {}, timeoutMs: 60_000 },
    ...job,
  };
}
export async function runOn(
  backend: Pick<Backend, "run">,
  objects: ObjectStore,
  step: Step,
  { signal = new AbortController().signal, onLine }: { signal?: AbortSignal; onLine?: (text: string) => void } = {},
): Promise<Told> {
  const told: Omit<Told, "end"> = { lines: [], progress: [], metrics: [], usage: 0 };
  const end = await backend.run(await jobOf(objects, step), {
    signal,
    onLine(stream, text) {
      told.lines.push(`${stream} ${text}`);
      onLine?.(text);
    },
    onProgress: (one) => told.progress.push(one),
    onMetrics: (one) => told.metrics.push(one),
    onUsage: () => {
      told.usage++;
    },
  });
  return { end, ...told };
}

export async function putFile(objects: ObjectStore, name: string, text: string) {
  return { path: name, ...(await objects.put(Buffer.from(text))) };
}
export async function textOf(objects: ObjectStore, end: JobEnd, output: string): Promise<string> {
  const [one] = end.outputs[output] ?? [];
  if (one === undefined) throw new Error(`There is no output ${output}: ${end.message}`);
  const parts: Buffer[] = [];
  for await (const part of await objects.read(one.digest)) parts.push(part);
  return Buffer.concat(parts).toString();
}
