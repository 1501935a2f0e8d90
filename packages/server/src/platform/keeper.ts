import type { Database } from "./database/index.js";
import { underLock } from "./database/lock.js";
import { limit } from "./limit.js";
import type { Log } from "./log.js";

/** Looks after objects that live longer than a process: each of them is in the hands of one process at a time, and goes on with another where that one dies. */
export interface Keeper {
  /** Something may be to do. */
  wake(): void;
  start(): void;
  stop(): Promise<void>;
}
const lookMs = 1_000;
const usuallyAtOnce = 3;

/**
 * `open` says which objects have something to do, and `work` does what can be done for one without waiting for what takes long. It is called each
 * second and when `wake` is, and must bear that another process was at it when the connection that held the lock broke.
 */
export function openKeeper(
  { locks, log }: { locks: Database; log: Log },
  what: string,
  open: () => Promise<string[]>,
  work: (id: string) => Promise<void>,
  atOnce = usuallyAtOnce,
): Keeper {
  const inHand = new Set<string>();
  /** Something came up while it was in hand. */
  const more = new Set<string>();
  const places = limit(atOnce);
  const working = new Set<Promise<void>>();
  let stopped = true;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let again = false;

  function take(id: string): void {
    if (inHand.has(id)) return void more.add(id);
    more.delete(id);
    inHand.add(id);
    const one = places(async () => {
      if (!stopped) await underLock(locks, what, id, () => work(id));
    })
      .catch((error) => void log.error({ error, [what]: id }, `a ${what} could not be looked after; it is tried again`))
      .then(() => {
        inHand.delete(id);
        working.delete(one);
        if (more.has(id) && !stopped) take(id);
      });
    working.add(one);
  }
  function look(): void {
    again = true;
    looking ??= (async () => {
      clearTimeout(timer);
      try {
        while (again && !stopped) {
          again = false;
          for (const id of await open()) take(id);
        }
      } catch (error) {
        if (!stopped) log.warn({ error }, `each ${what} is looked for again`);
      } finally {
        looking = undefined;
        clearTimeout(timer);
        if (!stopped) timer = setTimeout(look, lookMs);
      }
    })();
  }

  return {
    wake: () => void (stopped || look()),
    start() {
      stopped = false;
      look();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await looking;
      await Promise.all(working);
    },
  };
}
