import { setTimeout as delay } from "node:timers/promises";
import type { SweepDetail, SweepRun, SweepStart, Trial } from "@millrace/sdk/api";
import { ApiError, type Client } from "@millrace/sdk/client";
import type { ParamSpec, SearchRange } from "@millrace/sdk/spec";
import { CliError, exit } from "../errors.js";
import { throughRestarts } from "../follow.js";
import { print, printJson, table, tell, time } from "../output.js";
import { connect, isNotFound, type ServerOptions } from "../server.js";
import { parseParams } from "./run.js";

export interface SweepOptions extends ServerOptions {
  over: string[];
  search?: "grid" | "random" | "bayesian";
  trials?: number;
  atOnce?: number;
  metric?: string;
  maximize?: boolean;
  minimize?: boolean;
  seed?: number;
  stop?: "asha" | "median";
  maxFailed?: number;
  param: string[];
  wait?: boolean;
  json?: boolean;
}

export async function sweep(name: string, options: SweepOptions): Promise<void> {
  const client = connect(options);
  const started = await client.sweeps.start(await startOf(client, name, options));
  if (!options.wait) return options.json ? printJson(started) : print(`${started.id}: ${line(started)}\nFollow it with: millrace sweeps ${started.id} --wait`);
  if (!options.json) print(`sweep ${started.id}`);
  await end(await follow(client, started.id, options.json === true), options.json === true);
}

async function startOf(client: Client, name: string, options: SweepOptions): Promise<SweepStart> {
  const { search, trials, atOnce, metric, minimize, seed, stop, maxFailed } = options;
  const common: SweepStart = {
    ...(search === undefined ? {} : { search }),
    ...(trials === undefined ? {} : { trials }),
    ...(atOnce === undefined ? {} : { atOnce }),
    ...(seed === undefined ? {} : { seed }),
    ...(maxFailed === undefined ? {} : { maxFailed }),
    ...(stop === undefined ? {} : { stop: { kind: stop } }),
    ...(metric === undefined ? {} : { goal: { metric, direction: minimize ? "minimize" : "maximize" } }),
  };
  const pipeline = await client.pipelines.get(name).catch((error: unknown) => {
    if (error instanceof ApiError && isNotFound(error)) return undefined;
    throw error;
  });
  const declared = pipeline?.spec.params ?? [];
  if (options.over.length > 0) common.over = Object.fromEntries(options.over.map((one) => parseRange(one, declared)));
  if (options.param.length > 0) common.params = parseParams(declared, options.param);
  // A name without values to try is a defined sweep's, even where a pipeline has it too.
  if (pipeline === undefined || options.over.length === 0) return { ...common, sweep: name };
  if (metric === undefined) throw new CliError("Say what is to be best: --metric auc, and --minimize where small is good.", exit.usage);
  return { search: "random", ...common, pipeline: name };
}

/** `depth=3..8`, `depth=2..16/2`, `lr=log:0.001..0.3`, `rate=0.1..0.5/5`, `kind=tree,linear` */
export function parseRange(text: string, declared: readonly ParamSpec[]): [string, SearchRange] {
  const at = text.indexOf("=");
  if (at < 1) throw new CliError(`"${text}" names no values: write --over depth=3..8, lr=log:0.001..0.3 or kind=tree,linear.`, exit.usage);
  const [name, values] = [text.slice(0, at), text.slice(at + 1)];
  const param = declared.find((one) => one.name === name);
  const number = "-?[0-9.]+(?:e[+-]?[0-9]+)?";
  const range = new RegExp(`^(log:)?(${number})\\.\\.(${number})(?:/([0-9.]+))?$`, "i").exec(values);
  if (range === null) {
    const list = values.split(",").filter((value) => value !== "");
    if (list.length === 0) throw new CliError(`"${text}" names no values.`, exit.usage);
    return [name, { kind: "choice", values: list.map((value) => parseParams(declared, [`${name}=${value}`])[name] ?? value) }];
  }
  const [, log, from, to, part] = range;
  const ends = { from: Number(from), to: Number(to), ...(log === undefined ? {} : { log: true }) };
  const whole = param === undefined ? Number.isInteger(ends.from) && Number.isInteger(ends.to) : param.type === "int";
  if (whole) return [name, { kind: "int", ...ends, ...(part === undefined ? {} : { step: Number(part) }) }];
  return [name, { kind: "float", ...ends, ...(part === undefined ? {} : { points: Number(part) }) }];
}

