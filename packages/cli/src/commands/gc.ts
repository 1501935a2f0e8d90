import { setTimeout as delay } from "node:timers/promises";
import type { Collection } from "@millrace/sdk/api";
import { CliError } from "../errors.js";
import { count, print, printJson, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";
import { bytes } from "../transfer/progress.js";

export interface GcOptions extends ServerOptions {
  olderThan?: string;
  dryRun?: boolean;
  json?: boolean;
}

export async function gc({ olderThan, dryRun, json, ...server }: GcOptions): Promise<void> {
  const client = connect(server);
  const { id } = await client.gc.start({ ...(olderThan === undefined ? {} : { olderThan }), ...(dryRun ? { dryRun } : {}) });
  const terminal = process.stderr.isTTY === true;
  let told = "";
  let pause = 50;
  let found = await client.gc.get(id);
  for (; found.state === "running"; found = await client.gc.get(id)) {
    const line = `${found.phase === "rows" ? "rows" : "objects"}: ${parts(found).join(" · ")}`;
    if (terminal) process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns ?? 120) - 1)}`);
    else if (line !== told && pause >= 1_000) tell(line);
    told = line;
    await delay(pause);
    pause = Math.min(2 * pause, terminal ? 500 : 5_000);
  }
  if (terminal) process.stderr.write("\r\x1b[K");
  if (json) printJson(found);
  else for (const line of summary(found)) print(line);
  if (found.state !== "done") throw new CliError(`It did not end: ${found.message ?? found.state}`);
}

function parts({ freed }: Collection): string[] {
  return [
    `${count(freed.experiments)} experiments`,
    `${count(freed.runs)} runs with ${count(freed.points)} points`,
    `${count(freed.loggedModels)} logged models`,
    `${count(freed.artifacts)} files (${bytes(freed.artifactBytes)})`,
    `${count(freed.objects)} objects (${bytes(freed.objectBytes)})`,
  ];
}

function summary(found: Collection): string[] {
  const { dryRun, deletedBefore, freed, kept } = found;
  const lines = [`${dryRun ? "Would free" : "Freed"} of what was deleted before ${deletedBefore.slice(0, 19).replace("T", " ")}Z:`];
  lines.push(...parts(found).map((part) => `  ${part}`));
  if (dryRun && freed.artifacts > 0)
    lines.push("The objects are those that nobody refers to already. Those of the files come to it, as far as nothing else has the same content.");
  const held = [
    kept.runs > 0 ? `${count(kept.runs)} runs` : "",
    kept.loggedModels > 0 ? `${count(kept.loggedModels)} logged models` : "",
    kept.experiments > 0 ? `${count(kept.experiments)} experiments` : "",
  ].filter((one) => one !== "");
  if (held.length > 0) lines.push(`Kept, as live versions, runs or pipelines refer to them: ${held.join(", ")}.`);
  if (kept.youngObjects > 0)
    lines.push(`Kept until they are a day old: ${count(kept.youngObjects)} objects (${bytes(kept.youngObjectBytes)}) that nobody refers to.`);
  return lines;
}
