/** The log of a pod, as it comes. */
import { setTimeout as delay } from "node:timers/promises";
import type { KubernetesApi } from "./kubernetes-api.js";
import { container } from "./kubernetes-objects.js";
import type { Follower } from "./remote.js";

/** A step that runs says something each second: a log that is silent for so long is a connection that is gone. */
const idleMs = 60_000;
const pauseMs = 500;
const longestLine = 1024 ** 2;

/**
 * Until the log's end, once `over()`. A log that breaks off is taken up again by the time that stands before each line: the cluster keeps of a long log only
 * its last part, so that a count of what was read would not do.
 */
export async function followLog(api: KubernetesApi, pod: string, follower: Pick<Follower, "line">, over: () => boolean, signal: AbortSignal): Promise<void> {
  let newest = "";
  let ofNewest = 0;
  for (let triesOver = 0; triesOver < 3; ) {
    const wasOver = over();
    if (wasOver) triesOver++;
    let again = newest === "" ? 0 : ofNewest;
    try {
      const since = newest === "" ? "" : `&sinceTime=${encodeURIComponent(newest)}`;
      const at = `/api/v1/namespaces/${api.namespace}/pods/${pod}/log?container=${container}&follow=true&timestamps=true${since}`;
      for await (const line of lines(api, at, signal)) {
        const space = line.indexOf(" ");
        const stamp = space === -1 ? line : line.slice(0, space);
        if (!/^\d{4}-\d\d-\d\dT/.test(stamp) || stamp < newest) continue;
        if (stamp === newest && again > 0) {
          again--;
          continue;
        }
        ofNewest = stamp === newest ? ofNewest + 1 : 1;
        newest = stamp;
        again = 0;
        follower.line(space === -1 ? "" : line.slice(space + 1));
      }
      if (wasOver) return;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Error)) throw error;
    }
    await delay(pauseMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
  }
}

async function* lines(api: KubernetesApi, at: string, signal: AbortSignal): AsyncGenerator<string> {
  const response = await api.open(at, signal, idleMs);
  if (response.statusCode !== 200) {
    response.resume();
    throw new Error(`The log answered ${response.statusCode}.`);
  }
  let rest = "";
  let dropping = false;
  for await (const part of response.setEncoding("utf8") as AsyncIterable<string>) {
    const whole = (rest + part).split("\n");
    rest = whole.pop() ?? "";
    for (const line of whole) {
      if (!dropping) yield line.replace(/\r$/, "");
      dropping = false;
    }
    if (rest.length > longestLine) {
      if (!dropping) yield rest;
      dropping = true;
      rest = "";
    }
  }
}
