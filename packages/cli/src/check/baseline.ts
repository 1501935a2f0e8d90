/** What a check's metrics are compared with: the champions of a server, or another report. */
import { readFile } from "node:fs/promises";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
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
  const { pipelines } = reportIn(file, await readFile(file, "utf8"));
  return {
    what: "the report before",
    async metricsOf({ name }) {
      const metrics = pipelines.find((one) => one.name === name)?.metrics;
      return metrics === undefined ? undefined : { of: file, metrics };
    },
  };
}

/** Of a report what others than its writer go by. */
const Report = Type.Object({
  commit: Type.Union([Type.String(), Type.Null()]),
  dirty: Type.Boolean(),
  cases: Type.Array(
    Type.Object({
      group: Type.String(),
      name: Type.String(),
      state: Type.Union([Type.Literal("passed"), Type.Literal("failed"), Type.Literal("refused"), Type.Literal("warned"), Type.Literal("skipped")]),
      ms: Type.Number(),
    }),
  ),
  pipelines: Type.Array(Type.Object({ name: Type.String(), metrics: Type.Record(Type.String(), Type.Number()) })),
});

/** The report that a file holds, as `millrace check --json` prints it. */
export function reportIn(file: string, text: string): Static<typeof Report> {
  let report: unknown;
  try {
    report = JSON.parse(text);
  } catch {
    // Told below.
  }
  if (!Value.Check(Report, report)) throw new CliError(`${file} is no report of a check: give one that millrace check --json printed.`, exit.usage);
  return report;
}
