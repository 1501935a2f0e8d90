/** Follows a run to its end: says what its steps do as they do it. */
import type { RunDetail, Step } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import { ApiError } from "@millrace/sdk/client";
import { type Exit, exit, Unreachable } from "./errors.js";
import { bytes, duration } from "./output.js";

export const over: Partial<Record<RunDetail["state"], Exit>> = { succeeded: exit.ok, failed: exit.failed, refused: exit.refused, cancelled: exit.cancelled };

export interface Told {
  /** A line that stays. */
  say(line: string): void;
  /** A line that the next one takes the place of, on a terminal. */
  now?(line: string): void;
}
/** Steps of a map are told one by one up to so many items. */
const itemsTold = 20;
const lookMs = 1_000;
const longestPauseMs = 5_000;
/** What is ready is begun at once, most often: whoever waits for it longer is told why. */
const patienceMs = 5_000;
/** For so long a server that is away, as in a restart, is waited for. */
const awayMs = 120_000;
const ends = new Set<Step["state"]>(["succeeded", "cached", "refused", "failed", "cancelled", "skipped"]);

export async function follow(client: Client, id: string, told: Told): Promise<RunDetail> {
  const stop = new AbortController();
  const wake = waker();
  try {
    let run = await client.runs.get(id);
    const tell = teller(client, id, told);
    if (over[run.state] === undefined) {
      // A look after the server listens misses nothing. Where events can't be had, looks each second do.
      await client.eventStream("step.*,run.*", stop.signal).then(
        (events) => void listen(events, id, wake.up),
        () => {},
      );
      run = await client.runs.get(id);
    }
    for (;;) {
      const seen = run;
      await throughRestarts(told.say, () => tell(seen));
      if (over[run.state] !== undefined) return run;
      await wake.asleep(lookMs);
      run = await throughRestarts(told.say, async () => {
        const began = performance.now();
        const now = await client.runs.get(id);
        // A run of very many steps is looked at less often.
        wake.atLeast(Math.min(3 * (performance.now() - began), longestPauseMs));
        return now;
      });
    }
  } finally {
    stop.abort();
  }
}

