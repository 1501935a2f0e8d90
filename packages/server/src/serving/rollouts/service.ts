/** How a new version takes over: step by step, judged on what it answers; and how another comes back at once. */
import { durationMs, rolloutProblems } from "@millrace/sdk";
import type { RolloutEvent, RolloutMove, RolloutStart } from "@millrace/sdk/api";
import type { JudgeSpec, RolloutSpec } from "@millrace/sdk/spec";
import type { Transaction } from "kysely";
import { ApiError, conflict, invalid, newId, type Platform, type PlatformEvent } from "../../platform/index.js";
import type { Definition, Projects } from "../../projects/index.js";
import type { Registry } from "../../registry/index.js";
import type { States } from "../states.js";
import { countLabels, goBack, lockState, setKilled, setStable, stableVersions } from "../store.js";
import type { Serving } from "../types.js";
import { reallocate, type Share, type Slot } from "./assignment.js";
import { neededUnits, readUnits, resultOf } from "./experiments.js";
import { createLabelled, type LabelledJudge } from "./labelled.js";
import { createPreparing, type Preparing, type Wished } from "./preparing.js";
import { quantile } from "./sketch.js";
import {
  finishRollout,
  insertEvent,
  insertRollout,
  moveRollout,
  pauseRollout,
  type RolloutRow,
  rolloutExists,
  runningRollout,
  runningRollouts,
  setResult,
  stepsOf,
  type Tally,
  tallies,
} from "./store.js";
import { percent, verdictOf } from "./verdicts.js";
import { dropWishes, type Wish, wishedAt, wishesOf } from "./wishes.js";

const challenger = "challenger";
const champion = "champion";
/** Who decides where nobody does. */
const itself = "millrace";
type Endpoint = Definition<"endpoint">;
type Numbers = RolloutEvent["numbers"];
/** For so long all processes are waited for to have a version in memory that an alias was set to: its packages may have to be installed on each machine. */
const readyMs = 600_000;

export interface Rollouts extends Pick<Preparing, "launch" | "halt"> {
  /** Looks at all that run: whether a step is over, and what to do then. */
  judge(): Promise<void>;
  start(endpoint: Endpoint, start: RolloutStart, by: string): Promise<RolloutRow>;
  /** Goes on to the next step, whatever the judges wait for. Throws a 409 where none runs that has steps. */
  advance(endpoint: Endpoint, reason: string | undefined, by: string): Promise<RolloutRow>;
  pause(endpoint: Endpoint, reason: string | undefined, by: string): Promise<RolloutRow>;
  resume(endpoint: Endpoint, reason: string | undefined, by: string): Promise<RolloutRow>;
  /** Other parts of the traffic for the versions of a split. */
  reweigh(endpoint: Endpoint, arms: readonly Share[], reason: string | undefined, by: string): Promise<RolloutRow>;
  /** All traffic at once to the version, by default to the one that is tried, or that won. */
  promote(endpoint: Endpoint, move: RolloutMove, by: string): Promise<RolloutRow>;
  /** Ends what runs in favour of the stable version; where nothing runs, the version that answered before answers again. */
  rollback(endpoint: Endpoint, reason: string | undefined, by: string): Promise<RolloutRow>;
  kill(endpoint: Endpoint, reason: string | undefined, by: string): Promise<void>;
  revive(endpoint: Endpoint, reason: string | undefined, by: string): Promise<void>;
}

