import { CliError } from "../errors.js";
import { print, printJson } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export async function replay(id: string, options: ServerOptions & { json?: boolean }): Promise<void> {
  const found = await connect(options).predictions.replay(id);
  if (options.json) printJson(found);
  const { model, version, same, difference, logged, replayed } = found;
  if (same) {
    if (!options.json) print(`${model}/${version} answers the same: ${JSON.stringify(replayed)}`);
    return;
  }
  const by = difference === null ? "otherwise" : `otherwise, by ${difference}`;
  throw new CliError(`${model}/${version} answers ${by}: ${JSON.stringify(logged)} was logged, ${JSON.stringify(replayed)} is answered now.`);
}
