import { existsSync, statSync } from "node:fs";
import { CliError, exit } from "../errors.js";
import { count, duration, print, printJson, tell } from "../output.js";
import { connect, type ServerOptions } from "../server.js";
import { type Brought, bring } from "../transfer/bring.js";
import { bytes, type Done, showProgress } from "../transfer/progress.js";
import type { Counts, Source } from "../transfer/source.js";

export interface ImportOptions extends ServerOptions {
  /** A folder of files, or false for none. */
  artifacts: string | boolean;
  dryRun?: boolean;
  json?: boolean;
}
type Opened = Source & { changed?: () => Promise<boolean> };

export async function importMlflow(from: string, options: ImportOptions): Promise<void> {
  const client = connect(options);
  const source = await openMlflow(from, options);
  await move(source, client, options, from);
}

export async function importFolder(folder: string, options: ImportOptions): Promise<void> {
  const client = connect(options);
  if (!existsSync(folder)) throw new CliError(`There is no folder ${folder}.`, exit.usage);
  const { folderSource } = await import("../transfer/folder.js");
  await move(await folderSource(folder), client, options, folder);
}

async function move(source: Opened, client: ReturnType<typeof connect>, options: ImportOptions, from: string): Promise<void> {
  const interrupted = () => {
    tell("\nInterrupted. What has arrived stays; repeat the command to go on.");
    void source.close().finally(() => process.exit(exit.cancelled));
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    const total = await source.counts();
    const left = await source.leftOut();
    if (options.dryRun) {
      if (options.json) printJson({ source: source.title, ...total, leftOut: left });
      else print([`${source.title}:`, ...countLines(total), ...leftLines(left)].join("\n"));
      return;
    }
    if (!options.json) tell(`${source.title}: ${count(total.runs)} runs${total.points === undefined ? "" : ` with ${count(total.points)} points`}`);
    const began = performance.now();
    const progress = showProgress(total, "import");
    const brought = await bring(source, client, { files: options.artifacts !== false }, progress).finally(() => progress.end());
    const ms = performance.now() - began;
    const changed = (await source.changed?.()) === true;
    if (options.json) return printJson({ ...progress.done, skippedRuns: progress.skipped.runs, ms: Math.round(ms), ...brought, notMoved: left, changed });
    print(summary(progress.done, progress.skipped.runs, brought, left, ms).join("\n"));
    if (changed) tell(`${from} changed while it was read: repeat the command to bring what is new.`);
  } finally {
    process.off("SIGINT", interrupted).off("SIGTERM", interrupted);
    await source.close();
  }
}

export async function openMlflow(from: string, options: Pick<ImportOptions, "artifacts">): Promise<Opened> {
  const artifacts = typeof options.artifacts === "string" ? options.artifacts : undefined;
  if (artifacts !== undefined && !existsSync(artifacts)) throw new CliError(`There is no folder ${artifacts}.`, exit.usage);
  const { sqlSource } = await import("../transfer/sql.js");
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(from)?.[1]?.toLowerCase();
  if (scheme?.startsWith("postgres")) {
    const { openPostgres } = await import("../transfer/postgres.js");
    const tables = await openPostgres(from.replace(/^[^:]+/, "postgresql"));
    return sqlSource(tables, `the database ${new URL(from).pathname.slice(1)} at ${new URL(from).host}`, { artifacts }).catch(async (error: unknown) => {
      await tables.close();
      throw error;
    });
  }
  if (scheme === "http" || scheme === "https") {
    const { openWeb } = await import("../transfer/web.js");
    const web = openWeb(from);
    const { isMillrace, millraceSource } = await import("../transfer/millrace.js");
    if (await isMillrace(web)) return millraceSource(web);
    const { restSource } = await import("../transfer/rest.js");
    return restSource(web);
  }
  if (scheme !== undefined && scheme !== "sqlite")
    throw new CliError(
      `A ${scheme}: address can't be read. Give the SQLite file, a postgresql:// address, or the http:// address of a running MLflow server, which reads every database that MLflow knows.`,
      exit.usage,
    );
  const file = from.replace(/^sqlite:\/\/\//i, "");
  if (!existsSync(file)) throw new CliError(`There is no ${file}.`, exit.usage);
  if (statSync(file).isDirectory())
    throw new CliError(
      `${file} is a folder. Give MLflow's SQLite file, or start \`mlflow server --backend-store-uri ${file}\` and give its address.`,
      exit.usage,
    );
  const { openSqlite } = await import("../transfer/sqlite.js");
  const tables = await openSqlite(file);
  const source = await sqlSource(tables, file, { artifacts }).catch(async (error: unknown) => {
    await tables.close();
    throw error;
  });
  return { ...source, changed: tables.changed };
}

function countLines(total: Counts): string[] {
  const lines: [number | undefined, string][] = [
    [total.experiments, "experiments"],
    [total.runs, "runs"],
    [total.points, "metric points"],
    [total.loggedModels, "logged models"],
    [total.models, "registered models and prompts"],
    [total.versions, "versions"],
  ];
  return lines.filter(([n]) => n !== undefined).map(([n, what]) => `  ${count(n ?? 0)} ${what}`);
}
const leftLines = (left: string[]): string[] => (left.length === 0 ? [] : [`not brought, as there is no place for it here: ${left.join(", ")}`]);

function summary(done: Done, skippedRuns: number, brought: Brought, left: string[], ms: number): string[] {
  const seconds = ms / 1_000;
  const lines = [
    `brought in ${duration(ms)}: ${count(done.experiments)} experiments, ${count(done.runs)} runs, ${count(done.points)} metric points, ${count(done.loggedModels)} logged models, ` +
      `${count(done.models)} registered models with ${count(done.versions)} versions and ${count(done.aliases)} aliases, ${count(done.files)} files (${bytes(done.bytes)})`,
    `  ${count(Math.round(done.runs / seconds))} runs/s, ${count(Math.round(done.points / seconds))} points/s, ${bytes(done.bytes / seconds)}/s`,
  ];
  if (skippedRuns > 0) lines.push(`  ${count(skippedRuns)} runs were here already`);
  lines.push(...brought.moved.map((one) => `  ${one}`), ...leftLines(left));
  if (brought.leftOut.length > 0) lines.push("not brought:", ...brought.leftOut.slice(0, 20).map((one) => `  ${one}`));
  if (brought.leftOut.length > 20) lines.push(`  and ${brought.leftOut.length - 20} more`);
  if (brought.withoutFiles.length > 0) {
    const shown = brought.withoutFiles.slice(0, 10).join(", ");
    lines.push(`versions without files here: ${shown}${brought.withoutFiles.length > 10 ? ` and ${brought.withoutFiles.length - 10} more` : ""}`);
  }
  return lines;
}