export function createRollouts(
  platform: Platform,
  on: {
    projects: Projects;
    registry: Registry;
    states: States;
    serving: Pick<Serving, "usePredictions" | "scorer" | "takes">;
    /** Opens the version for the endpoint: what can't be opened, or takes other requests than the stable version, gets no traffic. */
    ready(endpoint: Endpoint, version: number, stable: number | null): Promise<void>;
    /** Makes what was counted in this process a part of the rollout's numbers. */
    settleCounts(): Promise<void>;
  },
): Rollouts {
  const { db, events, clock, log } = platform;
  const labelled = createLabelled(platform, on.serving);
  /** Of experiments: how many labels there were when they were looked at last. */
  const lastLooked = new Map<string, { come: number; at: number }>();
  // A replayed clock's ticks are as far apart as the one who moves it wants.
  const lookAgainMs = clock.kind === "replay" ? 0 : 15_000;

  /** Changes what an endpoint answers by. Resolves when every process does. */
  async function commit<T>(name: string, work: (transaction: Transaction<unknown>, stable: number | null) => Promise<T>): Promise<T> {
    const { result, epoch } = await db.transaction().execute(async (transaction) => {
      const { stable } = await lockState(transaction, name);
      const result = await work(transaction, stable);
      return { result, epoch: await on.states.change(transaction) };
    });
    await on.states.taken(epoch);
    return result;
  }

  // ---------------------------------------------------------------------------------- what begins one

  platform.events.subscribe(
    "serving.rollouts",
    ["alias.set", "project.applied", "rollout.promoted", "rollout.rolled_back", "rollout.superseded"],
    async (event) => {
      if (event.type === "alias.set") await aliasSet(event);
      else if (event.type === "project.applied") await deployWhatWaits();
      else await tellRegistry(event);
    },
  );
  const preparing = createPreparing(platform, on, beginAt);
  async function beginAt(endpoint: Endpoint, { id, alias, version }: Wish, wished: Wished): Promise<void> {
    if (alias === champion) return void (await deploy(endpoint, version, { id, by: itself, reason: "It was made the champion.", wished }));
    const arms = await armsOf(endpoint, alias, version);
    if (arms !== undefined) await begin(endpoint, endpoint.spec.rollout, arms, { id, by: itself, supersedes: `v${version} became the ${alias}.`, wished });
  }

  const endpointsOf = async (model: string) => (await on.projects.list("endpoint")).filter((endpoint) => endpoint.spec.model === model);

  async function aliasSet({ id, data }: PlatformEvent): Promise<void> {
    const { model, alias, version, endpoint: decided } = data as { model: string; alias: string; version: number; endpoint?: string };
    // Since then somebody may have changed their mind.
    const current = (await on.registry.byAlias(model, alias))?.version;
    if (current !== version) return;
    const endpoints = await endpointsOf(model);
    const wishes: Wish[] = [];
    for (const endpoint of endpoints) {
      // It has decided so itself, and may have decided otherwise since.
      if (endpoint.name === decided) continue;
      if (alias === champion || (await armsOf(endpoint, alias, version)) !== undefined)
        wishes.push({ endpoint: endpoint.name, id: `${endpoint.name}-${id}`, alias, version });
    }
    await preparing.want(wishes);
    if (alias !== challenger || endpoints.length === 0) return;
    // What answers everywhere already has nobody to challenge.
    const answering = await stableVersions(db);
    if (endpoints.every(({ name }) => answering.get(name) === version)) await on.registry.deleteAlias(model, challenger);
  }
  /** What the alias begins at the endpoint; undefined: nothing, or nothing yet. */
  async function armsOf(endpoint: Endpoint, alias: string, version: number): Promise<Share[] | undefined> {
    const { rollout, model } = endpoint.spec;
    if (rollout.kind !== "experiment") return alias === challenger ? [{ version, weight: firstWeight(rollout) }] : undefined;
    if (!rollout.arms.some((arm) => arm.alias === alias)) return undefined;
    const stable = (await stableVersions(db)).get(endpoint.name);
    const arms: Share[] = [];
    for (const arm of rollout.arms) {
      const found = (await on.registry.byAlias(model, arm.alias))?.version;
      if (found === undefined || found === stable || arms.some((one) => one.version === found)) return undefined;
      arms.push({ version: found, weight: arm.weight });
    }
    return arms;
  }
  /** Endpoints that were defined after their model had a champion. */
  async function deployWhatWaits(): Promise<void> {
    const answering = await stableVersions(db);
    const wishes: Wish[] = [];
    for (const { name, spec } of await on.projects.list("endpoint")) {
      if (answering.get(name) != null || (await wishesOf(db, name)).some((wish) => wish.alias === champion)) continue;
      const version = (await on.registry.byAlias(spec.model, champion))?.version;
      if (version !== undefined) wishes.push({ endpoint: name, id: `${name}-v${version}`, alias: champion, version });
    }
    await preparing.want(wishes);
  }

  interface Begin {
    id: string;
    by: string;
    /** Why what runs ends. */
    supersedes: string;
    reason?: string | undefined;
    /** Of what an alias asks for. */
    wished?: Wished;
  }
  /** All traffic at once, because somebody said so. Answers the row, or undefined where nothing changes. */
  async function deploy(
    endpoint: Endpoint,
    version: number,
    { id, by, reason, wished }: Omit<Begin, "supersedes"> & { reason: string },
  ): Promise<RolloutRow | undefined> {
    const tried = await runningRollout(db, endpoint.name);
    if (tried === undefined && (await stableVersions(db)).get(endpoint.name) === version) return undefined;
    // Where somebody says that it is to answer, it may take other requests than what answers now. What is tried is in memory everywhere.
    const isWarm = tried !== undefined && versionsOf(tried).includes(version);
    const failure = await failureOf(endpoint, version, null, { isWarm, wished });
    return commit(endpoint.name, async (transaction, stable) => {
      await on.states.release(transaction, endpoint.name, [version]);
      if (wished === undefined) await dropWishes(transaction, endpoint.name, ["champion", "trial"]);
      else if (!(await wished.take(transaction))) return undefined;
      if (stable === version || (await rolloutExists(transaction, id))) return undefined;
      const row = rowOf(endpoint, { kind: "switch" }, [{ version, weight: 1 }], stable, { id, by });
      if (failure !== undefined) return refuse(transaction, row, failure);
      const running = await runningRollout(transaction, endpoint.name);
      await setStable(transaction, endpoint.name, version);
      if (running !== undefined && versionsOf(running).includes(version)) {
        await end(transaction, { ...running, candidate: version }, "promoted", reason, by);
        return { ...running, candidate: version, state: "promoted" as const, reason, finished_at: clock.now() };
      }
      if (running !== undefined) await end(transaction, running, "superseded", `v${version} was made the champion.`, by);
      return finished(transaction, row, "promoted", stable === null ? "Nothing answered before it." : reason);
    });
  }
  function rowOf(
    endpoint: Endpoint,
    plan: RolloutRow["plan"],
    arms: readonly Share[],
    stable: number | null,
    { id, by }: { id: string; by: string },
  ): Omit<RolloutRow, "state" | "finished_at" | "reason"> {
    const now = clock.now();
    const slots = plan.kind === "shadow" ? [] : reallocate([], arms);
    return {
      ...{
        id,
        endpoint: endpoint.name,
        kind: plan.kind,
        plan,
        candidate: arms[0]?.version ?? 0,
        stable,
        slots,
        weight: weightOf(slots),
        step: 0,
        begun_by: by,
      },
      ...{ started_at: now, step_started_at: now, paused_at: null, result: null, requests: 0, errors: 0 },
    };
  }
  /** A rollout that is over as soon as it begins. */
  async function finished(
    transaction: Transaction<unknown>,
    row: Omit<RolloutRow, "state" | "finished_at" | "reason">,
    state: "promoted" | "rolled_back",
    reason: string,
  ): Promise<RolloutRow> {
    const whole = { ...row, state, finished_at: row.started_at, reason };
    await insertRollout(transaction, whole);
    await tell(transaction, state, whole, reason, row.begun_by);
    return whole;
  }
  /** What can't be loaded gets no traffic, whoever wants it. */
  const refuse = (transaction: Transaction<unknown>, row: Omit<RolloutRow, "state" | "finished_at" | "reason">, failure: string) =>
    finished(transaction, { ...row, slots: [], weight: 0 }, "rolled_back", `It can't answer: ${failure}`);

  /** Has the version in memory everywhere; answers why that is not to be. Throws where the signal ends the wait. */
  async function failureOf(
    endpoint: Endpoint,
    version: number,
    stable: number | null,
    { isWarm = false, wished }: { isWarm?: boolean; wished: Wished | undefined },
  ): Promise<string | undefined> {
    const signal = wished?.signal;
    try {
      await unlessAborted(on.ready(endpoint, version, stable), signal);
      if (!isWarm) await on.states.warm(endpoint.name, version, signal === undefined ? {} : { signal, longestMs: readyMs });
      signal?.throwIfAborted();
      return undefined;
    } catch (error) {
      if (wished?.signal.aborted !== true) return (error as Error).message;
      if (!wished.isHalted()) await commit(endpoint.name, (transaction) => on.states.release(transaction, endpoint.name, [version]));
      throw error;
    }
  }

  async function begin(
    endpoint: Endpoint,
    plan: RolloutSpec,
    arms: readonly Share[],
    { id, by, supersedes, reason, wished }: Begin,
  ): Promise<RolloutRow | undefined> {
    const before = (await stableVersions(db)).get(endpoint.name) ?? null;
    const failures: string[] = [];
    for (const { version } of arms) {
      const failure = await failureOf(endpoint, version, before, { wished });
      if (failure !== undefined) failures.push(arms.length === 1 ? failure : `v${version}: ${failure}`);
    }
    return commit(endpoint.name, async (transaction, stable) => {
      await on.states.release(
        transaction,
        endpoint.name,
        arms.map((arm) => arm.version),
      );
      if (wished === undefined) await dropWishes(transaction, endpoint.name, ["trial"]);
      else if (!(await wished.take(transaction))) return undefined;
      if (arms.some(({ version }) => version === stable) || (await rolloutExists(transaction, id))) return undefined;
      const running = await runningRollout(transaction, endpoint.name);
      if (running !== undefined && running.kind === plan.kind && sameVersions(running, arms)) return undefined;
      if (running !== undefined) await end(transaction, running, "superseded", supersedes, by);
      const row = rowOf(endpoint, plan, arms, stable, { id, by });
      if (failures.length > 0) return refuse(transaction, row, failures.join("; "));
      if (stable === null) {
        await setStable(transaction, endpoint.name, row.candidate);
        return finished(
          transaction,
          { ...row, slots: reallocate([], [{ version: row.candidate, weight: 1 }]), weight: 1 },
          "promoted",
          "Nothing answered before it.",
        );
      }
      const whole: RolloutRow = { ...row, state: "running", finished_at: null, reason: null };
      await insertRollout(transaction, whole);
      await tell(transaction, "started", whole, [reason, beginning(plan, arms)].filter((part) => part !== undefined).join(" "), by);
      return whole;
    });
  }

  // -------------------------------------------------------------------------------------- how it goes on

  async function judge(): Promise<void> {
    await on.settleCounts();
    for (const rollout of await runningRollouts(db)) {
      const endpoint = await on.projects.get("endpoint", rollout.endpoint);
      // Of what is switched off nothing is to be learned.
      if (endpoint === undefined || (await on.states.of(rollout.endpoint))?.killed != null) continue;
      try {
        if (rollout.plan.kind === "experiment") await judgeExperiment(rollout);
        else await judgeOne(rollout);
      } catch (error) {
        log.error({ error, endpoint: endpoint.name }, "a rollout could not be judged; it is tried again at the next tick");
      }
    }
  }

  async function judgeOne(rollout: RolloutRow): Promise<void> {
    const { plan } = rollout;
    const step = stepsOf(plan)[rollout.step];
    if (step === undefined) return;
    const judges: readonly JudgeSpec[] = "judge" in plan ? plan.judge : [];
    const counted = await tallies(db, rollout.id);
    const numbers = numbersOf(counted);
    const found: string[] = [];
    let undecided = false;
    // What happens now, and what may be looked at again and again.
    for (const one of judges) {
      const verdict =
        one.kind === "loss_not_worse"
          ? await labelled.verdict(one, rollout)
          : verdictOf(one, counted.get(rollout.candidate), rollout.stable === null ? undefined : counted.get(rollout.stable));
      if (verdict === undefined) continue;
      if (verdict.failed) return rollBack(rollout, verdict.why, numbers);
      undecided ||= verdict.undecided;
      found.push(verdict.why);
    }
    if (undecided || clock.now().getTime() - rollout.step_started_at.getTime() < durationMs(step.each)) return;
    for (const one of judges.filter((judge): judge is LabelledJudge => judge.kind === "metric_not_worse")) {
      const verdict = await labelled.verdict(one, rollout);
      if (verdict.failed) return rollBack(rollout, verdict.why, numbers);
      if (verdict.undecided) return;
      found.push(verdict.why);
    }
    if (rollout.paused_at !== null) return;
    const why = found.join(" ");
    if (step.hold) {
      // A canary that waits has found nothing yet; a shadow has.
      const result = { winner: rollout.candidate, valid: true, needed: 0, arms: [], why: why || "Its time is over." };
      if (plan.kind === "shadow" && rollout.result === null) await decide(rollout, result, numbers);
      return;
    }
    await goOn(rollout, why, itself, numbers);
  }

  /** To the next step, or behind the last. */
  function goOn(rollout: RolloutRow, why: string, by: string, numbers: Numbers): Promise<RolloutRow | undefined> {
    const next = stepsOf(rollout.plan)[rollout.step + 1];
    return commit(rollout.endpoint, async (transaction) => {
      const now = clock.now();
      if (next === undefined) {
        if (!(await end(transaction, rollout, "promoted", why || "Every step was passed.", by, numbers))) return undefined;
        await setStable(transaction, rollout.endpoint, rollout.candidate);
        return { ...rollout, state: "promoted" as const, reason: why, finished_at: now };
      }
      const slots = reallocate(rollout.slots, [{ version: rollout.candidate, weight: next.weight }]);
      const to = { step: rollout.step + 1, weight: next.weight, slots };
      if (!(await moveRollout(transaction, rollout, to, now))) return undefined;
      await tell(transaction, "advanced", { ...rollout, weight: next.weight }, why, by, numbers);
      return { ...rollout, ...to, step_started_at: now };
    });
  }

  async function judgeExperiment(rollout: RolloutRow): Promise<void> {
    const { plan } = rollout;
    if (plan.kind !== "experiment" || rollout.result !== null || rollout.paused_at !== null) return;
    const come = await countLabels(db, rollout.endpoint, rollout.started_at);
    const looked = lastLooked.get(rollout.id);
    if (come === 0 || (looked !== undefined && (looked.come === come || performance.now() - looked.at < lookAgainMs))) return;
    // Cheaper than to look whose they are.
    const arms = versionsOf(rollout).length;
    if (plan.test === "fixed" && come < neededUnits(plan, arms) * (arms + 1)) return;
    const result = resultOf(rollout, plan, await readUnits(on.serving, rollout, plan));
    lastLooked.clear();
    lastLooked.set(rollout.id, { come, at: performance.now() });
    if (result === undefined) return;
    const numbers = numbersOf(await tallies(db, rollout.id));
    await decide(rollout, result, numbers);
    if (!plan.promote || !result.valid) return;
    await commit(rollout.endpoint, async (transaction) => {
      if (result.winner === null) return void (await end(transaction, rollout, "rolled_back", result.why, itself, numbers));
      if (await end(transaction, { ...rollout, candidate: result.winner }, "promoted", result.why, itself, numbers))
        await setStable(transaction, rollout.endpoint, result.winner);
    });
  }
  /** It is known what there was to find out; what follows from it is for others to say. */
  const decide = (rollout: RolloutRow, result: NonNullable<RolloutRow["result"]>, numbers: Numbers): Promise<void> =>
    db.transaction().execute(async (transaction) => {
      if (await setResult(transaction, rollout.id, result))
        await tell(transaction, "decided", { ...rollout, candidate: result.winner ?? rollout.candidate }, result.why, itself, numbers);
    });

  const rollBack = (rollout: RolloutRow, reason: string, numbers: Numbers, by = itself): Promise<void> =>
    commit(rollout.endpoint, async (transaction) => void (await end(transaction, rollout, "rolled_back", reason, by, numbers)));

  async function end(
    transaction: Transaction<unknown>,
    rollout: RolloutRow,
    state: "promoted" | "rolled_back" | "superseded",
    reason: string,
    by: string,
    numbers: Numbers = {},
  ): Promise<boolean> {
    if (!(await finishRollout(transaction, rollout, state, reason, clock.now()))) return false;
    await tell(transaction, state, rollout, reason, by, numbers);
    return true;
  }
  /** Keeps what happened, and tells whoever listens. */
  async function tell(
    transaction: Transaction<unknown>,
    kind: RolloutEvent["kind"],
    rollout: { id: string; endpoint: string; candidate: number; weight: number },
    reason: string,
    by: string,
    numbers: Numbers = {},
  ): Promise<void> {
    const { id, endpoint, candidate, weight } = rollout;
    await insertEvent(transaction, { endpoint, rollout: id, kind, at: clock.now(), by, version: candidate, weight, reason, numbers });
    await events.append(transaction, `rollout.${kind}`, endpoint, { endpoint, candidate, weight, reason, by });
  }

  /** The registry's aliases follow what the endpoint decided. Other endpoints of the model may still be trying the version. */
  async function tellRegistry({ type, subject, data }: PlatformEvent): Promise<void> {
    const endpoint = await on.projects.get("endpoint", subject);
    if (endpoint === undefined) return;
    const { model } = endpoint.spec;
    const version = Number(data.candidate);
    if (type === "rollout.promoted") await on.registry.setAlias(model, champion, version, subject);
    const trying = (await runningRollouts(db)).flatMap((one) => (versionsOf(one).includes(version) ? [one.endpoint] : []));
    const wishing = await wishedAt(db, version);
    const ofModel = new Set((await endpointsOf(model)).map(({ name }) => name));
    const others = [...trying, ...wishing].some((name) => name !== subject && ofModel.has(name));
    if (!others && (await on.registry.byAlias(model, challenger))?.version === version) await on.registry.deleteAlias(model, challenger);
  }

  // ------------------------------------------------------------------------------------- what people say

  /** A version that can't answer is not begun with, and whoever asked is told why. */
  async function checkReady(endpoint: Endpoint, version: number, stable: number | null): Promise<void> {
    try {
      await on.ready(endpoint, version, stable);
    } catch (error) {
      if (error instanceof ApiError) throw error;
      throw conflict(`v${version} can't answer at the endpoint "${endpoint.name}": ${(error as Error).message}`);
    }
  }

  async function running(name: string, what: string): Promise<RolloutRow> {
    const found = await runningRollout(db, name);
    if (found === undefined) throw conflict(`No rollout of the endpoint "${name}" runs, so there is nothing to ${what}.`);
    return found;
  }
  const asked = (by: string) => `${by} asked for it.`;
  async function setPaused(name: string, paused: boolean, reason: string | undefined, by: string): Promise<RolloutRow> {
    const rollout = await running(name, paused ? "pause" : "resume");
    const at = paused ? clock.now() : null;
    await db.transaction().execute(async (transaction) => {
      if (!(await pauseRollout(transaction, rollout.id, at))) throw conflict(`The rollout of the endpoint "${name}" is ${paused ? "" : "not "}paused.`);
      await tell(transaction, paused ? "paused" : "resumed", rollout, reason ?? asked(by), by);
    });
    return { ...rollout, paused_at: at };
  }

  return {
    judge,
    launch: preparing.launch,
    halt: preparing.halt,
    async start(endpoint, { version, arms, plan: given, reason }, by) {
      if ((version === undefined) === (arms === undefined)) throw invalid("Give either the version that is to be tried, or arms: several with their weights.");
      const own = given ?? endpoint.spec.rollout;
      const plan: RolloutSpec = arms !== undefined && own.kind !== "experiment" ? { kind: "split", weight: arms[0]?.weight ?? 1 } : own;
      if (plan.kind === "experiment" && arms === undefined)
        throw invalid("An experiment has arms: give versions with their weights, or set the aliases that its plan names.");
      const taken = await on.serving.takes(endpoint.name);
      const columns = taken.kind === "features" ? taken.service.request : taken.model.inputs;
      const problems = rolloutProblems(
        { ...endpoint.spec, rollout: plan },
        columns?.map((one) => one.name),
      );
      if (problems.length > 0) throw invalid(problems.join("; "));
      const wanted = arms ?? [{ version: version ?? 0, weight: firstWeight(plan) }];
      checkArms(wanted, plan.kind === "experiment");
      const { name } = endpoint;
      const stable = (await stableVersions(db)).get(name) ?? null;
      if (wanted.some((one) => one.version === stable)) throw conflict(`v${stable} answers at the endpoint "${name}" already.`);
      for (const one of wanted) await checkReady(endpoint, one.version, stable);
      const begun = await begin(endpoint, plan, wanted, { id: newId(), by, supersedes: `${by} began another.`, reason });
      if (begun === undefined) throw conflict(`A rollout of the same versions runs at the endpoint "${name}" already.`);
      return begun;
    },
    async advance({ name }, reason, by) {
      const rollout = await running(name, "advance");
      if (stepsOf(rollout.plan).length === 0)
        throw conflict(`What runs at the endpoint "${name}" is a ${rollout.kind}, which has no steps: promote it, or roll it back.`);
      const moved = await goOn(rollout, reason ?? asked(by), by, numbersOf(await tallies(db, rollout.id)));
      if (moved === undefined) throw conflict(`The rollout of the endpoint "${name}" has gone on meanwhile.`);
      return moved;
    },
    pause: ({ name }, reason, by) => setPaused(name, true, reason, by),
    resume: ({ name }, reason, by) => setPaused(name, false, reason, by),
    async reweigh({ name }, arms, reason, by) {
      const rollout = await running(name, "give other weights to");
      if (rollout.kind !== "split")
        throw conflict(`What runs at the endpoint "${name}" is a ${rollout.kind}, whose weights are its plan's. A split's may be changed.`);
      checkArms(arms, false);
      const strange = arms.find(({ version }) => !versionsOf(rollout).includes(version));
      if (strange !== undefined) throw conflict(`v${strange.version} is no part of the split of the endpoint "${name}": begin another with it.`);
      const slots = reallocate(rollout.slots, arms);
      const weight = weightOf(slots);
      return commit(name, async (transaction) => {
        // As another change of the weights would be.
        const to = { step: rollout.step + 1, weight, slots };
        if (!(await moveRollout(transaction, rollout, to, clock.now()))) throw conflict(`The split of the endpoint "${name}" was changed meanwhile.`);
        const shares = arms.map((arm) => `v${arm.version} ${percent(arm.weight)}`).join(", ");
        await tell(transaction, "reweighted", { ...rollout, weight }, `${reason ?? asked(by)} ${shares}.`, by);
        return { ...rollout, ...to };
      });
    },
    async promote(endpoint, { version, reason }, by) {
      const rollout = await runningRollout(db, endpoint.name);
      const wanted = version ?? rollout?.result?.winner ?? rollout?.candidate;
      if (wanted === undefined) throw invalid(`No rollout of the endpoint "${endpoint.name}" runs: say which version is to answer.`);
      await checkReady(endpoint, wanted, null);
      const done = await deploy(endpoint, wanted, { id: newId(), by, reason: reason ?? asked(by) });
      if (done === undefined) throw conflict(`v${wanted} answers at the endpoint "${endpoint.name}" already.`);
      return done;
    },
    async rollback(endpoint, reason, by) {
      const why = reason ?? asked(by);
      // It is in memory everywhere, so that nothing is waited for; one that was deleted since is none.
      const previous = (await on.states.of(endpoint.name))?.earlier[0];
      if (previous !== undefined && (await runningRollout(db, endpoint.name)) === undefined) await checkReady(endpoint, previous, null);
      return commit(endpoint.name, async (transaction, stable) => {
        await dropWishes(transaction, endpoint.name, ["champion", "trial"]);
        const rollout = await runningRollout(transaction, endpoint.name);
        if (rollout !== undefined) {
          await end(transaction, rollout, "rolled_back", why, by, numbersOf(await tallies(transaction, rollout.id)));
          return { ...rollout, state: "rolled_back" as const, reason: why, finished_at: clock.now() };
        }
        const version = await goBack(transaction, endpoint.name);
        if (version === undefined)
          throw conflict(
            `No rollout of the endpoint "${endpoint.name}" runs, and no other version has answered before. To have another one answer, make it the champion.`,
          );
        const row = rowOf(endpoint, { kind: "switch" }, [{ version, weight: 1 }], stable, { id: newId(), by });
        return finished(transaction, row, "promoted", `Back from v${stable}: ${why}`);
      });
    },
    async kill({ name }, reason, by) {
      await commit(name, async (transaction) => {
        const at = clock.now();
        const why = reason ?? asked(by);
        if (!(await setKilled(transaction, name, { at, by, reason: why }))) throw conflict(`The endpoint "${name}" is killed already.`);
        await insertEvent(transaction, { endpoint: name, rollout: null, kind: "killed", at, by, version: null, weight: null, reason: why, numbers: {} });
        await events.append(transaction, "endpoint.killed", name, { endpoint: name, by, reason: why });
      });
    },
    async revive({ name }, reason, by) {
      await commit(name, async (transaction) => {
        const why = reason ?? asked(by);
        if (!(await setKilled(transaction, name, null))) throw conflict(`The endpoint "${name}" is not killed.`);
        await insertEvent(transaction, {
          endpoint: name,
          rollout: null,
          kind: "revived",
          at: clock.now(),
          by,
          version: null,
          weight: null,
          reason: why,
          numbers: {},
        });
        await events.append(transaction, "endpoint.revived", name, { endpoint: name, by, reason: why });
      });
    },
  };
}

