/** Which version answers a request. */
import type { EndpointSpec } from "@millrace/sdk/spec";
import { ApiError, invalid, type Log } from "../platform/index.js";
import type { Asked, Ran } from "./asked.js";
import type { GivenTensor } from "./given.js";
import { placeOf, versionAt } from "./rollouts/assignment.js";
import type { Tallies } from "./rollouts/tally.js";
import type { RunningRollout, States } from "./states.js";

export interface Routed {
  version: number;
  route: string;
  ran: Ran;
  /** The rollout that asks for a copy of the request for its candidate. */
  copyFor?: RunningRollout;
}
/** The kill switch is on: no version is to be asked. */
export const killed = "killed";

export interface Routing {
  /** Answers `killed` where no version may answer. Throws a 503 where there is none. */
  route(
    endpoint: { name: string; spec: Pick<EndpointSpec, "model"> },
    asked: Asked,
    of: { id: string; key: string | undefined; version: number | undefined },
  ): Promise<Routed | typeof killed>;
}

export function openRouting({ states, tallies, log }: { states: States; tallies: Tallies; log: Log }): Routing {
  return {
    async route({ name, spec }, asked, { id, key, version: pinned }) {
      const state = await states.of(name);
      if (state?.killed != null) return killed;
      if (pinned !== undefined) return { version: pinned, route: "pinned", ran: await asked.run(pinned) };
      const stable = state?.stable ?? null;
      if (stable === null) throw notDeployed(name, spec.model);
      const rollout = state?.rollout ?? null;
      if (rollout === null) return { version: stable, route: "stable", ran: await asked.run(stable) };

      const run = async (version: number): Promise<Ran> => {
        const began = performance.now();
        const ran = await asked.run(version);
        tallies.answered(rollout.id, version, performance.now() - began, ran);
        return ran;
      };
      const experiment = rollout.kind === "experiment";
      // Which keys are tried is drawn anew for each rollout, so that it is not always the same ones.
      const version = versionAt(rollout.slots, placeOf(`${rollout.id}/${key ?? id}`)) ?? stable;
      if (version === stable) {
        const ran = await run(stable);
        const copied = rollout.kind === "shadow" && placeOf(`${rollout.id}/copy/${id}`) < rollout.share;
        return { version: stable, route: experiment ? "control" : "stable", ran, ...(copied ? { copyFor: rollout } : {}) };
      }
      try {
        return { version, route: experiment ? "arm" : "candidate", ran: await run(version) };
      } catch (error) {
        // Nobody who asks pays for a trial. What the stable version can't answer either is the request's fault.
        const ran = await asked.run(stable);
        tallies.failed(rollout.id, version);
        log.warn({ endpoint: name, version, reason: (error as Error).message }, "the candidate failed a request; the stable version answers it");
        return { version: stable, route: "fallback", ran };
      }
    },
  };
}

export const notDeployed = (name: string, model: string): ApiError =>
  new ApiError(503, "NOT_DEPLOYED", `The endpoint "${name}" has no version to answer with yet: register one of "${model}" by running its pipeline.`);

/** The key of a request: the one that it names, or the values of these columns, which are the same in all its rows. */
export function keyOf(named: string | undefined, columns: readonly string[] | undefined, inputs: readonly GivenTensor[]): string | undefined {
  if (named !== undefined || columns === undefined) return named;
  const parts = columns.map((column) => {
    const tensor = inputs.find((one) => one.name === column);
    if (tensor === undefined) throw invalid(`The input "${column}" is missing: requests to this endpoint are told apart by it.`);
    const [first, ...rest] = tensor.values(tensor.shape.reduce((product, size) => product * size, 1));
    if (rest.some((value) => value !== first))
      throw invalid(
        `The input "${column}" has several values, and the same value is always answered by the same version: send a request for each, or name a key for all of them.`,
      );
    return first ?? null;
  });
  return parts.length === 1 ? String(parts[0]) : JSON.stringify(parts);
}
