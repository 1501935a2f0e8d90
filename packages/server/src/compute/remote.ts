/**
 * What backends of clusters share. A job is described by an object of the store; on the node `_remote.py`, an object too, fetches that over HTTP, runs it, and says
 * lines of JSON; the last one names the object that holds the result.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Access } from "../access/index.js";
import type { Digest, Platform } from "../platform/index.js";
import type { Job, JobEnd, JobFile, Watch } from "./backend.js";
import { helpers } from "./inherited.js";
import { limits } from "./layout.js";
import { judge, type Said, size, listen as startListening } from "./said.js";

const mark = "@millrace ";
/** How the line of the result begins: `json.dumps` writes it. */
export const endMark = `${mark}{"end": `;
const hour = 3_600_000;
/** Beyond the step's timeout: for waiting in the cluster's queue, the environment, and the files. */
export const slackMs = 24 * hour;
const largestEnd = 64 * 1024 ** 2;
/** Clusters give a job's log as a whole, each time: it is smaller than that of this machine. */
const logBytes = 16 * 1024 ** 2;

export type RemotePlatform = Pick<Platform, "config" | "objects" | "address">;

/** Where nodes reach Millrace; undefined where they can't. */
export function advertised({ config, address }: RemotePlatform): string | undefined {
  return config.compute?.advertiseUrl ?? address.url;
}

export function checkRemote(platform: RemotePlatform): string[] {
  const url = advertised(platform);
  if (url === undefined)
    return [
      "The nodes of the cluster must reach Millrace, and this process listens to nobody: let MILLRACE_ADVERTISE_URL name the server, as http://millrace:4600.",
    ];
  return [];
}

export interface Prepared {
  /** For a shell. Runs on any Python from 3.10; `MILLRACE_PYTHON` names another one than `python3`. */
  entrypoint: string;
  environment: Record<string, string>;
}

/** Puts all that the node will fetch into the object store. */
export async function prepare(platform: RemotePlatform, access: Pick<Access, "issueToken">, job: Job): Promise<Prepared> {
  const url = advertised(platform) ?? "";
  const bootstrap = await platform.objects.put(await readFile(new URL("millrace/_remote.py", helpers)));
  const helper = await platform.objects.put(await helperFiles());
  const { environment, secretValues, ...rest } = job;
  const folderBytes = platform.config.compute?.folderBytes ?? limits.folderBytes;
  const spec = await platform.objects.put(Buffer.from(JSON.stringify({ ...rest, helper: helper.digest, limits: { ...limits, logBytes, folderBytes } })));
  const local = platform.address.url;
  return {
    entrypoint: `exec "\${MILLRACE_PYTHON:-python3}" -u -c '${fetching}'`,
    environment: {
      // What is told this machine's own address is told the one that the nodes know.
      ...Object.fromEntries(
        Object.entries(environment).map(([name, value]) => [name, local !== undefined && value.startsWith(local) ? url + value.slice(local.length) : value]),
      ),
      MILLRACE_JOB_URL: url,
      MILLRACE_JOB_TOKEN: access.issueToken(`job ${job.id}`, ["compute:*"], job.timeoutMs + slackMs),
      MILLRACE_JOB_SPEC: spec.digest,
      MILLRACE_JOB_BOOTSTRAP: bootstrap.digest,
    },
  };
}

/** Fetches the program and runs it; a Millrace that is away, as in a restart, is asked again for some minutes. No single quotes: it stands between them. */
const fetching = `
import os, time, urllib.request as r
e = os.environ
q = r.Request(e["MILLRACE_JOB_URL"] + "/api/v1/compute/objects/" + e["MILLRACE_JOB_BOOTSTRAP"], headers={"authorization": "Bearer " + e["MILLRACE_JOB_TOKEN"]})
for n in range(30):
    try:
        text = r.urlopen(q, timeout=30).read()
        break
    except OSError as error:
        if n == 29 or getattr(error, "code", 500) < 500:
            raise SystemExit("Millrace at %s can not be reached from this node: %s. MILLRACE_ADVERTISE_URL, where Millrace runs, names the address." % (e["MILLRACE_JOB_URL"], error))
        time.sleep(min(0.5 * 2 ** n, 10))
exec(compile(text, "millrace/_remote.py", "exec"))
`;

let helperText: Promise<Buffer> | undefined;
/** The package \`millrace\` as JSON: each file's text by its path. */
function helperFiles(): Promise<Buffer> {
  helperText ??= (async () => {
    const folder = fileURLToPath(new URL("millrace/", helpers));
    const names = (await readdir(folder)).filter((name) => name.endsWith(".py") && name !== "_remote.py").sort();
    const files = await Promise.all(names.map(async (name) => [`millrace/${name}`, await readFile(`${folder}${name}`, "utf8")]));
    return Buffer.from(JSON.stringify(Object.fromEntries(files)));
  })();
  return helperText;
}

/** Reads what a node says, as it comes, in pieces of any size. */
export interface Follower {
  /** One line of the log, without its end. */
  line(text: string): void;
  /** All of the log so far: what was read before is passed over. */
  take(log: string): void;
  /** The digest of the result, once it was said. */
  result(): Digest | undefined;
  said: Said;
  /** The last lines that are none of ours: of the cluster's, or of what ended before it could say more. */
  others(): string[];
}

