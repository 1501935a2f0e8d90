/** Once a second: this worker says that it lives, learns what it has lost, takes what nobody has, and looks whether something is due. */
import { isAlive, type Platform } from "../platform/index.js";
import type { Queue } from "./queue.js";
import { attemptKey, type Scheduler } from "./scheduler.js";
import type { PipelineStore } from "./store.js";
import type { Waits } from "./waits.js";

const beatMs = 1_000;
/** The tracking of the end of a run is done by who ended it; where that is gone, by anyone. */
const trackSeconds = 5;

export function openHeart(
  platform: Pick<Platform, "log">,
  { store, queue, scheduler, waits }: { store: PipelineStore; queue: Queue; scheduler: Scheduler; waits: Waits },
) {
  let timer: NodeJS.Timeout | undefined;
  let beating: Promise<void> = Promise.resolve();
  let stopped = false;
  let beats = 0;
  /** What the rows say is run here and is not, as of the last beat. */
  let missing = new Set<string>();

  async function beat(): Promise<void> {
    const before = [...scheduler.active.entries()];
    const mine = await queue.beat();
    const rows = new Map(mine.map((row) => [attemptKey(row), row]));
    // Cancelled, or given to another while this process stood still.
    for (const [key, { abort }] of before) if (!rows.has(key)) abort.abort();
    const notHere = mine.filter((row) => !scheduler.holds(attemptKey(row)));
    const lost = notHere.filter((row) => missing.has(attemptKey(row)));
    missing = new Set(notHere.map(attemptKey));
    // What was claimed just now arrives within a beat; a claim whose answer was lost does not.
    await queue.giveUp(lost);

    const gone = (await queue.neighbours()).filter(({ pid }) => !isAlive(pid)).map(({ id }) => id);
    const given = await queue.giveBack(gone);
    if (given > 0) platform.log.info({ steps: given }, "steps of a worker that is gone are done again");
    const moving = [...scheduler.active.values()].filter(({ live }) => live.changed);
    if (moving.length > 0) {
      for (const { live } of moving) live.changed = false;
      await queue.progress(
        moving.map(({ claimed: { run, id, attempt }, live }) => ({ run, id, attempt, progress: live.progress ?? null, usage: live.usage ?? null })),
      );
    }
    for (const run of await store.orphans()) await scheduler.begin(run);
    if (beats % 5 === 0) {
      for (const run of await store.stuck()) scheduler.reconsider(run);
      for (const run of await store.untracked(trackSeconds)) await scheduler.endTracking(run);
    }
    beats += 1;
    await waits.look();
    scheduler.look();
    await scheduler.lookWhenDue();
  }

  return {
    /** The first beat is over when it resolves. */
    async start(): Promise<void> {
      await beat();
      const loop = () => {
        timer = setTimeout(() => {
          beating = beat()
            .catch((error) => platform.log.error({ error }, "the runs could not be looked after; it is tried again"))
            .finally(() => stopped || loop());
        }, beatMs);
      };
      loop();
    },
    async stop(): Promise<void> {
      stopped = true;
      clearTimeout(timer);
      await beating;
    },
  };
}
