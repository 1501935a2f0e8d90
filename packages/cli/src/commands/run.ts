import type { Run, RunDetail, Step } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import type { ParamSpec } from "@millrace/sdk/spec";
import { CliError, type Exit, exit } from "../errors.js";
import { duration, metrics, print, printJson, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export interface RunOptions extends ServerOptions {
  param: string[];
  wait?: boolean;
  json?: boolean;
}
const over: Partial<Record<Run["state"], Exit>> = { succeeded: exit.ok, failed: exit.failed, refused: exit.refused, cancelled: exit.cancelled };

export async function run(pipeline: string, options: RunOptions): Promise<void> {
  const client = connect(options);
  const { spec } = await client.pipelines.get(pipeline);
  const params = parseParams(spec.params, options.param);
  const started = await client.pipelines.start(pipeline, params);
  if (!options.wait) {
    if (options.json) printJson(started);
    else print(`${started.id} is ${started.state}. Follow it with: millrace runs ${pipeline}`);
    return;
  }
  if (!options.json) print(`run ${started.id}`);
  const ended = await follow(client, started.id, options.json ? tell : print);
  if (options.json) printJson(ended);
  else print(outcome(ended));
  process.exitCode = over[ended.state] ?? exit.failed;
}

function outcome(run: RunDetail): string {
  const facts = [run.modelVersion === null ? undefined : `registered ${run.modelVersion}`, metrics(run.metrics) || undefined, run.message ?? undefined];
  return [`${run.state} after ${duration(run.durationMs)}`, ...facts.filter((fact) => fact !== undefined)].join("\n  ");
}

/** Values as the params' types say. What is wrong beyond that, the server tells. */
export function parseParams(declared: readonly ParamSpec[], given: readonly string[]): Record<string, string | number | boolean> {
  const values: Record<string, string | number | boolean> = {};
  for (const one of given) {
    const at = one.indexOf("=");
    if (at < 1) throw new CliError(`"${one}" is no param: write --param name=value.`, exit.usage);
    const [name, text] = [one.slice(0, at), one.slice(at + 1)];
    const type = declared.find((param) => param.name === name)?.type;
    const isNumber = text.trim() !== "" && Number.isFinite(Number(text));
    if ((type === "int" || type === "float") && isNumber) values[name] = Number(text);
    else if (type === "boolean" && (text === "true" || text === "false")) values[name] = text === "true";
    else values[name] = text;
  }
  return values;
}

/** Tells what the run's steps do and say, until it is over. */
async function follow(client: Client, id: string, say: (line: string) => void): Promise<RunDetail> {
  const seen = new Map<string, { state: Step["state"]; lines: number }>();
  let quiet = 0;
  for (;;) {
    const run = await client.runs.get(id);
    let news = false;
    for (const step of run.steps) {
      const before = seen.get(step.id) ?? { state: "waiting", lines: 0 };
      seen.set(step.id, before);
      if (step.state === "waiting") continue;
      const log =
        step.state === "running" || before.state !== step.state ? await readLog(client, id, step.id, before.lines) : { lines: [], next: before.lines };
      for (const line of log.lines) say(`${step.id} | ${line}`);
      news ||= log.lines.length > 0 || before.state !== step.state;
      if (before.state !== step.state) say(`${step.id}: ${step.state}${describe(step)}`);
      before.state = step.state;
      before.lines = log.next;
    }
    if (over[run.state] !== undefined) return run;
    // Looked at often while things happen, seldom while nothing does.
    quiet = news ? 0 : quiet + 1;
    await new Promise((resolve) => setTimeout(resolve, Math.min(200 + quiet * 100, 2_000)));
  }
}

async function readLog(client: Client, run: string, step: string, from: number): Promise<{ lines: string[]; next: number }> {
  const lines: string[] = [];
  for (let next = from; ; ) {
    const page = await client.runs.log(run, step, next);
    lines.push(...page.lines.map((line) => line.text));
    if (page.lines.length === 0 || page.next === next) return { lines, next: page.next };
    next = page.next;
  }
}

function describe(step: Step): string {
  const facts = [];
  if (step.attempt > 1) facts.push(`attempt ${step.attempt}`);
  if (step.durationMs !== null && step.state !== "cached") facts.push(duration(step.durationMs));
  if (step.cachedFrom !== null) facts.push(`from run ${step.cachedFrom}`);
  return `${facts.length === 0 ? "" : ` (${facts.join(", ")})`}${step.error === null ? "" : `: ${step.error}`}`;
}
