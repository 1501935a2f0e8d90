import { readFile } from "node:fs/promises";
import type { Explanation, RunDetail, RunStart } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import type { ParamSpec, ParamValue } from "@millrace/sdk/spec";
import { CliError, exit } from "../errors.js";
import { follow, over, readLog, type Told } from "../follow.js";
import { duration, metrics, print, printJson, table, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export interface RunOptions extends ServerOptions {
  param: string[];
  params?: string;
  explain?: boolean;
  resume?: string;
  from?: string;
  of?: string;
  cache: boolean;
  wait?: boolean;
  json?: boolean;
}

export async function run(pipeline: string, options: RunOptions): Promise<void> {
  if (options.of !== undefined && options.from === undefined)
    throw new CliError("--of names the run that --from takes steps from: say --from <step> too.", exit.usage);
  if (options.resume !== undefined && options.from !== undefined) throw new CliError("Give --resume or --from, not both.", exit.usage);
  const client = connect(options);
  const params = await paramsOf(client, pipeline, options);
  const { resume, from, of } = options;
  const more: Omit<RunStart, "params"> = {
    ...(resume === undefined ? {} : { resume }),
    ...(from === undefined ? {} : { from }),
    ...(of === undefined ? {} : { of }),
    ...(options.cache ? {} : { cache: false }),
  };
  if (options.explain) {
    const explained = await client.pipelines.explain(pipeline, params, more);
    return options.json ? printJson(explained) : print(explanation(explained));
  }
  const started = await client.pipelines.start(pipeline, params, more);
  if (!options.wait) {
    if (options.json) printJson(started);
    else print(`${started.id} is ${started.state}. Follow it with: millrace logs ${started.id} --follow`);
    return;
  }
  if (!options.json) print(`run ${started.id}`);
  await toEnd(client, started.id, options.json === true);
}

/** Follows a run, says how it ended, and makes that the command's exit code. */
async function toEnd(client: Client, id: string, json: boolean): Promise<void> {
  const { told, done } = json ? { told: { say: tell }, done: () => {} } : terminal();
  const ended = await follow(client, id, told).finally(done);
  if (json) printJson(ended);
  else print(await outcome(client, ended));
  process.exitCode = over[ended.state] ?? exit.failed;
}

/** On a terminal the last line says what runs now. */
export function terminal(): { told: Told; done(): void } {
  if (!process.stdout.isTTY) return { told: { say: print }, done: () => {} };
  let status = "";
  const clear = "\r\u001b[K";
  const show = () => void process.stdout.write(`${clear}${status.slice(0, Math.max(20, (process.stdout.columns ?? 80) - 1))}`);
  return {
    told: {
      say(line) {
        process.stdout.write(`${clear}${line}\n`);
        show();
      },
      now(line) {
        status = line;
        show();
      },
    },
    done: () => void process.stdout.write(clear),
  };
}

async function outcome(client: Client, run: RunDetail): Promise<string> {
  const facts = [run.modelVersion === null ? undefined : `registered ${run.modelVersion}`, metrics(run.metrics) || undefined, run.message?.split("\n")[0]];
  const lines = [[`${run.state} after ${duration(run.durationMs)}`, ...facts.filter((fact) => fact !== undefined)].join("\n  ")];
  // Of a map that failed, the step of an item that did.
  const failed = run.steps.find((step) => step.state === "failed" && step.kind !== "map") ?? run.steps.find((step) => step.state === "failed");
  if (failed !== undefined) {
    const { lines: said } = await readLog(client, run.id, failed.id, 0).catch(() => ({ lines: [] as string[] }));
    if (said.length > 0) lines.push(`\nThe last lines of ${failed.id}:`, ...said.slice(-15).map((line) => `  ${line}`));
    if (processes.has(failed.kind)) lines.push(`\nrun it again here with: millrace debug ${run.id} ${word(failed.id)}`);
    lines.push(`go on after a repair with: millrace run ${run.pipeline} --resume ${run.id} --wait`);
  }
  return lines.join("\n");
}

/** What the server does itself can't be run elsewhere. */
const processes = new Set(["python", "command", "typescript"]);
/** Items of maps have brackets, which shells read. */
const word = (id: string): string => (/^[\w.-]+$/.test(id) ? id : `'${id}'`);

const does: Record<Explanation["steps"][number]["does"], string> = {
  run: "runs",
  reuse: "is reused",
  skip: "is skipped",
  ask: "asks",
  unknown: "is not known",
};
function explanation({ steps }: Explanation): string {
  const rows = steps.map((step) => [step.id, does[step.does], step.reason]);
  // A map does nothing itself: the steps of its items are counted one by one.
  const own = steps.filter((step) => step.kind !== "map");
  const running = own.filter((step) => step.does === "run").length;
  return `${table(["step", "", "why"], rows)}\n${running === 0 ? "nothing would run" : `${running} of ${own.length} would run`}`;
}

/** From the file, and over it what stands in the command. What the types are is asked only where values are given as text. */
async function paramsOf(client: Client, pipeline: string, { params: file, param }: RunOptions): Promise<Record<string, ParamValue>> {
  const given = file === undefined ? {} : await readParams(file);
  if (param.length === 0) return given;
  const { spec } = await client.pipelines.get(pipeline);
  return { ...given, ...parseValues(spec.params, param) };
}

async function readParams(file: string): Promise<Record<string, ParamValue>> {
  const text = await readFile(file, "utf8");
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch (error) {
    throw new CliError(`${file} is no JSON: ${error instanceof Error ? error.message : String(error)}`, exit.usage);
  }
  if (typeof values !== "object" || values === null || Array.isArray(values))
    throw new CliError(`${file} holds no object of params by name, as {"depth": 6}.`, exit.usage);
  for (const [name, value] of Object.entries(values)) {
    const plain = (one: unknown) => typeof one === "string" || typeof one === "number";
    if (!plain(value) && typeof value !== "boolean" && !(Array.isArray(value) && value.every(plain)))
      throw new CliError(
        `"${name}" in ${file} is ${JSON.stringify(value)?.slice(0, 100)}: a param is a text, a number, true or false, or a list of texts or numbers.`,
        exit.usage,
      );
  }
  return values as Record<string, ParamValue>;
}

/** Values as the params' types say; a list is JSON, or values with commas between them. What is wrong beyond that, the server tells. */
export function parseValues(declared: readonly ParamSpec[], given: readonly string[]): Record<string, ParamValue> {
  const values: Record<string, ParamValue> = {};
  for (const one of given) {
    const [name, text] = halves(one);
    values[name] = declared.find((param) => param.name === name)?.type === "list" ? listOf(text) : (parseParams(declared, [one])[name] ?? text);
  }
  return values;
}
function listOf(text: string): (string | number)[] {
  const number = (one: string) => (one.trim() !== "" && Number.isFinite(Number(one)) ? Number(one) : one.trim());
  if (!text.trim().startsWith("[")) return text.trim() === "" ? [] : text.split(",").map(number);
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list)) return list.map((one: unknown) => (typeof one === "number" ? one : String(one)));
  } catch {
    // Told below.
  }
  throw new CliError(`"${text}" is no list: write 1,2,3 or ["a", "b"].`, exit.usage);
}
function halves(one: string): [string, string] {
  const at = one.indexOf("=");
  if (at < 1) throw new CliError(`"${one}" is no param: write --param name=value.`, exit.usage);
  return [one.slice(0, at), one.slice(at + 1)];
}

/** Single values as the params' types say. */
export function parseParams(declared: readonly ParamSpec[], given: readonly string[]): Record<string, string | number | boolean> {
  const values: Record<string, string | number | boolean> = {};
  for (const one of given) {
    const [name, text] = halves(one);
    const type = declared.find((param) => param.name === name)?.type;
    const isNumber = text.trim() !== "" && Number.isFinite(Number(text));
    if ((type === "int" || type === "float") && isNumber) values[name] = Number(text);
    else if (type === "boolean" && (text === "true" || text === "false")) values[name] = text === "true";
    else values[name] = text;
  }
  return values;
}
