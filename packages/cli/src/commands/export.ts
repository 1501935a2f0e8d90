import path from "node:path";
import { CliError, exit } from "../errors.js";
import { count, duration, print, printJson, tell } from "../output.js";
import type { ServerOptions } from "../server.js";
import { countsOf, isMillrace } from "../transfer/millrace.js";
import { bytes, showProgress } from "../transfer/progress.js";
import { take } from "../transfer/take.js";
import { openWeb } from "../transfer/web.js";

export async function exportAll(folder: string, options: ServerOptions & { json?: boolean }): Promise<void> {
  if (!URL.canParse(options.url)) throw new CliError(`"${options.url}" is no address: give one as http://127.0.0.1:4600.`, exit.usage);
  const web = openWeb(options.url, options.token ?? process.env.MILLRACE_TOKEN);
  if (!(await isMillrace(web))) throw new CliError(`${options.url} is no server of Millrace, or may not be read.`);
  const there = await countsOf(web);
  const interrupted = () => {
    tell("\nInterrupted. What is written stays; repeat the command to go on.");
    process.exit(exit.cancelled);
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  const began = performance.now();
  const progress = showProgress({ ...there, points: there.metrics, bytes: there.artifactBytes }, "export");
  const { rows, leftOut, resumed } = await take(web, path.resolve(folder), progress).finally(() => progress.end());
  process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
  const ms = performance.now() - began;
  if (options.json) return printJson({ rows, files: progress.done.files, bytes: progress.done.bytes, leftOut, resumed, ms: Math.round(ms) });
  const seconds = ms / 1_000;
  print(
    [
      `${folder}: ${resumed ? "the rest of " : ""}${count(rows.runs ?? 0)} runs, ${count(rows.metrics ?? 0)} metric points, ${count(rows.logged_models ?? 0)} logged models, ` +
        `${count(rows.model_versions ?? 0)} versions, ${count(rows.artifacts ?? 0)} files, of them ${count(progress.done.files)} written now (${bytes(progress.done.bytes)}), in ${duration(ms)}`,
      `  ${count(Math.round(progress.done.points / seconds))} points/s, ${bytes(progress.done.bytes / seconds)}/s. README.md there says what is where.`,
      ...(leftOut.length === 0 ? [] : ["not written:", ...leftOut.slice(0, 20).map((one) => `  ${one}`)]),
    ].join("\n"),
  );
}
