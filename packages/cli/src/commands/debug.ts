/** Runs a step of a run again here: the same code, inputs, params and environment, in a folder that stays. */
import { spawn } from "node:child_process";
import { createWriteStream, existsSync } from "node:fs";
import { mkdir, readdir, rename } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Artifact, type StepDebug } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import { NodeSpec } from "@millrace/sdk/spec";
import type { Job, JobInput } from "@millrace/server";
import { Value } from "@sinclair/typebox/value";
import { CliError, exit } from "../errors.js";
import { print, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export interface DebugOptions extends ServerOptions {
  folder?: string;
  run: boolean;
}

export async function debug(run: string, step: string, options: DebugOptions): Promise<void> {
  const client = connect(options);
  const found = await client.runs.debug(run, step);
  const folder = path.resolve(options.folder ?? path.join(".millrace", "debug", `${run}-${step.replaceAll(/[^A-Za-z0-9._-]+/g, "-")}`));
  if (existsSync(folder) && (await readdir(folder)).length > 0) {
    throw new CliError(
      `${path.relative(process.cwd(), folder)} is there from another time, maybe with changes of yours. Remove it, or name another with --folder.`,
      exit.usage,
    );
  }
  const missing = found.secrets.filter((name) => (process.env[name] ?? "") === "");
  if (missing.length > 0)
    throw new CliError(`The step has secrets, which stay on the server. Set them here: export ${missing.map((name) => `${name}=…`).join(" ")}`, exit.usage);

  const job = jobOf(found, client.url);
  const cache = path.resolve(".millrace", "cache");
  const { prepareStep } = await import("@millrace/server");
  const prepared = await prepareStep(job, {
    folder,
    environments: path.resolve(process.env.MILLRACE_ENVIRONMENTS ?? path.join(".millrace", "environments")),
    typescript: found.kind === "typescript",
    fetch: (digest) => fetchObject(client, digest, cache),
    say: tell,
  });
  const env = Object.entries(prepared.env).filter(([name]) => name !== "PATH" && !found.secrets.includes(name));
  const command = [...env.map(([name, value]) => `${name}=${quoted(value)}`), ...prepared.command.map(quoted)].join(" ");
  print(`${step} is in ${path.relative(process.cwd(), folder)}: its code in project, its inputs in inputs, its outputs go to outputs.`);
  print(`cd ${quoted(prepared.cwd)} && ${command}`);
  if (!options.run) return;
  const [program = "", ...args] = prepared.command;
  process.exitCode = await new Promise<number>((resolve, reject) => {
    const child = spawn(program, args, { cwd: prepared.cwd, env: { ...process.env, ...prepared.env }, stdio: "inherit" });
    child.once("error", (error) => reject(new CliError(`${program} can't be started: ${error.message}`)));
    child.once("exit", (code, signal) => resolve(signal === null ? (code ?? 1) : 1));
  });
  if (process.exitCode === 0) print(`${step} ended well. What it made is in ${path.relative(process.cwd(), prepared.outputs)}.`);
}

function jobOf(found: StepDebug, url: string): Job {
  if (!Value.Check(NodeSpec, found.node))
    throw new CliError(`The server tells of "${found.step}" in a form that this command does not know: they are of different versions.`);
  const { node } = found;
  if (node.kind !== "python" && node.kind !== "command" && node.kind !== "typescript")
    throw new CliError(`"${found.step}" is a step of kind ${node.kind}, which the server does itself: there is no process of yours to run again.`);
  const { requirements } = found;
  const python =
    node.kind === "python" || requirements !== null
      ? { python: requirements === null ? {} : { requirements: { path: requirements.path, digest: asDigest(requirements.digest) } } }
      : {};
  const command =
    node.kind === "python"
      ? ["{python}", "-u", "{step}", node.config.script]
      : node.kind === "command"
        ? node.config.command
        : [node.config.bundle, node.config.step];
  return {
    id: `${found.run}/${found.step}/0`,
    command,
    ...python,
    code: found.code.map((file) => ({ path: file.path, digest: asDigest(file.digest) })),
    inputs: Object.fromEntries(Object.entries(found.inputs).map(([name, value]) => [name, inputOf(value)])),
    outputs: Object.fromEntries(found.outputs.map(({ name, type }) => [name, { type }])),
    params: Object.fromEntries(Object.entries(found.params).map(([name, value]) => [name, jsonOf(value)])),
    // What it logs to tracking is a run of its own: that of the server is as it was.
    environment: { MLFLOW_TRACKING_URI: url, MILLRACE_URL: url, ...Object.fromEntries(found.secrets.map((name) => [name, process.env[name] ?? ""])) },
    secretValues: [],
    resources: {},
    timeoutMs: Number.MAX_SAFE_INTEGER,
  };
}

function inputOf(value: unknown): JobInput {
  if (Value.Check(Artifact, value)) {
    return {
      kind: "artifact",
      type: value.type,
      files: value.files.map((file) => ({ ...file, digest: asDigest(file.digest) })),
      ...(value.meta.value === undefined ? {} : { value: jsonOf(value.meta.value) }),
    };
  }
  if (Array.isArray(value) && value.some((one) => Value.Check(Artifact, one))) return { kind: "list", items: value.map(inputOf) };
  return { kind: "value", value: jsonOf(value) };
}
type Json = Job["params"][string];
/** What came as JSON is JSON. */
const jsonOf = (value: unknown): Json => JSON.parse(JSON.stringify(value ?? null)) as Json;
type Digest = Job["code"][number]["digest"];
function asDigest(text: string): Digest {
  if (!/^sha256:[0-9a-f]{64}$/.test(text)) throw new CliError(`The server names a file by "${text}", which is no digest.`);
  return text as Digest;
}

/** Kept by digest: the next step that is looked into brings only what is new. */
async function fetchObject(client: Client, digest: string, cache: string): Promise<string> {
  const file = path.join(cache, digest.slice("sha256:".length));
  if (existsSync(file)) return file;
  await mkdir(cache, { recursive: true });
  const part = `${file}.${process.pid}.part`;
  const body = await client.object(digest);
  await pipeline(body === null ? Readable.from([]) : Readable.from(body), createWriteStream(part));
  await rename(part, file);
  return file;
}

const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