/** Asks again where the server is away for a while: what is followed goes on without whoever looks at it. */
export async function throughRestarts<T>(say: Told["say"], ask: () => Promise<T>): Promise<T> {
  const until = performance.now() + awayMs;
  for (let away = false; ; away = true) {
    try {
      const answer = await ask();
      if (away) say("The server is back.");
      return answer;
    } catch (error) {
      if (!isAway(error) || performance.now() > until) throw error;
      if (!away) say("The server is away. What was begun goes on with it, or with its workers; this waits until it is back.");
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }
}
/** `terminated` is how `fetch` says that an answer broke off. */
const isAway = (error: unknown): boolean =>
  error instanceof Unreachable ||
  (error instanceof ApiError && [502, 503, 504].includes(error.status)) ||
  (error instanceof TypeError && error.message === "terminated");

async function listen(events: AsyncIterable<{ subject: string; data: unknown }>, id: string, wake: () => void): Promise<void> {
  try {
    for await (const { subject, data } of events) {
      if (subject === id || (typeof data === "object" && data !== null && "run" in data && data.run === id)) wake();
    }
  } catch {
    // Its end: the run's, or the server's, which the next look tells.
  }
}

/** Sleeps until something happens, and some time at most. */
function waker() {
  let happened = false;
  let wake = () => {};
  let notBefore = 0;
  return {
    up() {
      happened = true;
      wake();
    },
    atLeast(ms: number) {
      notBefore = performance.now() + ms;
    },
    async asleep(ms: number): Promise<void> {
      if (!happened) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      const early = notBefore - performance.now();
      if (early > 1) await new Promise((resolve) => setTimeout(resolve, early));
      happened = false;
    },
  };
}

function teller(client: Client, id: string, { say, now }: Told): (run: RunDetail) => Promise<void> {
  const seen = new Map<string, { state: Step["state"]; lines: number }>();
  const readySince = new Map<string, number>();
  const toldWhy = new Set<string>();
  function tellWhy(step: Step): void {
    const since = readySince.get(step.id) ?? performance.now();
    readySince.set(step.id, since);
    const why = step.reason?.split("; ").at(-1);
    if (why === undefined || toldWhy.has(why) || performance.now() - since < patienceMs) return;
    toldWhy.add(why);
    say(`${step.id}: ready: ${why}`);
  }
  return async (run) => {
    const sizes = new Map(run.steps.map((step) => [step.id, step.items?.total ?? 0]));
    const news = run.steps.filter((step) => {
      const before = seen.get(step.id);
      if (before === undefined) seen.set(step.id, { state: "waiting", lines: 0 });
      const quiet = step.parent !== null && (sizes.get(step.parent) ?? 0) > itemsTold && step.state !== "failed";
      return !quiet && (step.state === "running" || step.state !== (before?.state ?? "waiting"));
    });
    const logs = await logsOf(client, id, news.filter(speaks), seen);
    for (const step of news) {
      const before = seen.get(step.id) ?? { state: "waiting", lines: 0 };
      const log = logs.get(step.id);
      const changed = before.state !== step.state && step.state !== "waiting" && step.state !== "ready";
      const begins = step.state === "running" || step.state === "asking";
      if (changed && begins) say(`${step.id}: ${step.state}${describe(step)}`);
      for (const line of log?.lines ?? []) say(`${step.id} | ${line}`);
      if (changed && !begins) say(`${step.id}: ${step.state}${describe(step)}`);
      seen.set(step.id, { state: step.state, lines: log?.next ?? before.lines });
    }
    for (const step of run.steps) {
      if (step.state === "ready") tellWhy(step);
      else readySince.delete(step.id);
    }
    now?.(statusOf(run));
  };
}

/** What was used again, or never ran, has said nothing. */
const speaks = (step: Step): boolean =>
  step.state !== "cached" && step.state !== "skipped" && step.state !== "waiting" && step.state !== "ready" && step.state !== "asking";

interface Lines {
  lines: string[];
  next: number;
}
async function logsOf(client: Client, run: string, steps: readonly Step[], seen: ReadonlyMap<string, { lines: number }>): Promise<Map<string, Lines>> {
  const found = new Map<string, Lines>();
  const queue = [...steps];
  await Promise.all(
    Array.from({ length: Math.min(8, queue.length) }, async () => {
      for (let step = queue.shift(); step !== undefined; step = queue.shift())
        found.set(step.id, await readLog(client, run, step.id, seen.get(step.id)?.lines ?? 0));
    }),
  );
  return found;
}
export async function readLog(client: Client, run: string, step: string, from: number): Promise<Lines & { done: boolean }> {
  const lines: string[] = [];
  for (let next = from; ; ) {
    const page = await client.runs.log(run, step, next);
    lines.push(...page.lines.map((line) => line.text));
    if (page.lines.length === 0 || page.next === next) return { lines, next: page.next, done: page.done };
    next = page.next;
  }
}

function describe(step: Step): string {
  const facts = [];
  if (step.attempt > 1) facts.push(`attempt ${step.attempt}`);
  if (step.durationMs !== null && step.state !== "cached" && step.state !== "skipped") facts.push(duration(step.durationMs));
  if (step.cachedFrom !== null) facts.push(`from run ${step.cachedFrom}`);
  if (step.usage?.memoryBytes !== null && step.usage?.memoryBytes !== undefined && ends.has(step.state) && step.state !== "cached")
    facts.push(bytes(step.usage.memoryBytes));
  const why = step.error?.split("\n")[0] ?? (step.state === "skipped" || step.state === "asking" ? step.reason : null);
  return `${facts.length === 0 ? "" : ` (${facts.join(", ")})`}${why === null || why === undefined ? "" : `: ${why}`}`;
}

/** What runs at this moment: `train 40/100 · 12 s · 1.2 GiB`. */
function statusOf(run: RunDetail): string {
  const done = run.steps.filter((step) => ends.has(step.state)).length;
  const running = run.steps.filter((step) => step.state === "running" || step.state === "asking");
  const shown = running.slice(0, 3).map((step) => {
    const { progress, items, usage } = step;
    const facts = [
      progress?.done === undefined ? undefined : `${progress.done}${progress.total === undefined ? "" : `/${progress.total}`}`,
      progress?.message,
      items === null ? undefined : `${items.done}/${items.total}`,
      step.startedAt === null ? undefined : duration(Date.now() - Date.parse(step.startedAt)),
      usage?.memoryBytes === null || usage?.memoryBytes === undefined ? undefined : bytes(usage.memoryBytes),
      step.state === "asking" ? "waits for an answer" : undefined,
    ];
    return [step.id, ...facts.filter((fact) => fact !== undefined)].join(" ");
  });
  return [`${done} of ${run.stepCount}`, ...shown, ...(running.length > 3 ? [`and ${running.length - 3} more`] : [])].join(" · ");
}