/** Goes on without what was begun where the signal says so. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

function firstWeight(plan: RolloutSpec): number {
  if (plan.kind === "split") return plan.weight;
  return stepsOf(plan)[0]?.weight ?? 0;
}
const weightOf = (slots: readonly Slot[]): number => Number(slots.reduce((sum, slot) => sum + slot.to - slot.from, 0).toFixed(9));
const versionsOf = (rollout: Pick<RolloutRow, "candidate" | "slots">): number[] => [
  ...new Set([rollout.candidate, ...rollout.slots.map((slot) => slot.version)]),
];
function sameVersions(rollout: RolloutRow, arms: readonly Share[]): boolean {
  const versions = versionsOf(rollout);
  return versions.length === arms.length && arms.every(({ version }) => versions.includes(version));
}
function checkArms(arms: readonly Share[], isExperiment: boolean): void {
  const whole = arms.reduce((sum, { weight }) => sum + weight, 0);
  if (new Set(arms.map(({ version }) => version)).size < arms.length) throw invalid("A version is named twice.");
  if (whole > 1 + 1e-9) throw invalid(`The weights are ${percent(whole)} together: 100% is the most.`);
  if (isExperiment && whole >= 1) throw invalid("The arms have all of the traffic: the stable version, the control, needs a part too.");
}
function beginning(plan: RolloutSpec, arms: readonly Share[]): string {
  const step = stepsOf(plan)[0];
  switch (plan.kind) {
    case "canary":
      return `${percent(step?.weight ?? 0)} of the traffic for at least ${step?.each}.`;
    case "blue_green":
      return `All of the traffic, watched for ${plan.watch}.`;
    case "shadow":
      return `A copy of ${percent(plan.share)} of the requests for at least ${plan.each}.`;
    case "split":
      return `${arms.map((arm) => `v${arm.version} ${percent(arm.weight)}`).join(", ")} of the traffic until somebody decides.`;
    case "experiment":
      return `${arms.map((arm) => `v${arm.version} ${percent(arm.weight)}`).join(", ")} of the traffic; ${
        plan.test === "fixed" ? `the result comes with ${neededUnits(plan, arms.length)} labelled keys of each` : "looked at with each label"
      }.`;
  }
}
/** By version, what is worth keeping with a decision. */
function numbersOf(counted: Map<number, Tally>): Numbers {
  return Object.fromEntries(
    [...counted].map(([version, { requests, errors, rows, latency, compared, agreed, difference, dropped }]) => [
      `v${version}`,
      {
        ...{ requests, errors, rows, p50_ms: rounded(quantile(latency, 0.5)), p99_ms: rounded(quantile(latency, 0.99)) },
        ...(compared + dropped > 0 ? { compared, agreed, mean_difference: compared === 0 ? null : rounded(difference / compared), dropped } : {}),
      },
    ]),
  );
}
const rounded = (value: number | null): number | null => (value === null ? null : Number(value.toPrecision(4)));
