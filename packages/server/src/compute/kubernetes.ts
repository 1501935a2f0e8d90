/** Steps as Jobs of a Kubernetes cluster: https://kubernetes.io/docs/concepts/workloads/controllers/job/ */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Access } from "../access/index.js";
import type { KubernetesConfig } from "../platform/index.js";
import { Away, patiently, Refused } from "./asking.js";
import type { Backend, Job, JobEnd, Watch } from "./backend.js";
import { type KubernetesApi, type KubernetesJob, kubernetesApi, type Pod, refusal } from "./kubernetes-api.js";
import { followLog } from "./kubernetes-log.js";
import { container, graceSeconds, jobManifest, managed, secretManifest, stepLabel } from "./kubernetes-objects.js";
import { judgePod, type Seen, seenOf } from "./kubernetes-pod.js";
import { asDigest, checkRemote, endMark, type Follower, follow, jobName, prepare, type RemotePlatform, readEnd, withoutEnd } from "./remote.js";
import { programName } from "./said.js";

const lookMs = 1_000;
/** One list of pods serves all jobs of this process. */
const freshMs = 500;
/** For so long an image that can't be had, or a pod that can't be started, is waited for. */
const hopeMs = 5 * 60_000;
const eventsMs = 5_000;
const settledMs = 5_000;
/** Beyond the time that a pod is given to end. */
const slackMs = 10_000;
const lastWordsMs = 15_000;

