/** How a new version takes over: step by step, judged on what it answers. */

import { durationMs } from "@millrace/sdk";
import type { JudgeSpec } from "@millrace/sdk/spec";
import type { Transaction } from "kysely";
import { batchRows, binaryMetrics, modelInput, streamColumns } from "../evaluation/index.js";
import { conflict, type Platform, type PlatformEvent } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import {
  advanceRollout,
  countLabels,
  finishRollout,
  insertRollout,
  lockState,
  type RolloutRow,
  rolloutExists,
  runningRollout,
  runningRollouts,
  setStable,
  states,
} from "./store.js";
import type { Serving } from "./types.js";

const challenger = "challenger";
const champion = "champion";
type Endpoint = Definition<"endpoint">;

export interface Rollouts {
  /** Looks at all that run: whether a step is over, and what to do then. */
  judge(): Promise<void>;
  rollback(endpoint: string, reason: string): Promise<RolloutRow>;
}

export function createRollouts(
  platform: Platform,
  on: {
    projects: Projects;
    registry: Registry;
    serving: Pick<Serving, "usePredictions" | "scorer">;
    /** Opens the version for the endpoint: what can't be opened, or takes other requests than the stable version, gets no traffic. */
    ready(endpoint: Endpoint, version: number, stable: number | null): Promise<void>;
    /** Makes what was counted in this process a part of the rollout's numbers. */
    settleCounts(): Promise<void>;
    /** Has this process answer by what is committed now. */
    changed(): Promise<void>;
  },
): Rollouts {
  const { db, events, clock, log } = platform;
  /** For rollouts that wait for labels: how many there were when both versions were scored last. */
  const lastAsked = new Map<string, { come: number; at: number; why: string }>();
  // A replayed clock's ticks are as far apart as the one who moves it wants.
  const askAgainMs = clock.kind === "replay" ? 0 : 15_000;

  // ---------------------------------------------------------------------------------- what begins one

  platform.events.subscribe(
    "serving.rollouts",
    ["alias.set", "project.applied", "rollout.promoted", "rollout.rolled_back", "rollout.superseded"],
    async (event) => {
      if (event.type === "alias.set") await aliasSet(event);
      else if (event.type === "project.applied") await deployWhatWaits();
      else await tellRegistry(event);
      await on.changed();
    },
  );

  const endpointsOf = async (model: string) => (await on.projects.list("endpoint")).filter((endpoint) => endpoint.spec.model === model);

  async function aliasSet({ id, data }: PlatformEvent): Promise<void> {
    const { model, alias, version } = data as { model: string; alias: string; version: number };
    if (alias !== champion && alias !== challenger) return;
    // Since then somebody may have changed their mind.
    if ((await on.registry.byAlias(model, alias))?.version !== version) return;
    const endpoints = await endpointsOf(model);
    for (const endpoint of endpoints) {
      if (alias === champion) await deploy(endpoint, version, `${endpoint.name}-${id}`);
      else await begin(endpoint, version, `${endpoint.name}-${id}`);
    }
    if (alias === champion || endpoints.length === 0) return;
    // What answers everywhere already has nobody to challenge.
    const answering = await states(db);
    if (endpoints.every(({ name }) => answering.get(name)?.stable === version)) await on.registry.deleteAlias(model, challenger);
  }
  /** Endpoints that were defined after their model had a champion. */
  async function deployWhatWaits(): Promise<void> {
    const answering = await states(db);
    for (const endpoint of await on.projects.list("endpoint")) {
      if (answering.get(endpoint.name)?.stable != null) continue;
      const version = (await on.registry.byAlias(endpoint.spec.model, champion))?.version;
      if (version !== undefined) await deploy(endpoint, version, `${endpoint.name}-v${version}`);
    }
  }

  /** All traffic at once, because somebody said so. */
  async function deploy(endpoint: Endpoint, version: number, id: string): Promise<void> {
    const failure = await failureOf(endpoint, version, null);
    await db.transaction().execute(async (transaction) => {
      const { stable } = await lockState(transaction, endpoint.name);
      if (stable === version || (await rolloutExists(transaction, id))) return;
      const now = clock.now();
      const row = { id, endpoint: endpoint.name, candidate: version, stable, weight: 1, step: 0, started_at: now, step_started_at: now };
      if (failure !== undefined) return refuse(transaction, row, failure);
      const running = await runningRollout(transaction, endpoint.name);
      await setStable(transaction, endpoint.name, version);
      if (running?.candidate === version) return void (await end(transaction, running, "promoted", "It was made the champion."));
      if (running !== undefined) await end(transaction, running, "superseded", `v${version} was made the champion.`);
      const reason = stable === null ? "Nothing answered before it." : "It was made the champion.";
      await insertRollout(transaction, { ...row, state: "promoted", finished_at: now, reason });
      await tell(transaction, "rollout.promoted", row, reason);
    });
  }

  /** Where somebody says that it is to answer, it may take other requests than what answers now. */
  const failureOf = (endpoint: Endpoint, version: number, stable: number | null): Promise<string | undefined> =>
    on.ready(endpoint, version, stable).then(
      () => undefined,
      (error: Error) => error.message,
    );
  /** What can't be loaded gets no traffic, whoever wants it. */
  async function refuse(transaction: Transaction<unknown>, row: Omit<RolloutRow, "state" | "finished_at" | "reason" | "requests" | "errors">, failure: string) {
    const reason = `It can't answer: ${failure}`;
    await insertRollout(transaction, { ...row, weight: 0, state: "rolled_back", finished_at: row.started_at, reason });
    await tell(transaction, "rollout.rolled_back", { ...row, weight: 0 }, reason);
  }

  async function begin(endpoint: Endpoint, version: number, id: string): Promise<void> {
    const failure = await failureOf(endpoint, version, (await states(db)).get(endpoint.name)?.stable ?? null);
    await db.transaction().execute(async (transaction) => {
      const { stable } = await lockState(transaction, endpoint.name);
      if (stable === version || (await rolloutExists(transaction, id))) return;
      const now = clock.now();
      const running = await runningRollout(transaction, endpoint.name);
      if (running?.candidate === version) return;
      if (running !== undefined) await end(transaction, running, "superseded", `v${version} became the challenger.`);
      const weight = endpoint.spec.rollout.steps[0] ?? 1;
      const row = { id, endpoint: endpoint.name, candidate: version, stable, weight, step: 0, started_at: now, step_started_at: now };
      if (failure !== undefined) return refuse(transaction, row, failure);
      if (stable === null) {
        await setStable(transaction, endpoint.name, version);
        const reason = "Nothing answered before it.";
        await insertRollout(transaction, { ...row, weight: 1, state: "promoted", finished_at: now, reason });
        return tell(transaction, "rollout.promoted", { ...row, weight: 1 }, reason);
      }
      await insertRollout(transaction, { ...row, state: "running", finished_at: null, reason: null });
      await tell(transaction, "rollout.started", row, `${percent(weight)} of the traffic for at least ${endpoint.spec.rollout.each}.`);
    });
  }

  // -------------------------------------------------------------------------------------- how it goes on

  async function judge(): Promise<void> {
    await on.settleCounts();
    for (const rollout of await runningRollouts(db)) {
      const endpoint = await on.projects.get("endpoint", rollout.endpoint);
      if (endpoint === undefined) continue;
      try {
        await judgeOne(endpoint, rollout);
      } catch (error) {
        log.error({ error, endpoint: endpoint.name }, "a rollout could not be judged; it is tried again at the next tick");
      }
    }
    await on.changed();
  }

  async function judgeOne(endpoint: Endpoint, rollout: RolloutRow): Promise<void> {
    const { steps, each, judge } = endpoint.spec.rollout;
    const found: string[] = [];
    for (const one of judge) {
      if (one.kind !== "error_rate_below") continue;
      const verdict = errorRate(one, rollout);
      if (verdict.failed) return rollBack(rollout, verdict.why);
      if (verdict.undecided) return;
      found.push(verdict.why);
    }
    if (clock.now().getTime() - rollout.step_started_at.getTime() < durationMs(each)) return;
    for (const one of judge) {
      if (one.kind !== "metric_not_worse") continue;
      const verdict = await notWorse(one, rollout);
      if (verdict.failed) return rollBack(rollout, verdict.why);
      if (verdict.undecided) return;
      found.push(verdict.why);
    }
    const next = steps[rollout.step + 1];
    const now = clock.now();
    await db.transaction().execute(async (transaction) => {
      await lockState(transaction, rollout.endpoint);
      if (next !== undefined) {
        if (await advanceRollout(transaction, rollout.id, rollout.step, next, now)) {
          await tell(transaction, "rollout.advanced", { ...rollout, weight: next }, found.join(" "));
        }
        return;
      }
      if (!(await end(transaction, rollout, "promoted", found.join(" ") || "Every step was passed."))) return;
      await setStable(transaction, rollout.endpoint, rollout.candidate);
    });
  }

  function errorRate({ share, minRequests }: Extract<JudgeSpec, { kind: "error_rate_below" }>, { requests, errors }: RolloutRow): Verdict {
    const rate = requests === 0 ? 0 : errors / requests;
    const why = `It failed ${errors} of ${requests} requests (${percent(rate)}), ${rate < share ? "below" : "not below"} the bound of ${percent(share)}.`;
    // As many errors as the whole sample may have are enough to know.
    const known = requests >= minRequests || errors >= Math.max(1, share * minRequests);
    return { failed: known && rate >= share, undecided: !known, why };
  }

  /** Both versions on the same logged features of labelled predictions since the rollout began, whichever of them answered. */
  async function notWorse({ metric, by, minLabels }: Extract<JudgeSpec, { kind: "metric_not_worse" }>, rollout: RolloutRow): Promise<Verdict> {
    if (rollout.stable === null) return { failed: false, undecided: false, why: "Nothing answered before it." };
    // Cheap to ask, and mostly the answer while a rollout waits. Some of them may be of earlier predictions.
    const come = await countLabels(db, rollout.endpoint, rollout.started_at);
    if (come < minLabels) return { failed: false, undecided: true, why: `${come} of ${minLabels} labels came.` };
    const asked = lastAsked.get(rollout.id);
    if (asked !== undefined && (asked.come === come || performance.now() - asked.at < askAgainMs)) return { failed: false, undecided: true, why: asked.why };

    const verdict = await scoreBoth(metric, by, minLabels, rollout, rollout.stable);
    lastAsked.clear();
    if (verdict.undecided) lastAsked.set(rollout.id, { come, at: performance.now(), why: verdict.why });
    return verdict;
  }

  async function scoreBoth(metric: string, by: number, minLabels: number, rollout: RolloutRow, against: number): Promise<Verdict> {
    const [candidate, stable] = await Promise.all([rollout.candidate, against].map((version) => on.serving.scorer(rollout.endpoint, version)));
    if (candidate === undefined || stable === undefined) throw new Error("two versions are compared");
    const scored: { candidate: number[]; stable: number[]; labels: number[] } = { candidate: [], stable: [], labels: [] };
    let failure: string | undefined;
    await on.serving.usePredictions(rollout.endpoint, { from: rollout.started_at }, async (connection, relation) => {
      const features = stable.features.map((feature) => `${modelInput(feature, "f_")} as "${feature.name}"`).join(", ");
      for await (const { columns, rows } of streamColumns(
        connection,
        `select ${features}, label as "label of the row" from ${relation} where label is not null`,
      )) {
        const { "label of the row": labels = [], ...inputs } = columns;
        try {
          const [theirs, ours] = [await candidate.predict(inputs, rows), await stable.predict(inputs, rows)];
          scored.candidate.push(...theirs);
          scored.stable.push(...ours);
          for (const label of labels) scored.labels.push(Number(label));
        } catch (error) {
          failure = (error as Error).message;
          return;
        }
        if (scored.labels.length >= 20 * batchRows) return;
      }
    });
    if (failure !== undefined) return { failed: true, undecided: false, why: `It failed on predictions that were logged: ${failure}` };
    const labels = scored.labels.length;
    if (labels < minLabels) return { failed: false, undecided: true, why: `${labels} of ${minLabels} labels came.` };
    const truth = Uint8Array.from(scored.labels, (label) => (label > 0.5 ? 1 : 0));
    const of = (predictions: number[]) => numberOf(binaryMetrics(Float64Array.from(predictions), truth), metric);
    const [theirs, ours] = [of(scored.candidate), of(scored.stable)];
    if (theirs === null || ours === null) return { failed: false, undecided: true, why: `${metric} can't be computed on ${labels} labels of one class.` };
    const worse = metric === "auc" ? ours - theirs : theirs - ours;
    const why = `On ${labels} labelled predictions its ${metric} is ${theirs.toFixed(4)}, that of v${against} ${ours.toFixed(4)}.`;
    return { failed: worse > by, undecided: false, why };
  }

  const rollBack = (rollout: RolloutRow, reason: string): Promise<void> =>
    db.transaction().execute(async (transaction) => {
      await lockState(transaction, rollout.endpoint);
      await end(transaction, rollout, "rolled_back", reason);
    });

  async function end(
    transaction: Transaction<unknown>,
    rollout: RolloutRow,
    state: "promoted" | "rolled_back" | "superseded",
    reason: string,
  ): Promise<boolean> {
    if (!(await finishRollout(transaction, rollout.id, state, reason, clock.now()))) return false;
    await tell(transaction, `rollout.${state}`, rollout, reason);
    return true;
  }
  async function tell(
    transaction: Transaction<unknown>,
    type: string,
    rollout: { endpoint: string; candidate: number; weight: number },
    reason: string,
  ): Promise<void> {
    const { endpoint, candidate, weight } = rollout;
    await events.append(transaction, type, endpoint, { endpoint, candidate, weight, reason });
  }

  /** The registry's aliases follow what the endpoint decided. Other endpoints of the model may still be trying the version. */
  async function tellRegistry({ type, subject, data }: PlatformEvent): Promise<void> {
    const endpoint = await on.projects.get("endpoint", subject);
    if (endpoint === undefined) return;
    const { model } = endpoint.spec;
    const version = Number(data.candidate);
    if (type === "rollout.promoted") await on.registry.setAlias(model, champion, version);
    const others = (await runningRollouts(db)).some((one) => one.candidate === version && one.endpoint !== subject);
    if (!others && (await on.registry.byAlias(model, challenger))?.version === version) await on.registry.deleteAlias(model, challenger);
  }

  return {
    judge,
    async rollback(name, reason) {
      const rollout = await runningRollout(db, name);
      if (rollout === undefined) throw conflict(`No rollout of the endpoint "${name}" runs. To go back to an earlier version, make it the champion.`);
      await rollBack(rollout, reason);
      await on.changed();
      return { ...rollout, state: "rolled_back", reason, finished_at: clock.now() };
    },
  };
}

interface Verdict {
  failed: boolean;
  /** There is too little to say. */
  undecided: boolean;
  why: string;
}
const percent = (share: number): string => `${Number((share * 100).toFixed(2))}%`;
function numberOf(metrics: object, name: string): number | null {
  const value = (metrics as Record<string, unknown>)[name];
  return typeof value === "number" ? value : null;
}