async function follow(client: Client, id: string, quiet: boolean): Promise<SweepDetail> {
  const say = quiet ? tell : print;
  const told = new Map<number, string>();
  for (let pause = 200; ; ) {
    const now = await throughRestarts(say, () => client.sweeps.get(id));
    let news = false;
    for (const trial of now.trials) {
      if (told.get(trial.n) === trial.state) continue;
      told.set(trial.n, trial.state);
      news = true;
      say(
        `trial ${trial.n}: ${trial.state}${trial.value === null ? "" : ` ${now.goal.metric} ${rounded(trial.value)}`}  ${params(trial)}${trial.message === null ? "" : `  (${trial.message.split("\n")[0]})`}`,
      );
    }
    if (now.state !== "running" && now.progress.running === 0) return now;
    pause = news ? 200 : Math.min(1.5 * pause, 2_000);
    await delay(pause);
  }
}
async function end(ended: SweepDetail, json: boolean): Promise<void> {
  if (json) printJson(ended);
  else print(line(ended));
  process.exitCode = ended.state === "succeeded" ? exit.ok : ended.state === "cancelled" ? exit.cancelled : exit.failed;
}

export async function sweeps(
  id: string | undefined,
  options: ServerOptions & { json?: boolean; wait?: boolean; do?: "pause" | "resume" | "cancel" },
): Promise<void> {
  const client = connect(options);
  if (id === undefined) {
    if (options.do !== undefined || options.wait) throw new CliError("Say which sweep: millrace sweeps <id>.", exit.usage);
    const { items } = await client.sweeps.list({ limit: 20 });
    if (options.json) return printJson(items);
    if (items.length === 0) return print("There are no sweeps yet. Start one with: millrace sweep <pipeline> --over depth=3..8 --metric auc");
    return print(
      table(
        ["sweep", "pipeline", "search", "begun", "state"],
        items.map((one) => [one.id, one.pipeline, one.search, time(one.createdAt), line(one)]),
      ),
    );
  }
  if (options.do !== undefined) {
    const changed = await client.sweeps[options.do](id);
    return options.json ? printJson(changed) : print(line(changed));
  }
  if (options.wait) return end(await follow(client, id, options.json === true), options.json === true);
  const found = await client.sweeps.get(id);
  if (options.json) return printJson(found);
  print(`${found.pipeline}: ${line(found)}`);
  const names = Object.keys(found.over);
  const rows = found.trials.map((trial) => [
    String(trial.n),
    trial.state,
    trial.value === null ? "-" : rounded(trial.value),
    ...names.map((name) => rounded(trial.params[name])),
    trial.runId,
  ]);
  print(table(["trial", "state", found.goal.metric, ...names, "run"], rows));
}

const rounded = (value: Trial["params"][string] | undefined): string =>
  typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value ?? "-");
const params = (trial: Trial): string =>
  Object.entries(trial.params)
    .map(([name, value]) => `${name}=${rounded(value)}`)
    .join(" ");
function line({ state, message, progress, best, goal }: SweepRun): string {
  const { total, ...counts } = progress;
  const parts = Object.entries(counts).flatMap(([name, n]) => (n === 0 ? [] : [`${n} ${name}`]));
  const top = best === null || best.value === null ? "" : `; best ${goal.metric} ${rounded(best.value)} of trial ${best.n}: ${params(best)}`;
  return `${state}: ${parts.join(", ") || "no trial yet"} of ${total}${top}${message === null ? "" : `. ${message}`}`;
}