export function kubernetesBackend(platform: RemotePlatform, access: Pick<Access, "issueToken">, config: KubernetesConfig): Backend {
  let opened: Promise<KubernetesApi> | undefined;
  function openApi(): Promise<KubernetesApi> {
    opened ??= kubernetesApi(config).catch((error) => {
      opened = undefined;
      throw error;
    });
    return opened;
  }
  const cluster = openCluster(openApi);

  async function run(job: Job, watch: Watch): Promise<JobEnd> {
    const follower = follow(job, watch);
    const reading = new AbortController();
    let name = jobName(job.id);
    let api: KubernetesApi | undefined;
    try {
      api = await openApi();
      const there = await running(api, job, watch.signal);
      name = there?.metadata.name ?? name;
      if (there === undefined || there.spec?.suspend === true) await begin(api, name, job, there, watch);
      else watch.onLine("millrace", `The Job ${name} is there already: it is followed.`);
      const end = await untilEnd(api, name, job, watch, follower, reading.signal);
      cluster.forget(name, settledMs);
      return end;
    } catch (error) {
      if (watch.signal.aborted) return api === undefined ? withoutEnd("cancelled", "The step was cancelled.", follower) : await stopped(name, job, follower);
      if (error instanceof Away) return withoutEnd("lost", `The Kubernetes cluster at ${api?.server} does not answer: ${error.message}`, follower);
      if (error instanceof Refused) {
        cluster.forget(name, 0);
        return withoutEnd("failed", error.message, follower);
      }
      throw error;
    } finally {
      reading.abort();
    }
  }

  /** The Job of this attempt; or that of an earlier one which is not over, and has not said its result: the worker that began it is gone then. */
  async function running(api: KubernetesApi, job: Job, signal: AbortSignal): Promise<KubernetesJob | undefined> {
    const selector = encodeURIComponent(`${managed},millrace/step=${stepLabel(job.id)}`);
    const answer = await patiently(signal, () => api.ask("GET", `/apis/batch/v1/namespaces/${api.namespace}/jobs?labelSelector=${selector}`));
    if (answer.status !== 200) throw refused(api, "to say what Jobs there are", answer);
    const { items } = JSON.parse(answer.text) as { items: KubernetesJob[] };
    const living = items.filter((one) => one.metadata.deletionTimestamp === undefined);
    const own = living.find((one) => one.metadata.name === jobName(job.id));
    if (own !== undefined) return own;
    for (const one of living.sort((a, b) => String(b.metadata.creationTimestamp).localeCompare(String(a.metadata.creationTimestamp)))) {
      if (isOver(one) || one.spec?.suspend === true) continue;
      const pod = await cluster.pod(String(one.metadata.name), signal);
      if (pod !== undefined && seenOf(pod, job).state === "over") continue;
      const log = `/api/v1/namespaces/${api.namespace}/pods/${pod?.metadata.name}/log?container=${container}&tailLines=20`;
      const { status, text } = pod === undefined ? { status: 0, text: "" } : await patiently(signal, () => api.ask("GET", log), 1);
      if (status !== 200 || !text.includes(endMark)) return one;
    }
    return undefined;
  }

  /** Makes the Job, its Secret, and lets it begin. Each may be there already, where this was cut off. */
  async function begin(api: KubernetesApi, name: string, job: Job, there: KubernetesJob | undefined, watch: Watch): Promise<void> {
    const { entrypoint, environment } = await prepare(platform, access, job);
    const jobs = `/apis/batch/v1/namespaces/${api.namespace}/jobs`;
    let made = there;
    if (made === undefined) {
      const secret = `${name}-${randomBytes(4).toString("hex")}`;
      const manifest = jobManifest({ name, secret, entrypoint }, job, config, api.template);
      let answer = await patiently(watch.signal, () => api.ask("POST", jobs, manifest));
      // Asked twice, as when the first answer was lost, it is there.
      if (answer.status === 409) answer = await patiently(watch.signal, () => api.ask("GET", `${jobs}/${name}`));
      if (answer.status !== 200 && answer.status !== 201) throw refused(api, "the Job", answer);
      made = JSON.parse(answer.text) as KubernetesJob;
    }
    const own = made.spec?.template.spec?.containers.find((one) => one.name === container);
    const secret = own?.envFrom?.findLast((one) => one.secretRef?.name?.startsWith(name))?.secretRef?.name;
    if (secret === undefined || made.metadata.uid === undefined)
      throw new Refused(`The Job ${name} in the namespace ${api.namespace} is none that Millrace made.`);
    const manifest = secretManifest(secret, { name, uid: made.metadata.uid }, environment);
    const kept = await patiently(watch.signal, () => api.ask("POST", `/api/v1/namespaces/${api.namespace}/secrets`, manifest));
    if (kept.status !== 201 && kept.status !== 409) throw refused(api, "the Secret of the step", kept);
    const going = await patiently(watch.signal, () =>
      api.ask("PATCH", `${jobs}/${name}`, { spec: { suspend: false } }, { "content-type": "application/merge-patch+json" }),
    );
    if (going.status !== 200) throw refused(api, "to let the Job begin", going);
    watch.onLine("millrace", `The Job ${name} is in the namespace ${api.namespace} of ${api.server}.`);
  }

  async function untilEnd(api: KubernetesApi, name: string, job: Job, watch: Watch, follower: Follower, reading: AbortSignal): Promise<JobEnd> {
    let log: Promise<void> | undefined;
    let over = false;
    let last: Pod | undefined;
    let told: string | undefined;
    let hopelessSince: number | undefined;
    let endingSince: number | undefined;
    const tell = (text: string) => {
      if (text !== told) watch.onLine("millrace", follower.said.mask(text));
      told = text;
    };
    const watched = untilCreated(api, name, tell);
    for (;;) {
      const result = follower.result();
      if (result !== undefined) return unlessEnded(await readEnd(platform, job, result, follower), job, follower);
      const pod = await cluster.pod(name, watch.signal);
      if (pod === undefined) {
        const problem = await watched(last !== undefined, watch.signal);
        if (problem !== undefined) {
          // The last of its log may still be on the way.
          over = true;
          await within(log, lastWordsMs, watch.signal);
          const late = follower.result();
          if (late !== undefined) return unlessEnded(await readEnd(platform, job, late, follower), job, follower);
          return withoutEnd(problem.outcome, problem.message(programName(job)), follower, last?.spec?.nodeName);
        }
      } else {
        last = pod;
        const seen: Seen = seenOf(pod, job);
        if (seen.state !== "waiting") log ??= followLog(api, String(pod.metadata.name), follower, () => over, reading);
        if (seen.state === "over") {
          over = true;
          await within(log, lastWordsMs, watch.signal);
          const said = follower.result() ?? asDigest(seen.message);
          if (said !== undefined) return unlessEnded(await readEnd(platform, job, said, follower), job, follower);
          const { outcome, message } = judgePod(pod, job, follower.others().at(-1));
          return withoutEnd(outcome, message ?? "", follower, pod.spec?.nodeName);
        }
        if (pod.metadata.deletionTimestamp !== undefined) {
          endingSince ??= performance.now();
          const given = (pod.metadata.deletionGracePeriodSeconds ?? graceSeconds) * 1_000;
          if (performance.now() - endingSince > given + slackMs)
            return withoutEnd("lost", `The node ${pod.spec?.nodeName ?? ""} that ran ${programName(job)} is gone.`, follower, pod.spec?.nodeName);
        }
        if (seen.state === "waiting") {
          if (seen.why !== null) tell(seen.why);
          hopelessSince = seen.hopeless === null ? undefined : (hopelessSince ?? performance.now());
          if (seen.hopeless === "now" || (hopelessSince !== undefined && performance.now() - hopelessSince > hopeMs))
            return withoutEnd("failed", seen.why ?? "", follower, pod.spec?.nodeName);
        }
      }
      await delay(lookMs, undefined, { signal: watch.signal });
    }
  }

  /** Looks after a Job that has no pod: whether it is there at all, and what keeps the cluster from making one. */
  function untilCreated(api: KubernetesApi, name: string, tell: (text: string) => void) {
    const since = performance.now();
    let nextEvents = since + 3 * lookMs;
    return async (had: boolean, signal: AbortSignal): Promise<{ outcome: "lost" | "failed"; message(program: string): string } | undefined> => {
      const answer = await patiently(signal, () => api.ask("GET", `/apis/batch/v1/namespaces/${api.namespace}/jobs/${name}`));
      if (answer.status === 404) return { outcome: "lost", message: () => `The Job ${name} was deleted by somebody else.` };
      if (answer.status !== 200) throw refused(api, "to say what became of the Job", answer);
      const condition = isOver(JSON.parse(answer.text) as KubernetesJob);
      if (condition?.reason === "DeadlineExceeded") return { outcome: "failed", message: (program) => `The cluster found no room for ${program} in time.` };
      if (had || condition !== undefined) return { outcome: "lost", message: (program) => `The pod that ran ${program} is gone.` };
      if (performance.now() < nextEvents) return undefined;
      nextEvents = performance.now() + eventsMs;
      const selector = encodeURIComponent(`involvedObject.name=${name},reason=FailedCreate`);
      const events = await patiently(signal, () => api.ask("GET", `/api/v1/namespaces/${api.namespace}/events?fieldSelector=${selector}`), 1);
      if (events.status !== 200) return undefined;
      const message = (JSON.parse(events.text) as { items: { message?: string }[] }).items.at(-1)?.message;
      if (message === undefined) return undefined;
      const why = `The cluster makes no pod for the Job: ${message.slice(0, 500)}`;
      tell(why);
      // Room within a quota comes when others are done.
      return performance.now() - since > hopeMs && !/quota/.test(message) ? { outcome: "failed", message: () => why } : undefined;
    };
  }

  /** A step that the cluster ended, as when a node is emptied, says that it was cancelled: nobody here did. */
  function unlessEnded(end: JobEnd, job: Job, follower: Follower): JobEnd {
    if (end.outcome !== "cancelled") return end;
    return {
      ...withoutEnd("lost", `The pod that ran ${programName(job)} was ended from outside, as when its node is emptied.`, follower, end.host),
      usage: end.usage,
    };
  }

  async function stopped(name: string, job: Job, follower: Follower): Promise<JobEnd> {
    const until = AbortSignal.timeout(graceSeconds * 1_000 + slackMs);
    try {
      const api = await openApi();
      const at = `/apis/batch/v1/namespaces/${api.namespace}/jobs/${name}`;
      await patiently(until, () => api.ask("DELETE", at, { propagationPolicy: "Background" }));
      for (;;) {
        await delay(lookMs, undefined, { signal: until });
        const pod = await cluster.pod(name, until);
        if (pod === undefined || seenOf(pod, job).state === "over") break;
        // What has not begun does not begin any more.
        if (seenOf(pod, job).state === "waiting" && (pod.metadata.deletionTimestamp !== undefined || pod.spec?.nodeName === undefined)) break;
      }
    } catch {
      return withoutEnd("cancelled", `The step was cancelled, but the cluster has not confirmed that the pod of the Job ${name} ended.`, follower);
    }
    const result = follower.result();
    const end = result === undefined ? undefined : await readEnd(platform, job, result, follower).catch(() => undefined);
    return { ...(end ?? withoutEnd("cancelled", "", follower)), outcome: "cancelled", message: "The step was cancelled.", outputs: {} };
  }

  return {
    name: "kubernetes",
    async check() {
      const problems = checkRemote(platform);
      return openApi().then(
        () => problems,
        (error: unknown) => {
          if (error instanceof Refused) return [...problems, error.message];
          throw error;
        },
      );
    },
    run,
    stop: cluster.stop,
  };
}

