/** What the state of a pod means for its step. */
import type { Job, JobEnd } from "./backend.js";
import type { Pod } from "./kubernetes-api.js";
import { container } from "./kubernetes-objects.js";
import { needs } from "./remote.js";
import { programName, size } from "./said.js";

export type Seen =
  | { state: "waiting"; why: string | null; hopeless: "now" | "soon" | null }
  | { state: "running" }
  /** `message`: what the program left there as its last word. */
  | { state: "over"; message: string };

export function seenOf(pod: Pod, job: Job): Seen {
  const { phase, conditions = [] } = pod.status ?? {};
  const { waiting, running, terminated } = stateOf(pod);
  if (terminated !== undefined || phase === "Succeeded" || phase === "Failed") return { state: "over", message: terminated?.message?.trim() ?? "" };
  if (running !== undefined) return { state: "running" };
  const unplaced = conditions.find((one) => one.type === "PodScheduled" && one.status === "False");
  if (unplaced !== undefined)
    return { state: "waiting", why: `The cluster has no room yet for ${needs(job)}: ${unplaced.message ?? unplaced.reason}`, hopeless: null };
  const reason = waiting?.reason;
  if (reason === undefined || reason === "ContainerCreating" || reason === "PodInitializing") return { state: "waiting", why: null, hopeless: null };
  const image = /image/i.test(reason);
  const why = `${image ? "The image can't be had" : "The pod can't be started"} (${reason}): ${waiting?.message ?? "the cluster says no more."}`;
  return { state: "waiting", why, hopeless: reason === "InvalidImageName" ? "now" : "soon" };
}

/** How a pod ended that left no result. */
export function judgePod(pod: Pod, job: Job, lastSaid: string | undefined): Pick<JobEnd, "outcome" | "message"> {
  const { reason, message, conditions = [] } = pod.status ?? {};
  const { terminated } = stateOf(pod);
  const name = programName(job);
  const node = pod.spec?.nodeName ?? "its node";
  const limit = job.resources.memoryBytes;
  if (terminated?.reason === "OOMKilled")
    return {
      outcome: "out_of_memory",
      message:
        limit === undefined
          ? `${name} was killed by the system of ${node}, which had no memory left. Give the step \`resources.memory\`, so that the cluster keeps it for it.`
          : `${name} was killed by the system: it used more memory than its limit of ${size(limit)}.`,
    };
  if (reason === "DeadlineExceeded")
    return { outcome: "failed", message: `The pod of ${name} was ended by the cluster, a day after its timeout: it waited for too long.` };
  const disrupted = conditions.find((one) => one.type === "DisruptionTarget" && one.status === "True");
  const evictedItself = reason === "Evicted" && /exceed/i.test(message ?? "");
  if (evictedItself) return { outcome: "failed", message: `The pod of ${name} was evicted from ${node}: ${message}` };
  if (disrupted !== undefined || reason !== undefined) {
    const why = [reason ?? disrupted?.reason, message ?? disrupted?.message].filter(Boolean).join(": ");
    return { outcome: "lost", message: `The pod that ran ${name} on ${node} was ended by the cluster. ${why}` };
  }
  const code = terminated?.exitCode;
  if (code === 128 || /ContainerCannotRun|StartError/.test(terminated?.reason ?? ""))
    return {
      outcome: "failed",
      message: `The image can't run the step, which wants /bin/sh and Python 3.10 or newer: ${terminated?.message ?? terminated?.reason}`,
    };
  // Killed from outside, or the node does not know what became of it.
  if (code === undefined || code === 137 || code === 143) return { outcome: "lost", message: `The pod that ran ${name} on ${node} is gone.` };
  return {
    outcome: "failed",
    message: `The pod ended with code ${code} before the step began or could say its result: ${lastSaid ?? terminated?.reason ?? "it said nothing"}`,
  };
}

function stateOf(pod: Pod) {
  return pod.status?.containerStatuses?.find((one) => one.name === container)?.state ?? {};
}
