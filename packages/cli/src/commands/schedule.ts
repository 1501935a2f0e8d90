import type { Schedule, ScheduleEdit } from "@millrace/sdk/api";
import { CliError, exit } from "../errors.js";
import { print, printJson, table, time } from "../output.js";
import { connect, type ServerOptions } from "../server.js";
import { parseParams } from "./run.js";

type Options = ServerOptions & { json?: boolean };
export interface EditOptions extends Options {
  cron?: string;
  zone?: string;
  param: string[];
  catchUp?: "none" | "last" | "all";
  catchUpLimit?: number;
  overlap?: "skip" | "queue" | "cancel_running" | "allow";
  jitter?: string;
}
export interface CreateOptions extends EditOptions {
  cron: string;
}

export async function list(options: Options): Promise<void> {
  const { items } = await connect(options).schedules.list();
  if (options.json) return printJson(items);
  if (items.length === 0)
    return print("There are no schedules yet. Define one in a project, or: millrace schedule create <name> <pipeline> --cron '0 6 * * *'");
  const rows = items.map((one) => [one.name, one.pipeline, `${one.cron} (${one.zone})`, one.paused ? "paused" : "on", time(one.next), lastOf(one)]);
  print(table(["schedule", "pipeline", "when", "state", "next", "last"], rows));
}
const lastOf = ({ last }: Schedule): string => (last === null ? "-" : `${last.runState ?? last.outcome} ${time(last.moment)}`);

export async function show(name: string, options: Options): Promise<void> {
  const client = connect(options);
  const [schedule, { items }] = await Promise.all([client.schedules.get(name), client.schedules.firings(name, { limit: 20 })]);
  if (options.json) return printJson({ ...schedule, firings: items });
  print(describe(schedule));
  if (items.length > 0)
    print(
      `\n${table(
        ["moment", "outcome", "run", "reason"],
        items.map((one) => [time(one.moment), one.runState ?? one.outcome, one.runId ?? "-", one.reason]),
      )}`,
    );
}

export async function next(name: string, options: Options & { count: number }): Promise<void> {
  const { items } = await connect(options).schedules.next(name, options.count);
  if (options.json) return printJson(items);
  if (items.length === 0) return print("It has no moment any more.");
  const params = (one: (typeof items)[number]) =>
    Object.entries(one.params)
      .map(([key, value]) => `${key}=${value}`)
      .join(" ");
  print(
    table(
      ["moment", "in its zone", "params"],
      items.map((one) => [time(one.dueAt), one.local, params(one)]),
    ),
  );
}

export async function create(name: string, pipeline: string, options: CreateOptions): Promise<void> {
  const client = connect(options);
  const { spec } = await client.pipelines.get(pipeline);
  const given = settings(options);
  const params = parseParams(spec.params, options.param);
  const made = await client.schedules.create({ name, pipeline, zone: "UTC", ...given, cron: options.cron, params });
  tellOf(made, options);
}

export async function edit(name: string, options: EditOptions): Promise<void> {
  const client = connect(options);
  const change = settings(options);
  if (options.param.length > 0) {
    const { pipeline, params } = await client.schedules.get(name);
    change.params = { ...params, ...parseParams((await client.pipelines.get(pipeline)).spec.params, options.param) };
  }
  if (Object.keys(change).length === 0) throw new CliError("Say what is to change, as --cron '0 7 * * *'.", exit.usage);
  tellOf(await client.schedules.edit(name, change), options);
}

export async function act(name: string, what: "pause" | "resume" | "reset" | "fire" | "delete", options: Options): Promise<void> {
  const { schedules } = connect(options);
  if (what === "fire") {
    const fired = await schedules.fire(name);
    return options.json ? printJson(fired) : print(`${fired.runId ?? fired.id} is started.`);
  }
  const schedule = await schedules[what](name);
  if (what === "delete" && !options.json) return print(`${name} is deleted.`);
  tellOf(schedule, options);
}

function settings({ cron, zone, catchUp, catchUpLimit, overlap, jitter }: EditOptions): ScheduleEdit {
  return {
    ...(cron === undefined ? {} : { cron }),
    ...(zone === undefined ? {} : { zone }),
    ...(catchUp === undefined ? {} : { catchUp }),
    ...(catchUpLimit === undefined ? {} : { catchUpLimit }),
    ...(overlap === undefined ? {} : { overlap }),
    ...(jitter === undefined ? {} : { jitter }),
  };
}
function tellOf(schedule: Schedule, options: Options): void {
  if (options.json) printJson(schedule);
  else print(describe(schedule));
}
function describe(one: Schedule): string {
  const edited = one.edited.length === 0 ? "" : `\n  edited by ${one.editedBy ?? "somebody"}: ${one.edited.join(", ")} (millrace schedule reset ${one.name})`;
  const policies = `catch-up ${one.catchUp}${one.catchUp === "all" ? `, at most ${one.catchUpLimit}` : ""}, overlap ${one.overlap}${one.jitter === null ? "" : `, jitter ${one.jitter}`}`;
  return `${one.name} starts ${one.pipeline} at ${one.cron} (${one.zone}): ${one.paused ? "paused" : `next ${time(one.next)}`}\n  ${policies}${edited}`;
}
