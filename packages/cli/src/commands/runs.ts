import type { Run } from "@millrace/sdk/api";
import { duration, metrics, print, printJson, table, time } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

export async function runs(pipeline: string | undefined, options: ServerOptions & { json?: boolean; limit: number }): Promise<void> {
  const page = await connect(options).runs.list({ limit: options.limit, ...(pipeline === undefined ? {} : { pipeline }) });
  if (options.json) return printJson(page.items);
  if (page.items.length === 0) return print("There are no runs yet. Start one with: millrace run <pipeline>");
  print(table(["run", "pipeline", "state", "started", "took", "result"], page.items.map(row)));
}

function row(run: Run): string[] {
  const result = run.modelVersion ?? run.message ?? metrics(run.metrics);
  return [run.id, run.pipeline, run.state, time(run.startedAt ?? run.createdAt), duration(run.durationMs), shorten(result)];
}
const shorten = (text: string): string => (text.length > 80 ? `${text.slice(0, 79)}…` : text);
