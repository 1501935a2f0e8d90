import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { ServerConfig } from "@millrace/server";
import { computeConfig } from "../compute-config.js";
import { CliError, codeOf, exit, explain } from "../errors.js";
import { print, tell } from "../output.js";

const consoleFolder = fileURLToPath(new URL("../../../console/dist/", import.meta.url));

export interface UpOptions {
  port: number;
  grpcPort?: number;
  host: string;
  /** Processes that answer requests. */
  workers: number;
  dataDir: string;
  replayFrom?: Date;
  logLevel: string;
}

/** Runs until SIGTERM or SIGINT; a second one does not wait for what is under way. */
export async function up(options: UpOptions): Promise<void> {
  const stopping = untilAsked();
  // What libraries will not do for ever is for us to know, not for whoever starts the platform.
  process.noDeprecation = true;
  const { startServers } = await import("@millrace/server");
  const config: ServerConfig = {
    ...dataConfig(options.dataDir),
    host: options.host,
    port: options.port,
    ...(options.grpcPort === undefined ? {} : { grpcPort: options.grpcPort }),
    clock: options.replayFrom === undefined ? { kind: "system" } : { kind: "replay", from: options.replayFrom },
    logLevel: options.logLevel,
    command: [process.execPath, ...process.execArgv, ...process.argv.slice(1, 2)],
    ...(existsSync(path.join(consoleFolder, "index.html")) ? { consoleFolder } : {}),
  };
  const server = await makeFolder(config.dataDir)
    .then(() => startServers(config, options.workers))
    .catch((error: unknown) => {
      tell(whyNot(error, config));
      // Nothing of what was opened before the error keeps the command alive.
      process.exit(exit.failed);
    });
  print(`Millrace is ready at ${server.url}${server.grpc === undefined ? "" : `, with gRPC at ${server.grpc}`}`);
  void warnWithoutPython();
  await stopping;
  await server.stop();
  // A library's timer or socket must not keep a stopped server alive.
  process.exit(0);
}

/** Resolves when the process is asked to end; asked again, it ends at once. */
export function untilAsked(): Promise<void> {
  return new Promise<void>((resolve) => {
    let asked = 0;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        if (++asked > 1) process.exit(1);
        resolve();
      });
    }
  });
}

/** One level at a time: a recursive mkdir never ends on file systems that make no folders, such as /proc. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    const code = codeOf(error)?.code;
    if (code === "EEXIST" && (await stat(folder)).isDirectory()) return;
    if (code !== "ENOENT" || existsSync(path.dirname(folder))) throw error;
    await makeFolder(path.dirname(folder));
    await mkdir(folder);
  }
}

/** A server's place for its data, and what is asked of it in any case. */
export function dataConfig(dataDir: string): ServerConfig {
  const databaseUrl = process.env.DATABASE_URL;
  const objects = objectsConfig(process.env);
  return {
    host: "127.0.0.1",
    port: 0,
    dataDir: path.resolve(dataDir),
    clock: { kind: "system" },
    logLevel: "warn",
    ...(databaseUrl === undefined || databaseUrl === "" ? {} : { databaseUrl }),
    ...gcConfig(process.env.MILLRACE_GC_OLDER_THAN),
    ...computeConfig(process.env),
    ...(objects === undefined ? {} : { objects }),
    ...locationsConfig(process.env.MILLRACE_ARTIFACT_LOCATIONS),
    ...onlineConfig(process.env.MILLRACE_ONLINE),
    ...predictionsConfig(process.env.MILLRACE_PREDICTIONS_SYNC),
    ...modelMemoryConfig(process.env.MILLRACE_MODEL_MEMORY),
    ...onnxConfig(process.env.MILLRACE_ONNX_PROVIDERS),
    ...duckdbConfig(process.env.MILLRACE_DUCKDB_MEMORY, process.env.MILLRACE_DUCKDB_THREADS),
    ingestion: ingestionConfig(process.env),
    ...webhookConfig(process.env.MILLRACE_WEBHOOK_ALLOWED_SCHEMES, process.env.MILLRACE_WEBHOOK_ALLOWED_NETWORKS),
  };
}

function gcConfig(olderThan: string | undefined): Pick<ServerConfig, "gc"> {
  if (olderThan === undefined || olderThan === "") return {};
  if (!/^[0-9]{1,6}(?:m|h|d|w)$/.test(olderThan)) throw new CliError(`MILLRACE_GC_OLDER_THAN is "${olderThan}": give an age as 30d or 12h.`, exit.usage);
  return { gc: { olderThan } };
}

function objectsConfig({
  MILLRACE_OBJECTS: url,
  MILLRACE_OBJECTS_DIRECT: direct,
  MILLRACE_OBJECTS_CACHE_GB: cache,
}: NodeJS.ProcessEnv): ServerConfig["objects"] {
  if (url === undefined || url === "") return undefined;
  const gigabytes = cache === undefined || cache === "" ? 20 : Number(cache);
  if (!(gigabytes > 0)) throw new CliError(`MILLRACE_OBJECTS_CACHE_GB is "${cache}": give a number of gigabytes above 0.`, exit.usage);
  if (direct !== undefined && !["", "on", "off"].includes(direct)) throw new CliError(`MILLRACE_OBJECTS_DIRECT is "${direct}": give on or off.`, exit.usage);
  return { url, direct: direct !== "off", cacheBytes: gigabytes * 1024 ** 3 };
}

