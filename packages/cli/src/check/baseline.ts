/** What a check's metrics are compared with: the champions of a server, or another report. */
import { readFile } from "node:fs/promises";
import { CliError, exit } from "../errors.js";
import { connect, isNotFound } from "../server.js";
import type { CheckedPipeline } from "./result.js";

export interface Baseline {
  /** For people. */
  what: string;
  metricsOf(checked: CheckedPipeline): Promise<{ of: string; metrics: Record<string, number> } | undefined>;
}

export async function baselineOf(against: string, token: string | undefined): Promise<Baseline> {
  return /^https?:\/\//.test(against) ? ofServer(against, token) : ofReport(against);
}

function ofServer(url: string, token: string | undefined): Baseline {
  const client = connect({ url, ...(token === undefined ? {} : { token }) });
  return {
    what: "the champion",
    async metricsOf({ models }) {
      for (const name of models) {
        try {
          const version = (await client.models.get(name)).aliases.champion;
          if (version !== undefined) return { of: `${name}/${version}`, metrics: (await client.models.version(name, version)).metrics };
        } catch (error) {
          if (!isNotFound(error)) throw error;
        }
      }
      return undefined;
    },
  };
}

async function ofReport(file: string): Promise<Baseline> {
  const wrong = new CliError(`${file} is no report: give one that millrace check --json printed, or the http:// address of a server.`, exit.usage);
  let report: unknown;
  try {
    report = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) throw wrong;
    throw error;
  }
  if (typeof report !== "object" || report === null || !("pipelines" in report) || !Array.isArray(report.pipelines)) throw wrong;
  const known = new Map<string, Record<string, number>>();
  for (const one of report.pipelines) {
    if (typeof one !== "object" || one === null || typeof one.name !== "string" || typeof one.metrics !== "object") throw wrong;
    known.set(one.name, Object.fromEntries(Object.entries(one.metrics ?? {}).flatMap(([name, value]) => (typeof value === "number" ? [[name, value]] : []))));
  }
  return {
    what: "the report before",
    async metricsOf({ name }) {
      const metrics = known.get(name);
      return metrics === undefined ? undefined : { of: file, metrics };
    },
  };
}
