/** How a server starts, in one process or several. What it is composed of is loaded while PostgreSQL starts: loading takes about as long. */
import { setFlagsFromString } from "node:v8";
import type { Role } from "./access/index.js";
import type { RunningServer } from "./composition.js";
import type { prepareStep as prepare } from "./compute/index.js";
import { StartError } from "./platform/errors.js";
import type { MetricList, Platform, ServerConfig } from "./platform/index.js";
import { openPlatform } from "./platform/open.js";
import { startProcesses } from "./processes.js";

export { type Role, roles } from "./access/types.js";
export type { RunningServer } from "./composition.js";
export type { Job, JobInput } from "./compute/index.js";
export { StartError } from "./platform/errors.js";
export type { ServerConfig } from "./platform/index.js";
export { type Processes, startProcesses } from "./processes.js";

/** For who runs a step again on a machine of their own. */
export async function prepareStep(...given: Parameters<typeof prepare>): ReturnType<typeof prepare> {
  return (await import("./compute/index.js")).prepareStep(...given);
}

export function startServer(config: ServerConfig): Promise<RunningServer> {
  return start(config, "all");
}

/**
 * A server whose requests are answered by so many processes on one port. This one does what is due by time and by events, runs steps, and keeps the others
 * alive; it listens for its own steps alone.
 */
export async function startServers(config: ServerConfig, processes: number): Promise<RunningServer> {
  if (processes < 2) return startServer(config);
  const { grpcPort: _, ...own } = config;
  const { platform, load, close } = await open(config);
  try {
    const { compose } = await load();
    const first = await compose({ ...platform, config: { ...own, host: "127.0.0.1", port: 0 } }, "all");
    // Who shares PostgreSQL shares its connections.
    const others = await startProcesses(
      { ...config, databaseUrl: platform.databaseUrl, connections: Math.max(4, Math.floor(40 / processes)) },
      processes,
      platform.metrics.own,
    ).catch(async (error: unknown) => {
      await first.stop();
      throw error;
    });
    platform.address.url = others.url;
    return {
      ...{ url: others.url, routes: first.routes, metrics: platform.metrics },
      ...(others.grpc === undefined ? {} : { grpc: others.grpc }),
      async stop() {
        await others.stop();
        await first.stop();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * A process that answers requests and does nothing else, on the PostgreSQL and the object store of a server. `gather` answers what it and those that share its
 * port measured.
 */
export function startServing(config: ServerConfig, gather?: () => Promise<MetricList>): Promise<RunningServer> {
  if (config.databaseUrl === undefined)
    throw new StartError(
      "A process that serves shares the PostgreSQL of its server: set DATABASE_URL to it. A PostgreSQL that runs embedded in a data folder has one owner.",
    );
  return start(config, "requests", gather);
}

/**
 * A process that runs steps and does nothing else, on the PostgreSQL and the object store of a server. What it listens on is for its own steps, which
 * find there what they would find at the server; `/health` and `/metrics` are for whoever looks after it.
 */
export function startWorker(config: ServerConfig): Promise<RunningServer> {
  if (config.databaseUrl === undefined)
    throw new StartError(
      "A worker shares the PostgreSQL of its server: set DATABASE_URL to it. A PostgreSQL that runs embedded in a data folder has one owner.",
    );
  return start(config, "steps");
}

async function start(config: ServerConfig, work: "all" | "steps" | "requests", gather?: () => Promise<MetricList>): Promise<RunningServer> {
  const { platform, load, close } = await open(config);
  if (gather !== undefined) platform.metrics.gatherBy(gather);
  try {
    const { compose } = await load();
    const { stop, ...running } = await compose(platform, work);
    return {
      ...running,
      async stop() {
        await stop();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * How far V8's heap may grow over what lives in it before all of it is looked through. V8 chooses by itself, little after a process was idle, and counts in what lies
 * outside of the heap: bodies and tensors of requests made it do that every tenth of a second, which took a sixth of a processor.
 */
const heapGrowingPercent = 200;

async function open(config: ServerConfig): Promise<{ platform: Platform; load: () => Promise<typeof import("./composition.js")>; close: () => Promise<void> }> {
  setFlagsFromString(`--heap-growing-percent=${heapGrowingPercent}`);
  if (config.onnxProviders !== undefined) (await import("./inference/index.js")).checkProviders(config.onnxProviders);
  const load = () => import("./composition.js");
  // Who needs it is told if it fails.
  return { ...(await openPlatform(config, () => void load().catch(() => {}))), load };
}

/** Adds a user to the data of a server that does not run, or whose PostgreSQL is external. Answers the token, which is kept nowhere. */
export async function addUser(config: ServerConfig, name: string, role: Role): Promise<string> {
  const { platform, close } = await openPlatform(config);
  try {
    const { createAccess } = await import("./access/index.js");
    return await (await createAccess(platform)).addPrincipal(name, role);
  } finally {
    await close();
  }
}
