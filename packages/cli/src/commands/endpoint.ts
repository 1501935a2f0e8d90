import type { Endpoint, Rollout } from "@millrace/sdk/api";
import { count, print, printJson, table, time } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

type Reasoned = ServerOptions & { json?: boolean; reason?: string };
export type StartOptions = Reasoned & { arm: { version: number; weight: number }[] };
const because = ({ reason }: Reasoned) => (reason === undefined ? {} : { reason });

export async function show(name: string, options: ServerOptions & { json?: boolean; limit: number }): Promise<void> {
  const { endpoints } = connect(options);
  const [endpoint, { items }] = await Promise.all([endpoints.get(name), endpoints.history(name, { limit: options.limit })]);
  if (options.json) return printJson({ endpoint, history: items });
  print(answering(endpoint));
  if (endpoint.rollout?.state === "running") print(trying(endpoint.rollout));
  if (endpoint.preparing.length > 0) print(`${endpoint.preparing.map((version) => `v${version}`).join(" and ")} is being made ready, and begins then.`);
  if (endpoint.earlier.length > 0) print(`A rollback goes to v${endpoint.earlier[0]}.`);
  if (items.length === 0) return;
  print("");
  print(
    table(
      ["when", "what", "version", "traffic", "by", "why"],
      items.map((one) => [
        time(one.at),
        one.kind.replace("_", " "),
        one.version === null ? "-" : `v${one.version}`,
        one.weight === null ? "-" : percent(one.weight),
        ...[one.by, one.reason],
      ]),
    ),
  );
}
function answering({ name, stable, killed, predictions, errors, latency }: Endpoint): string {
  if (killed !== null) return `${name} is switched off since ${time(killed.at)} by ${killed.by}: ${killed.reason}`;
  const p99 = latency.p99Ms === null ? "" : `, p99 ${latency.p99Ms.toFixed(1)} ms`;
  return stable === null
    ? `${name} has no version to answer with yet.`
    : `${name} answers with v${stable}: ${count(predictions)} predictions, ${count(errors)} errors${p99}.`;
}
function trying({ kind, arms, candidate, step, steps, pausedAt, requests, errors, result }: Rollout): string {
  const who = arms.length === 0 ? `v${candidate} gets copies` : arms.map((one) => `v${one.version} has ${percent(one.weight)}`).join(", ");
  const where = steps > 1 ? `, step ${step + 1} of ${steps}` : "";
  const state = `${kind.replace("_", "-")}: ${who}${where}${pausedAt === null ? "" : ", paused"}; ${count(requests)} requests, ${count(errors)} failed.`;
  return result === null ? state : `${state}\n${result.why}`;
}
const percent = (share: number): string => `${Number((share * 100).toFixed(2))}%`;

export async function start(name: string, version: number | undefined, options: StartOptions): Promise<void> {
  const { arm: arms } = options;
  tellStarted(
    await connect(options).endpoints.try(name, { ...(version === undefined ? {} : { version }), ...(arms.length === 0 ? {} : { arms }), ...because(options) }),
    options,
  );
}
export async function weights(name: string, options: StartOptions): Promise<void> {
  tellStarted(await connect(options).endpoints.weights(name, { arms: options.arm, ...because(options) }), options);
}
function tellStarted(rollout: Rollout, options: Reasoned): void {
  if (options.json) printJson(rollout);
  else if (rollout.state === "rolled_back") print(rollout.reason ?? "It can't answer.");
  else print(trying(rollout));
}

export async function move(name: string, act: "pause" | "resume" | "advance" | "promote" | "rollback", options: Reasoned, version?: number): Promise<void> {
  const { endpoints } = connect(options);
  const rollout = await endpoints[act](name, { ...(version === undefined ? {} : { version }), ...because(options) });
  if (options.json) printJson(rollout);
  else print(rollout.state === "running" ? trying(rollout) : answering(await endpoints.get(name)));
}

export async function setKilled(name: string, act: "kill" | "revive", options: Reasoned): Promise<void> {
  const endpoint = await connect(options).endpoints[act](name, because(options));
  if (options.json) printJson(endpoint);
  else print(answering(endpoint));
}
