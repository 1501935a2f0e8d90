import { type Command, InvalidArgumentError, Option } from "commander";
import type { PredictOptions } from "./commands/predict.js";
import { type ServerOptions, withServer } from "./server.js";

type Json = ServerOptions & { json?: boolean };
const json = ["--json", "print JSON, for scripts"] as const;

/** The commands of what endpoints answer. */
export function addPredictionCommands(millrace: Command): void {
  withServer(millrace.command("predict"))
    .description("ask an endpoint for predictions")
    .argument("<endpoint>")
    .addOption(new Option("--json <rows>", "a row as a JSON object, or rows as an array of them").conflicts("file"))
    .option("--file <rows.json>", "a file with a row or rows as JSON")
    .option("--explain [top]", "say what each feature gave to it, or the largest so many", count)
    .addHelpText("after", '\nPrints a line of JSON for each row.\nExample: millrace predict trip --json \'{"at": "2024-03-01T08:00:00Z", "city": "Oslo"}\'')
    .action(async (endpoint: string, options: PredictOptions) => (await import("./commands/predict.js")).predict(endpoint, options));

  withServer(millrace.command("explain"))
    .description("what each feature gave to a prediction that was logged")
    .argument("<prediction>", "its id")
    .option("-n, --top <n>", "the largest so many", count)
    .option(...json)
    .action(async (id: string, options: Json & { top?: number }) => (await import("./commands/explain.js")).explain(id, options));

  withServer(millrace.command("replay"))
    .description("run the version of a logged prediction on what it was given, and say whether the answer is the same; it ends with 1 where not")
    .argument("<prediction>", "its id")
    .option(...json)
    .action(async (id: string, options: Json) => (await import("./commands/replay.js")).replay(id, options));
}

function count(text: string): number {
  if (!/^[1-9][0-9]{0,3}$/.test(text) || Number(text) > 1_000) throw new InvalidArgumentError("Give a number from 1 to 1000.");
  return Number(text);
}
