import type { Log } from "./log.js";

/** Ends something, or leaves it: a server that stops waits for nothing for ever. */
export async function endWithin(log: Log, ms: number, what: string, end: () => unknown): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      log.warn(`${what} did not end within ${ms / 1000} s, and is left`);
      resolve();
    }, ms);
  });
  try {
    await Promise.race([end(), late]);
  } catch (error) {
    log.warn({ error }, `${what} did not end well`);
  } finally {
    clearTimeout(timer);
  }
}
