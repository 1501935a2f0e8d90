import { writeFile } from "node:fs/promises";
import type { ModelCardFormat } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import { CliError, exit } from "../errors.js";
import { print, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export async function modelCard(which: string, options: ServerOptions & { format: ModelCardFormat; out?: string }): Promise<void> {
  const client = connect(options);
  const { model, version } = await versionOf(client, which);
  const card = await client.models.card(model, version, options.format);
  if (options.out === undefined) return print(card.trimEnd());
  await writeFile(options.out, card);
  tell(`The card of ${model}/${version} is in ${options.out}.`);
}

/** `delay/3`, `delay@challenger`, or `delay`: its champion, else its newest version. */
async function versionOf(client: Client, which: string): Promise<{ model: string; version: number }> {
  const match = /^(.+?)(?:\/([1-9][0-9]{0,8})|@(.+))?$/.exec(which);
  const [model = which, number, alias] = match?.slice(1) ?? [];
  if (number !== undefined) return { model, version: Number(number) };
  const { aliases, latest } = await client.models.get(model);
  const version = alias === undefined ? (aliases.champion ?? latest?.version) : aliases[alias];
  if (version !== undefined) return { model, version };
  const known = Object.keys(aliases);
  if (alias === undefined) throw new CliError(`The model "${model}" has no version yet.`);
  throw new CliError(`No version of "${model}" is "${alias}"${known.length === 0 ? "" : `; there is ${known.join(", ")}`}.`, exit.usage);
}
