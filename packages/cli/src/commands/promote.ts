import { setTimeout as delay } from "node:timers/promises";
import type { Decision, Environment, Held, Promotion, PromotionDetail, PromotionStart } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import { CliError, exit } from "../errors.js";
import { print, printJson, table, tell, time } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

type Options = ServerOptions & { json?: boolean };
export interface PromoteOptions extends Options {
  to: string;
  project?: string;
  reason?: string;
  wait?: boolean;
}
const lookMs = 500;

/** `what` is a release, or a model's version as `delay/3`. */
export async function promote(what: string, options: PromoteOptions): Promise<void> {
  const client = connect(options);
  const started = await client.promotions.start({ ...subjectOf(what), environment: options.to, ...given(options) });
  await follow(client, started, options);
}
function given({ project, reason }: { project?: string; reason?: string }): Pick<PromotionStart, "project" | "reason"> {
  return { ...(project === undefined ? {} : { project }), ...(reason === undefined ? {} : { reason }) };
}
function subjectOf(what: string): Pick<PromotionStart, "release" | "model" | "version"> {
  if (/^sha256:[0-9a-f]{6,64}$/.test(what)) return { release: what };
  const [, model, version] = /^(.+)[/@]([1-9][0-9]{0,8})$/.exec(what) ?? [];
  if (model === undefined) throw new CliError(`"${what}" is neither a release (sha256:…) nor a model's version (delay/3).`, exit.usage);
  return { model, version: Number(version) };
}

/** With `wait` to its end, which is the command's: 3 where a gate or a person said no. */
async function follow(client: Client, started: Promotion, { wait, json }: { wait?: boolean; json?: boolean }): Promise<void> {
  if (!wait) {
    if (json) return printJson(started);
    return print(`${wordsOf(started)} for ${started.environment}: ${started.id}\n  millrace promotion show ${started.id}`);
  }
  let told = 0;
  let waited: string | null = null;
  for (;;) {
    const now = await client.promotions.get(started.id);
    if (!json) for (const decision of now.decisions.slice(told)) tell(decisionLine(decision));
    told = now.decisions.length;
    if (now.finishedAt !== null) return ended(now, json);
    if (!json && now.message !== null && now.message !== waited) tell(now.message);
    waited = now.message;
    await delay(lookMs);
  }
}
function ended(promotion: PromotionDetail, json: boolean | undefined): void {
  if (json) printJson(promotion);
  else print(`${wordsOf(promotion)} is ${promotion.state === "deployed" ? `in ${promotion.environment}` : promotion.state}.`);
  if (promotion.state === "refused") process.exitCode = exit.refused;
  else if (promotion.state === "cancelled" || promotion.state === "superseded") process.exitCode = exit.cancelled;
  else if (promotion.state !== "deployed") process.exitCode = exit.failed;
}

export async function list(options: Options & { project?: string; environment?: string; open?: boolean; limit: number }): Promise<void> {
  const { project, environment, open, limit } = options;
  const query = { ...given({ ...(project === undefined ? {} : { project }) }), ...(environment === undefined ? {} : { environment }) };
  const { items } = await connect(options).promotions.list({ ...query, limit, ...(open ? { state: "open" } : {}) });
  if (options.json) return printJson(items);
  if (items.length === 0) return print("There are no promotions. Ask for one: millrace promote <release or model/version> --to <environment>");
  const rows = items.map((one) => [
    one.id,
    `${one.project}/${one.environment}`,
    wordsOf(one),
    one.state,
    one.requestedBy,
    time(one.requestedAt),
    one.finishedAt === null ? (one.message ?? "-") : "-",
  ]);
  print(table(["promotion", "environment", "what", "state", "by", "asked for", "waits for"], rows));
}

export async function show(id: string, options: Options): Promise<void> {
  const found = await connect(options).promotions.get(id);
  if (options.json) return printJson(found);
  const by = `asked for by ${found.requestedBy}${found.authors.length === 0 ? "" : `, authors ${found.authors.join(", ")}`}`;
  print(`${wordsOf(found)} for ${found.project}/${found.environment}: ${found.state}${found.message === null ? "" : `. ${found.message}`}\n  ${by}\n`);
  print(found.decisions.map(decisionLine).join("\n"));
}
function decisionLine({ at, by, kind, gate, passed, message, evidence }: Decision): string {
  const what = gate === null ? kind : `${passed ? "passed" : "FAILED"}: ${gate}`;
  const proof = evidence.map((one) => `\n    ${one.what}: ${one.digest}`).join("");
  return `${time(at)}  ${by}  ${what}. ${message}${proof}`;
}

export async function answer(id: string, what: "approve" | "reject" | "cancel", options: Options & { comment?: string }): Promise<void> {
  const answered = await connect(options).promotions.answer(id, what, options.comment);
  if (options.json) return printJson(answered);
  const waits = answered.finishedAt === null && answered.message !== null ? ` ${answered.message}` : "";
  print(`${wordsOf(answered)} for ${answered.environment} is ${what === "approve" ? "approved" : answered.state}.${waits}`);
}

export async function environments(project: string | undefined, options: Options): Promise<void> {
  const { items } = await connect(options).environments.list(project);
  if (options.json) return printJson(items);
  if (items.length === 0) return print("There are no projects yet.");
  print(table(["environment", "where", "holds", "asks for", "open"], items.map(environmentRow)));
}
function environmentRow({ project, name, spec, serves, holds, closed }: Environment): string[] {
  const asks = [
    ...(spec.gates.length === 0 ? [] : [`${spec.gates.length} ${spec.gates.length === 1 ? "gate" : "gates"}`]),
    ...(spec.approvals === undefined ? [] : [`${spec.approvals.count} ${spec.approvals.count === 1 ? "approval" : "approvals"}`]),
  ];
  const held = holds.map(heldWords);
  return [
    `${project}/${name}`,
    spec.server?.url ?? (serves ? "this server, which serves it" : "this server"),
    held.length === 0 ? "-" : held.join(", "),
    asks.length === 0 ? "-" : asks.join(", "),
    closed ?? "yes",
  ];
}
const heldWords = ({ release, model, version }: Held): string => (release === null ? `${model}/${version}` : release.slice(0, 19));
const wordsOf = ({ release, model, version }: Promotion): string => (release === null ? `${model}/${version}` : `the release ${release.slice(0, 19)}`);

export interface RollbackOptions extends Options {
  project?: string;
  model?: string;
  reason: string;
  wait?: boolean;
}
export async function rollback(environment: string, options: RollbackOptions): Promise<void> {
  const client = connect(options);
  const project = options.project ?? (await onlyProject(client, environment));
  const { model, reason } = options;
  const started = await client.environments.rollback(project, environment, { reason, ...(model === undefined ? {} : { model }) });
  await follow(client, started, options);
}
async function onlyProject(client: Client, environment: string): Promise<string> {
  const { items } = await client.environments.list();
  const [found, another] = items.filter((one) => one.name === environment && one.holds.length > 0);
  if (found === undefined) throw new CliError(`No environment "${environment}" holds anything.`);
  if (another !== undefined) throw new CliError(`Several projects have an environment "${environment}": say which with --project.`, exit.usage);
  return found.project;
}
