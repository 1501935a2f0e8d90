/** Versions that aliases ask for are made ready beside the handling of events: one may need minutes until it is in memory, and others do not wait for that. */
import { setTimeout as delay } from "node:timers/promises";
import type { Transaction } from "kysely";
import { openKeeper, type Platform } from "../../platform/index.js";
import type { Definition, Projects } from "../../projects/index.js";
import type { Registry } from "../../registry/index.js";
import { addWish, takeWish, type Wish, wishesOf, wishingEndpoints, wishStands } from "./wishes.js";

/** Endpoints whose versions are made ready at once. */
const readyAtOnce = 4;
/** How soon it is seen that something newer is wanted. */
const lookMs = 250;

/** How what begins for a wish is told that it need not. */
export interface Wished {
  /** Ends the wait when it is not wanted any more, or the server stops. */
  signal: AbortSignal;
  /** The server stops: the wish stays, and whoever takes it up needs what is in memory elsewhere. */
  isHalted(): boolean;
  /** Whether it still is wanted, in the transaction that begins it. */
  take(transaction: Transaction<unknown>): Promise<boolean>;
}
export interface Preparing {
  /** Resolves when the wishes outlive this process; on a replayed clock when they have begun: what a move of it leads to is done when it is answered. */
  want(wishes: readonly Wish[]): Promise<void>;
  /** Begins what is wanted, as one of all processes for each endpoint. */
  launch(): void;
  /** What is not ready yet stays to be begun: by another process, or after a restart. */
  halt(): Promise<void>;
}

export function createPreparing(
  platform: Platform,
  on: { projects: Pick<Projects, "get">; registry: Pick<Registry, "byAlias"> },
  begin: (endpoint: Definition<"endpoint">, wish: Wish, wished: Wished) => Promise<void>,
): Preparing {
  const { db, clock, log } = platform;
  const halting = new AbortController();
  const keeper = openKeeper(platform, "endpoint", () => wishingEndpoints(db), beginAll, readyAtOnce);

  async function beginAll(name: string): Promise<void> {
    while (!halting.signal.aborted) {
      const [wish] = await wishesOf(db, name);
      if (wish === undefined) return;
      await beginOne(wish);
    }
  }
  async function beginOne(wish: Wish): Promise<void> {
    const endpoint = await on.projects.get("endpoint", wish.endpoint);
    if (endpoint !== undefined && (await isSet(endpoint, wish))) {
      const superseded = new AbortController();
      const looking = setInterval(() => {
        wishStands(db, wish).then(
          (stands) => void (stands || superseded.abort(new Error("Something newer is wanted."))),
          () => {},
        );
      }, lookMs);
      const signal = AbortSignal.any([superseded.signal, halting.signal]);
      try {
        await begin(endpoint, wish, {
          signal,
          isHalted: () => halting.signal.aborted,
          take: async (transaction) => (await takeWish(transaction, wish)) && isSet(endpoint, wish),
        });
      } catch (error) {
        if (!signal.aborted) throw error;
        // It takes what it had in memory for this with it when it ends.
        if (halting.signal.aborted) return;
        log.info({ endpoint: wish.endpoint, version: wish.version }, "a version that was being made ready is not wanted any more");
      } finally {
        clearInterval(looking);
      }
    }
    await takeWish(db, wish);
  }
  const isSet = async ({ spec }: Definition<"endpoint">, { alias, version }: Wish): Promise<boolean> =>
    (await on.registry.byAlias(spec.model, alias))?.version === version;

  return {
    async want(wishes) {
      for (const wish of wishes) await addWish(db, wish);
      keeper.wake();
      for (const wish of clock.kind === "replay" ? wishes : []) {
        while (await wishStands(db, wish)) await delay(10, undefined, { signal: halting.signal });
      }
    },
    launch: () => keeper.start(),
    async halt() {
      halting.abort(new Error("The server stops."));
      await keeper.stop();
    },
  };
}
