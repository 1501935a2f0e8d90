/** Steps as jobs of a Ray cluster, by its Jobs REST API: https://docs.ray.io/en/latest/cluster/running-applications/job-submission/api.html */
import { setTimeout as delay } from "node:timers/promises";
import type { Access } from "../access/index.js";
import { type Answer, type Asked, Away, answerOf, lastLine, patiently, Refused } from "./asking.js";
import type { Backend, Job, JobEnd, Watch } from "./backend.js";
import { checkRemote, endMark, type Follower, follow, jobName, needs, prepare, type RemotePlatform, readEnd, withoutEnd } from "./remote.js";
import { programName } from "./said.js";

const lookMs = 500;
/** Ray gives the whole log each time: of a long one less often. */
const logBytesPerSecond = 1024 ** 2;
const stopMs = 20_000;
const settledMs = 5_000;
const attemptsLookedAt = 5;

interface RayJob {
  status: "PENDING" | "RUNNING" | "STOPPED" | "SUCCEEDED" | "FAILED";
  message?: string | null;
  driver_exit_code?: number | null;
}

export function rayBackend(platform: RemotePlatform, access: Pick<Access, "issueToken">, ray: { address: string; token?: string }): Backend {
  const ask = client(ray);

  async function run(job: Job, watch: Watch): Promise<JobEnd> {
    let id = jobName(job.id);
    let at = `/api/jobs/${id}`;
    const follower = follow(job, watch);
    try {
      const there = await running(job, watch.signal);
      id = there ?? id;
      at = `/api/jobs/${id}`;
      if (there === undefined) await submit(id, job, watch);
      else watch.onLine("millrace", `The Ray job ${id} is there already: it is followed.`);
      return await untilEnd(at, id, job, watch, follower);
    } catch (error) {
      if (watch.signal.aborted) return stopped(at, id, job, follower);
      if (error instanceof Away) return withoutEnd("lost", `The Ray cluster at ${ray.address} does not answer: ${error.message}`, follower);
      if (error instanceof Refused) return withoutEnd("failed", error.message, follower);
      throw error;
    }
  }

  /**
   * The job of this attempt; or that of an earlier one which is not over, and has not said its result: the worker that began it is gone then.
   */
  async function running(job: Job, signal: AbortSignal): Promise<string | undefined> {
    const [, step = "", number = ""] = /^(.*\/)(\d+)$/.exec(job.id) ?? [];
    const attempt = Number(number);
    if ((await find(`/api/jobs/${jobName(job.id)}`, signal)) !== undefined) return jobName(job.id);
    for (let earlier = attempt - 1; earlier >= 1 && earlier > attempt - attemptsLookedAt; earlier--) {
      const id = jobName(`${step}${earlier}`);
      const seen = await find(`/api/jobs/${id}`, signal);
      if (seen?.status !== "RUNNING" && seen?.status !== "PENDING") continue;
      const { text } = await patiently(signal, () => ask("GET", `/api/jobs/${id}/logs`), 1);
      if (!text.includes(JSON.stringify(`\n${endMark}`).slice(1, -1))) return id;
    }
    return undefined;
  }

  async function submit(id: string, job: Job, watch: Watch): Promise<void> {
    const { entrypoint, environment } = await prepare(platform, access, job);
    const { cpus = 1, gpus, memoryBytes } = job.resources;
    const [run = "", ...step] = job.id.split("/");
    const { status, text } = await patiently(watch.signal, () =>
      ask("POST", "/api/jobs/", {
        entrypoint,
        submission_id: id,
        runtime_env: { env_vars: environment },
        metadata: { millrace_run: run, millrace_step: step.slice(0, -1).join("/") },
        // With resources asked for it may go to any node; else Ray keeps it on the head.
        entrypoint_num_cpus: cpus,
        ...(gpus === undefined ? {} : { entrypoint_num_gpus: gpus }),
        ...(memoryBytes === undefined ? {} : { entrypoint_memory: memoryBytes }),
      }),
    );
    // Asked twice, as when the first answer was lost, Ray has it already.
    if (status !== 200 && (await find(`/api/jobs/${id}`, watch.signal)) === undefined)
      throw new Refused(`The Ray cluster refused the job (${status}): ${lastLine(text)}`);
    watch.onLine("millrace", `Submitted to the Ray cluster at ${ray.address} as ${id}.`);
  }

  async function untilEnd(at: string, id: string, job: Job, watch: Watch, follower: Follower): Promise<JobEnd> {
    let told = "";
    let nextLog = 0;
    for (;;) {
      const seen = await find(at, watch.signal);
      if (seen === undefined) return withoutEnd("lost", `The Ray cluster has no job ${id} any more, as after a restart of its head.`, follower);
      const over = seen.status === "SUCCEEDED" || seen.status === "FAILED" || seen.status === "STOPPED";
      if (seen.status === "PENDING" && told === "") {
        told = "pending";
        watch.onLine("millrace", `The job waits for room in the cluster: ${needs(job)}.`);
      }
      if (seen.status !== "PENDING" && (over || performance.now() >= nextLog)) {
        const began = performance.now();
        const bytes = await takeLog(at, follower, watch.signal);
        nextLog = began + Math.max(lookMs, (bytes / logBytesPerSecond) * 1_000);
      }
      // Once the result was said, the rest is Ray's own business.
      const result = follower.result();
      if (result !== undefined) {
        const end = await readEnd(platform, job, result, follower);
        // The job holds secrets, and is of no more use.
        forgetLater(at);
        return end;
      }
      if (over) {
        forgetLater(at);
        return judgeWithoutResult(id, job, seen, follower);
      }
      await delay(lookMs, undefined, { signal: watch.signal });
    }
  }

  function judgeWithoutResult(id: string, job: Job, seen: RayJob, follower: Follower): JobEnd {
    const code = seen.driver_exit_code;
    const said = seen.message ?? "";
    if (seen.status === "STOPPED") return withoutEnd("lost", `The Ray job ${id} was stopped by somebody else.`, follower);
    if (/failed to start within/i.test(said))
      return withoutEnd("failed", `The Ray cluster found no room for ${programName(job)}, which asks for ${needs(job)}. Ray says: ${lastLine(said)}`, follower);
    if (/runtime.?env/i.test(said) && /fail/i.test(said)) return withoutEnd("failed", `Ray could not prepare the job: ${lastLine(said)}`, follower);
    if (typeof code === "number" && code > 0)
      return withoutEnd("failed", `The job ended with code ${code} before the step began: ${follower.others().at(-1) ?? lastLine(said)}`, follower);
    return withoutEnd("lost", `The node that ran ${programName(job)} is gone. Ray says: ${lastLine(said)}`, follower);
  }

  async function stopped(at: string, id: string, job: Job, follower: Follower): Promise<JobEnd> {
    const until = AbortSignal.timeout(stopMs);
    try {
      await patiently(until, () => ask("POST", `${at}/stop`));
      for (let seen = await find(at, until); seen !== undefined && ["PENDING", "RUNNING"].includes(seen.status); seen = await find(at, until))
        await delay(lookMs / 2, undefined, { signal: until });
      await takeLog(at, follower, until);
      forgetLater(at);
    } catch {
      return withoutEnd("cancelled", `The step was cancelled, but Ray has not confirmed that the job ${id} ended.`, follower);
    }
    const result = follower.result();
    const end = result === undefined ? undefined : await readEnd(platform, job, result, follower).catch(() => undefined);
    return { ...(end ?? withoutEnd("cancelled", "", follower)), outcome: "cancelled", message: "The step was cancelled.", outputs: {} };
  }

  async function takeLog(at: string, follower: Follower, signal: AbortSignal): Promise<number> {
    // The log of a node that is gone can't be had: what was read of it stays.
    const { status, text } = await patiently(signal, () => ask("GET", `${at}/logs`), 1);
    if (status !== 200) return 0;
    const { logs } = JSON.parse(text) as { logs?: string };
    follower.take(logs ?? "");
    return text.length;
  }

  async function find(at: string, signal: AbortSignal): Promise<RayJob | undefined> {
    const { status, text } = await patiently(signal, () => ask("GET", at));
    if (status === 404) return undefined;
    if (status !== 200) throw new Refused(`The Ray cluster at ${ray.address} answered ${status}: ${lastLine(text)}`);
    return JSON.parse(text) as RayJob;
  }

  /** What Ray has just seen the end of it writes down once more: deleted too early, the job would come back. Asked for again until then, it is found as it ended. */
  const forgetting = new Set<Promise<void>>();
  const stopping = new AbortController();
  function forgetLater(at: string): void {
    const work = (async () => {
      await delay(settledMs, undefined, { signal: stopping.signal }).catch(() => {});
      for (let tries = 0; tries < 20; tries++) {
        const answer = await ask("DELETE", at).catch(() => undefined);
        if (answer === undefined || answer.status < 500) return;
        await delay(lookMs);
      }
    })().finally(() => forgetting.delete(work));
    forgetting.add(work);
  }

  return {
    name: "ray",
    async check() {
      return checkRemote(platform);
    },
    run,
    async stop() {
      stopping.abort();
      await Promise.all(forgetting);
    },
  };
}

function client({ address, token }: { address: string; token?: string }): (method: Asked["method"], at: string, body?: unknown) => Promise<Answer> {
  const base = new URL(address);
  const prefix = base.pathname.replace(/\/$/, "");
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return (method, at, body) => answerOf(new URL(prefix + at, base), { method, headers, body });
}
