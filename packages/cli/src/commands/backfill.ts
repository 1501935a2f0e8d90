import { setTimeout as delay } from "node:timers/promises";
import type { Backfill, BackfillRange } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import { CliError, exit } from "../errors.js";
import { throughRestarts } from "../follow.js";
import { print, printJson, table, tell, time } from "../output.js";
import { connect, type ServerOptions } from "../server.js";
import { parseParams } from "./run.js";

export interface BackfillOptions extends ServerOptions {
  param: string[];
  from?: string;
  to?: string;
  every?: number;
  partitions?: string;
  value: string[];
  atOnce?: number;
  newestFirst?: boolean;
  skipSucceeded?: boolean;
  wait?: boolean;
  json?: boolean;
}

export async function backfill(pipeline: string, options: BackfillOptions): Promise<void> {
  const client = connect(options);
  const { spec } = await client.pipelines.get(pipeline);
  const [param, ...more] = options.param.filter((one) => !one.includes("="));
  if (param === undefined || more.length > 0)
    throw new CliError("Name the one param that takes the values: --param until. Others are given as --param name=value.", exit.usage);
  const over = rangeOf(options, (text) => parseParams(spec.params, [`${param}=${text}`])[param] ?? text);
  const started = await client.backfills.start({
    ...{ pipeline, param, over },
    params: parseParams(
      spec.params,
      options.param.filter((one) => one.includes("=")),
    ),
    ...(options.atOnce === undefined ? {} : { atOnce: options.atOnce }),
    ...(options.newestFirst ? { order: "newest_first" as const } : {}),
    ...(options.skipSucceeded ? { skipSucceeded: true } : {}),
  });
  if (!options.wait) return options.json ? printJson(started) : print(`${started.id}: ${line(started)}\nFollow it with: millrace backfills ${started.id}`);
  if (!options.json) print(`backfill ${started.id}`);
  const ended = await follow(client, started.id);
  if (options.json) printJson(ended);
  else print(line(ended));
  process.exitCode = ended.state === "succeeded" ? exit.ok : ended.state === "cancelled" ? exit.cancelled : exit.failed;
}

function rangeOf({ from, to, every, partitions, value }: BackfillOptions, typed: (text: string) => string | number | boolean): BackfillRange {
  const ways = [from !== undefined || to !== undefined, partitions !== undefined, value.length > 0].filter(Boolean).length;
  if (ways !== 1) throw new CliError("Say which values: --from and --to, or --partitions <dataset>, or --value for each.", exit.usage);
  if (partitions !== undefined) return { kind: "partitions", dataset: partitions };
  if (value.length > 0) return { kind: "values", values: value.map(typed) };
  if (from === undefined || to === undefined) throw new CliError("Give both --from and --to.", exit.usage);
  const month = /^[0-9]{4}-[0-9]{2}$/;
  if (month.test(from) && month.test(to)) return { kind: "months", from, to };
  return { kind: "dates", from, to, ...(every === undefined ? {} : { every }) };
}

async function follow(client: Client, id: string): Promise<Backfill> {
  const terminal = process.stderr.isTTY === true;
  let told = "";
  for (let pause = 100; ; pause = Math.min(1.5 * pause, 2_000)) {
    const now = await throughRestarts(tell, () => client.backfills.get(id));
    const news = line(now);
    if (terminal) process.stderr.write(`\r\x1b[K${news}`);
    else if (news !== told) tell(news);
    told = news;
    if (now.state !== "running" && now.progress.running === 0) {
      if (terminal) process.stderr.write("\r\x1b[K");
      return now;
    }
    await delay(pause);
  }
}
function line({ state, message, progress }: Backfill): string {
  const { total, skipped, ...counts } = progress;
  const parts = Object.entries(counts).flatMap(([name, n]) => (n === 0 ? [] : [`${n} ${name}`]));
  return `${state}: ${parts.join(", ") || "nothing to do"} of ${total}${skipped === 0 ? "" : `, ${skipped} done before`}${message === null ? "" : `. ${message}`}`;
}

export async function backfills(
  id: string | undefined,
  options: ServerOptions & { json?: boolean; do?: "pause" | "resume" | "cancel" | "retry" },
): Promise<void> {
  const client = connect(options);
  if (id === undefined) {
    if (options.do !== undefined) throw new CliError(`Say which backfill to ${options.do}: millrace backfills <id> --do ${options.do}`, exit.usage);
    const { items } = await client.backfills.list({ limit: 20 });
    if (options.json) return printJson(items);
    if (items.length === 0) return print("There are no backfills yet. Start one with: millrace backfill <pipeline> --param <name> --from 2013-01 --to 2013-06");
    return print(
      table(
        ["backfill", "pipeline", "param", "values", "begun", "state"],
        items.map((one) => [one.id, one.pipeline, one.param, `${one.first} to ${one.last}`, time(one.createdAt), line(one)]),
      ),
    );
  }
  if (options.do !== undefined) {
    const changed = await client.backfills[options.do](id);
    return options.json ? printJson(changed) : print(line(changed));
  }
  const [found, { items }] = await Promise.all([client.backfills.get(id), client.backfills.items(id, { limit: 1_000 })]);
  if (options.json) return printJson({ ...found, items });
  print(`${found.pipeline}: ${line(found)}`);
  print(
    table(
      [found.param, "state", "attempt", "run", "message"],
      items.map((one) => [String(one.value), one.state, String(one.attempt), one.runId ?? "-", (one.message ?? "").slice(0, 100)]),
    ),
  );
}