/** What all jobs of a process share: a list of pods, and Jobs that are to be removed. */
function openCluster(openApi: () => Promise<KubernetesApi>) {
  const stopping = new AbortController();
  const forgetting = new Set<Promise<void>>();
  let pods: { since: number; byJob: Promise<Map<string, Pod>> } | undefined;

  async function list(): Promise<Map<string, Pod>> {
    const api = await openApi();
    const answer = await patiently(stopping.signal, () =>
      api.ask("GET", `/api/v1/namespaces/${api.namespace}/pods?labelSelector=${encodeURIComponent(managed)}`),
    );
    if (answer.status !== 200) throw refused(api, "to say what pods there are", answer);
    const { items } = JSON.parse(answer.text) as { items: Pod[] };
    return new Map(items.map((pod) => [pod.metadata.labels?.["batch.kubernetes.io/job-name"] ?? pod.metadata.labels?.["job-name"] ?? "", pod]));
  }

  return {
    async pod(job: string, signal: AbortSignal): Promise<Pod | undefined> {
      if (pods === undefined || performance.now() - pods.since > freshMs) {
        const mine = { since: Number.POSITIVE_INFINITY, byJob: list() };
        pods = mine;
        mine.byJob
          .catch(() => {
            if (pods === mine) pods = undefined;
          })
          .finally(() => {
            mine.since = performance.now();
          });
      }
      return (await unlessAborted(pods.byJob, signal)).get(job);
    },
    /** After its end, and not at once: asked for again until then, it is found as it ended. Where this fails, the cluster removes it after an hour. */
    forget(name: string, afterMs: number): void {
      const work = (async () => {
        if (afterMs > 0) await delay(afterMs, undefined, { signal: stopping.signal }).catch(() => {});
        const api = await openApi();
        await patiently(AbortSignal.timeout(settledMs), () =>
          api.ask("DELETE", `/apis/batch/v1/namespaces/${api.namespace}/jobs/${name}`, { propagationPolicy: "Background" }),
        );
      })()
        .catch(() => {})
        .finally(() => forgetting.delete(work));
      forgetting.add(work);
    },
    async stop(): Promise<void> {
      stopping.abort();
      await Promise.all(forgetting);
    },
  };
}

const isOver = (job: KubernetesJob) =>
  job.status?.conditions?.find((one) => one.status === "True" && ["Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"].includes(one.type));

function refused(api: KubernetesApi, what: string, answer: { status: number; text: string }): Refused {
  const rights = answer.status === 401 || answer.status === 403 ? " `millrace render kubernetes` shows what Millrace must be allowed." : "";
  return new Refused(`The Kubernetes cluster at ${api.server} refused ${what} (${answer.status}): ${refusal(answer)}${rights}`);
}

async function within(work: Promise<void> | undefined, ms: number, signal: AbortSignal): Promise<void> {
  const enough = new AbortController();
  const timer = delay(ms, undefined, { signal: AbortSignal.any([enough.signal, signal]) });
  await Promise.race([work, timer]).finally(() => enough.abort());
  await timer.catch(() => {});
  signal.throwIfAborted();
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const done = new AbortController();
  const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { signal: done.signal }));
  return Promise.race([work, aborted]).finally(() => done.abort());
}
