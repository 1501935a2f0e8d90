import { print, printJson } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export async function setPaused(name: string, act: "pause" | "resume", options: ServerOptions & { json?: boolean }): Promise<void> {
  const trigger = await connect(options).triggers[act](name);
  if (options.json) printJson(trigger);
  else print(`${name} is ${act === "pause" ? "paused" : "on"}.`);
}