function modelMemoryConfig(memory = ""): Pick<ServerConfig, "modelMemoryBytes"> {
  if (memory === "") return {};
  const [, size, unit] = /^([1-9][0-9]{0,6})(MB|GB)$/i.exec(memory) ?? [];
  if (size === undefined) throw new CliError(`MILLRACE_MODEL_MEMORY is "${memory}": give a size as 500MB or 4GB.`, exit.usage);
  return { modelMemoryBytes: Number(size) * (unit?.toUpperCase() === "GB" ? 1_000_000_000 : 1_000_000) };
}

function predictionsConfig(sync: string | undefined): Pick<ServerConfig, "predictions"> {
  if (sync === undefined || sync === "" || sync === "off") return {};
  if (sync !== "on") throw new CliError(`MILLRACE_PREDICTIONS_SYNC is "${sync}": give on or off.`, exit.usage);
  return { predictions: { sync: true } };
}

function onnxConfig(providers = ""): Pick<ServerConfig, "onnxProviders"> {
  const onnxProviders = providers.split(",").flatMap((one) => one.trim() || []);
  return onnxProviders.length === 0 ? {} : { onnxProviders };
}

function onlineConfig(url: string | undefined): Pick<ServerConfig, "online"> {
  if (url === undefined || url === "" || url === "postgres") return {};
  if (!URL.canParse(url) || !/^rediss?:/.test(url))
    throw new CliError("MILLRACE_ONLINE is no address of Redis: give one as redis://127.0.0.1:6379.", exit.usage);
  return { online: { url } };
}

function duckdbConfig(memory = "", threads = ""): Pick<ServerConfig, "duckdb"> {
  const [, size, unit] = /^([1-9][0-9]{0,5})(MB|GB)$/i.exec(memory) ?? [];
  if (memory !== "" && size === undefined) throw new CliError(`MILLRACE_DUCKDB_MEMORY is "${memory}": give a size as 500MB or 4GB.`, exit.usage);
  if (threads !== "" && !/^[1-9][0-9]{0,2}$/.test(threads)) throw new CliError(`MILLRACE_DUCKDB_THREADS is "${threads}": give a number from 1.`, exit.usage);
  return {
    duckdb: {
      ...(size === undefined ? {} : { memoryMb: Number(size) * (unit?.toUpperCase() === "GB" ? 1_000 : 1) }),
      ...(threads === "" ? {} : { threads: Number(threads) }),
    },
  };
}

/** `MILLRACE_CONNECTION_ORDERS` is the connection `orders`: the operator says which databases there are, nobody else sees how they are reached. */
function ingestionConfig(env: NodeJS.ProcessEnv): NonNullable<ServerConfig["ingestion"]> {
  const s3 = (env.MILLRACE_INGEST_S3 ?? "").split(",").flatMap((one) => one.trim() || []);
  const wrong = s3.find((one) => !/^s3:\/\/[a-z0-9][a-z0-9._-]+\/?/.test(one));
  if (wrong !== undefined)
    throw new CliError(`MILLRACE_INGEST_S3 has "${wrong}": give addresses with commas between them, as s3://landing/flights/.`, exit.usage);
  const prefix = "MILLRACE_CONNECTION_";
  const connections = Object.entries(env).flatMap(([name, url]): [string, string][] =>
    name.startsWith(prefix) && url !== undefined && url !== "" ? [[name.slice(prefix.length).toLowerCase(), url]] : [],
  );
  return { s3, connections: Object.fromEntries(connections) };
}

function webhookConfig(schemes: string | undefined, networks: string | undefined): Pick<ServerConfig, "webhooks"> {
  const list = (text = "") => text.split(",").flatMap((one) => one.trim() || []);
  const bad = list(schemes).find((one) => one !== "http" && one !== "https");
  if (bad !== undefined) throw new CliError(`MILLRACE_WEBHOOK_ALLOWED_SCHEMES has "${bad}": there are http and https.`, exit.usage);
  return { webhooks: { ...(list(schemes).length > 0 ? { schemes: list(schemes) } : {}), networks: list(networks) } };
}

function locationsConfig(given: string | undefined): Pick<ServerConfig, "artifactLocations"> {
  const artifactLocations = (given ?? "").split(",").flatMap((one) => (one.trim() === "" ? [] : [one.trim()]));
  const wrong = artifactLocations.find((one) => !/^[a-z][a-z0-9+.-]*:\/\/\/?[^/\s]+/i.test(one));
  if (wrong !== undefined)
    throw new CliError(`MILLRACE_ARTIFACT_LOCATIONS has "${wrong}": give addresses with commas between them, as s3://team/experiments.`, exit.usage);
  return artifactLocations.length === 0 ? {} : { artifactLocations };
}

export function whyNot(error: unknown, { port, host, dataDir }: ServerConfig): string {
  const { code, path: where } = codeOf(error) ?? {};
  if (code === "EADDRINUSE") return `The port ${port} of ${host} is in use. Choose another with --port, or 0 for any that is free.`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") return `"${host}" is no address of this machine. Choose another with --host.`;
  if (code === "EACCES" && where === undefined) return `There is no permission to listen on port ${port}. Choose one above 1023 with --port.`;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS" || code === "ENOENT")
    return `The data folder ${dataDir} can't be written. Choose another with --data-dir.`;
  if (code === "EEXIST" || code === "ENOTDIR") return `${where ?? dataDir} is no folder. Choose another with --data-dir.`;
  return explain(error);
}

async function warnWithoutPython(): Promise<void> {
  for (const command of ["python3", "python"]) {
    try {
      const { stdout } = await promisify(execFile)(command, ["-c", "import sys; print(sys.version_info >= (3, 10))"], { timeout: 10_000 });
      if (stdout.trim() === "True") return;
    } catch {
      // The next name.
    }
  }
  tell("There is no Python 3.10 or newer on the PATH: pipelines with Python steps need one.");
}