export function follow(job: Job, watch: Watch): Follower {
  const said = startListening(job, watch);
  const others: string[] = [];
  let taken = 0;
  let result: Digest | undefined;
  function line(text: string): void {
    if (!text.startsWith(mark)) {
      if (text.trim() === "") return;
      others.push(said.mask(text));
      if (others.length > 30) others.shift();
      watch.onLine("millrace", said.mask(text));
      return;
    }
    let told: unknown;
    try {
      told = JSON.parse(text.slice(mark.length));
    } catch {
      return;
    }
    if (typeof told !== "object" || told === null) return;
    if ("line" in told && Array.isArray(told.line)) {
      const [stream, content]: unknown[] = told.line;
      if (typeof content !== "string") return;
      if (stream === "stdout" || stream === "stderr") said.onLine(stream, content);
      else watch.onLine("millrace", said.mask(content));
    } else if ("report" in told) said.onReport(JSON.stringify(told.report));
    else if ("usage" in told) {
      const { memoryBytes, cpuSeconds } = { memoryBytes: undefined, cpuSeconds: undefined, ...(told.usage as object) } as Record<string, unknown>;
      if (typeof memoryBytes === "number" && typeof cpuSeconds === "number") watch.onUsage({ memoryBytes, cpuSeconds });
    } else if ("end" in told && typeof told.end === "string" && isDigest(told.end)) result = told.end;
  }
  return {
    said,
    line,
    take(log) {
      const end = log.lastIndexOf("\n") + 1;
      if (end <= taken) return;
      for (const text of log.slice(taken, end - 1).split(/\r?\n/)) line(text);
      taken = end;
    },
    result: () => result,
    others: () => others,
  };
}

const isDigest = (text: string): text is Digest => /^sha256:[0-9a-f]{64}$/.test(text);

export const asDigest = (text: string): Digest | undefined => (isDigest(text) ? text : undefined);

/** What `_remote.py` has left as the result. */
interface RemoteEnd {
  host: string;
  /** Told as it is: nothing was started, or an output is missing. */
  problem?: string;
  code: number | null;
  signal: string | null;
  ended: "timeout" | "memory" | "folder" | "cancelled" | null;
  killedForMemory: boolean;
  peakMemoryBytes: number;
  cpuSeconds: number;
  lastLines: string[];
  error: string | null;
  outputs?: Record<string, JobFile[]>;
}

/** The end of a job from the object that the node left. Outputs are renewed: whoever refers to them finds them. */
export async function readEnd(platform: RemotePlatform, job: Job, result: Digest, follower: Follower): Promise<JobEnd> {
  const parts: Buffer[] = [];
  const found = await platform.objects.stat(result);
  if (found === undefined || found.size > largestEnd) throw new Error(`The result of the job ${job.id} is not there, or is too large.`);
  for await (const part of await platform.objects.read(result)) parts.push(part);
  // Written by the program that this server sent; whatever else comes ends the step as failed.
  const end = JSON.parse(Buffer.concat(parts).toString()) as RemoteEnd;
  const { mask } = follower.said;
  const base = { code: end.code ?? null, signal: end.signal ?? null, host: String(end.host), outputs: {} };
  const usage = { peakMemoryBytes: end.peakMemoryBytes ?? null, cpuSeconds: end.cpuSeconds ?? null };
  const lastLines = (end.lastLines ?? follower.said.lastLines()).map(mask);
  if (end.problem !== undefined) return { ...base, outcome: "failed", message: mask(end.problem), lastLines, usage };
  if (end.ended === "cancelled") return { ...base, outcome: "cancelled", message: "The step was cancelled.", lastLines, usage };
  const report = end.error === null ? {} : { error: mask(end.error) };
  const folderBytes = platform.config.compute?.folderBytes ?? limits.folderBytes;
  const judged = judge(job, { ...end, ended: end.ended, folderBytes }, { lastLines: () => lastLines, report });
  if (judged.outcome !== "succeeded") return { ...base, ...judged, lastLines, usage };
  const outputs: JobEnd["outputs"] = {};
  for (const name of Object.keys(job.outputs)) {
    outputs[name] = end.outputs?.[name] ?? [];
    for (const file of outputs[name]) {
      if (!isDigest(file.digest) || (await platform.objects.renew(file.digest)) === undefined)
        throw new Error(`The output "${name}" of the job ${job.id} is not in the object store.`);
    }
  }
  return { ...base, ...judged, lastLines: [], usage, outputs };
}

/** Where the cluster's own word is all there is. */
export const withoutEnd = (outcome: JobEnd["outcome"], message: string, follower: Follower, host = ""): JobEnd => ({
  outcome,
  message,
  ...{ code: null, signal: null, usage: { peakMemoryBytes: null, cpuSeconds: null }, host, outputs: {} },
  lastLines: [...follower.said.lastLines(), ...follower.others()].slice(-30),
});

/** The same for the same attempt, so that it is found again; nothing that a person chose goes into it. */
export const jobName = (id: string): string => `millrace-${hashed(id)}`;
export const hashed = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 32);

export function needs({ resources: { cpus = 1, memoryBytes, gpus } }: Job): string {
  const parts = [`${cpus} CPU${cpus === 1 ? "" : "s"}`];
  if (memoryBytes !== undefined) parts.push(`${size(memoryBytes)} of memory`);
  if (gpus !== undefined) parts.push(`${gpus} GPU${gpus === 1 ? "" : "s"}`);
  return parts.join(", ");
}
