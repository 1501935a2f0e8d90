/** What one does with a run that is there: read what its steps said, answer what they ask, end it. */
import { CliError, exit } from "../errors.js";
import { follow, over, readLog } from "../follow.js";
import { duration, print, printJson, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";
import { terminal } from "./run.js";

export async function logs(run: string, step: string | undefined, options: ServerOptions & { follow?: boolean }): Promise<void> {
  const client = connect(options);
  if (options.follow && step === undefined) {
    const { told, done } = terminal();
    const ended = await follow(client, run, told).finally(done);
    print(`${ended.state} after ${duration(ended.durationMs)}`);
    process.exitCode = over[ended.state] ?? exit.failed;
    return;
  }
  if (step !== undefined) {
    for (let from = 0; ; ) {
      const { lines, next, done } = await readLog(client, run, step, from);
      for (const line of lines) print(line);
      if (!options.follow || done) return;
      from = next;
      await new Promise((resolve) => setTimeout(resolve, lines.length > 0 ? 100 : 500));
    }
  }
  const { steps } = await client.runs.get(run);
  for (const { id, state } of steps) {
    if (state === "waiting" || state === "ready" || state === "cached" || state === "skipped") continue;
    for (const line of (await readLog(client, run, id, 0)).lines) print(`${id} | ${line}`);
  }
}

export async function answer(run: string, step: string, approved: boolean, options: ServerOptions & { comment?: string; json?: boolean }): Promise<void> {
  const { comment } = options;
  const answered = await connect(options).runs.approve(run, step, { approved, ...(comment === undefined ? {} : { comment }) });
  if (options.json) printJson(answered);
  else print(`${step} is ${approved ? "approved" : "rejected"}.`);
}

export async function cancel(run: string, options: ServerOptions & { json?: boolean }): Promise<void> {
  const cancelled = await connect(options).runs.cancel(run);
  if (options.json) printJson(cancelled);
  else print(cancelled.state === "cancelled" ? `${run} is cancelled.` : `${run} is ${cancelled.state}.`);
}

export async function setSecret(name: string, options: ServerOptions & { value?: string }): Promise<void> {
  if (!/^[A-Z][A-Z0-9_]{0,99}$/.test(name)) throw new CliError(`"${name}" can't name a secret: write capitals, digits and "_", as API_KEY.`, exit.usage);
  const value = options.value ?? (await fromInput(name));
  if (value === "") throw new CliError(`The secret is empty. Give it on standard input: millrace secret set ${name} < file`, exit.usage);
  await connect(options).secrets.set(name, value);
  print(`${name} is set.`);
}
/** A secret in a command would stay in the shell's history. */
async function fromInput(name: string): Promise<string> {
  if (process.stdin.isTTY) tell(`The value of ${name}, then Enter and Ctrl-D:`);
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}
export async function listSecrets(options: ServerOptions & { json?: boolean }): Promise<void> {
  const { items } = await connect(options).secrets.list();
  if (options.json) printJson(items);
  else print(items.length === 0 ? "There are no secrets yet. Set one with: millrace secret set <NAME>" : items.map((one) => one.name).join("\n"));
}
export async function deleteSecret(name: string, options: ServerOptions): Promise<void> {
  await connect(options).secrets.delete(name);
  print(`${name} is deleted.`);
}
