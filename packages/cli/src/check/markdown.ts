/** A report for a pull request, as GitHub and GitLab show it: what is wrong first, then metrics, then curves as Mermaid draws them. */
import { duration } from "../output.js";
import type { Baseline } from "./baseline.js";
import { type Case, type CheckedPipeline, type CheckReport, type Series, stops, tally } from "./result.js";

const mostPoints = 30;
const mostCurves = 6;
const mostLines = 40;
/** GitHub takes 65,536. */
const mostCharacters = 60_000;

/** Found again by whoever writes the comment anew. */
const mark = "<!-- millrace check -->";

export interface Compared {
  of: string;
  metrics: Record<string, number>;
}

/** A server that can't be asked, as from a fork that has no token, leaves the report without it: it is no fault of the change. */
export async function compared(report: CheckReport, against: Baseline | undefined, said: (line: string) => void): Promise<Map<string, Compared>> {
  const found = new Map<string, Compared>();
  try {
    for (const one of report.pipelines) {
      const before = await against?.metricsOf(one);
      if (before !== undefined) found.set(one.name, before);
    }
  } catch (error) {
    said(`The metrics are compared with nothing: ${error instanceof Error ? error.message : String(error)}`);
  }
  return found;
}

export function markdownOf(report: CheckReport, before: ReadonlyMap<string, Compared>, what: string | undefined): string {
  const { cases, project, commit, dirty, ms } = report;
  const bad = cases.filter(stops);
  const title = bad.length === 0 ? `✅ ${text(project)}: millrace check passed` : `❌ ${text(project)}: ${bad.length} of ${cases.length} checks did not pass`;
  const at = commit === null ? "" : ` · ${commit.slice(0, 7)}${dirty ? " and changes that are not committed" : ""}`;
  const counts = `${tally(cases, "passed")} passed, ${bad.length} not, ${tally(cases, "warned")} warn, ${tally(cases, "skipped")} skipped`;
  const parts = [
    [mark, `## ${title}`, "", `${counts} · ${duration(ms)}${at}`],
    ...bad.map(problem),
    ...report.pipelines.map((one) => section(one, before.get(one.name), what)),
    all(cases),
  ];
  // What does not fit into a comment is in the other reports.
  let length = 0;
  const kept = parts.filter((part) => {
    const fits = length + part.join("\n").length <= mostCharacters;
    if (fits) length += part.join("\n").length;
    return fits;
  });
  const left = parts.length - kept.length;
  return [...kept.flat(), ...(left === 0 ? [] : ["", `${left} parts are left out, which a comment has no room for.`]), ""].join("\n");
}

function problem(one: Case): string[] {
  const lines = [`- **${text(`${one.group}: ${one.name}`)}**${one.place === undefined ? "" : ` \`${one.place}\``} ${text(one.message ?? "")}`];
  const details = (one.details ?? []).slice(-mostLines);
  return ["", ...lines, ...(details.length === 0 ? [] : ["", ...fenced(details).map((line) => `  ${line}`)])];
}

function section(checked: CheckedPipeline, before: Compared | undefined, what: string | undefined): string[] {
  const names = Object.keys(checked.metrics).sort();
  if (names.length === 0 && checked.series.length === 0) return [];
  const heading = before === undefined ? ["metric", "on the sample"] : ["metric", "on the sample", `${what} ${before.of}`, "difference"];
  const rows = names.map((name) => {
    const now = checked.metrics[name];
    const then = before?.metrics[name];
    const difference = now === undefined || then === undefined ? "" : `${now > then ? "+" : ""}${number(now - then)}`;
    return before === undefined ? [name, number(now)] : [name, number(now), number(then), difference];
  });
  const no = checked.gates.filter(({ passed }) => !passed);
  return [
    "",
    `### ${text(checked.name)}`,
    ...(rows.length === 0 ? [] : ["", ...table(heading, rows)]),
    ...(checked.gates.length === 0
      ? []
      : [
          "",
          `Gates on the sample: ${checked.gates.length - no.length} of ${checked.gates.length} say yes.`,
          ...no.map(({ gate, message }) => `- ${text(gate)}: ${text(message)}`),
        ]),
    ...curves(checked.series, "on the sample"),
    ...(checked.overfit === undefined ? [] : curves(checked.overfit.series, `on ${checked.overfit.rows} rows`)),
  ];
}

function curves(series: readonly Series[], where: string): string[] {
  return series.slice(0, mostCurves).flatMap((one) => ["", ...chart(one, where)]);
}

/** https://mermaid.js.org/syntax/xyChart.html */
function chart({ key, x, value }: Series, where: string): string[] {
  const every = Math.max(1, Math.ceil(value.length / mostPoints));
  const kept = value.map((_, i) => i).filter((i) => i % every === 0 || i === value.length - 1);
  const at = (i: number) => x[i] ?? i;
  const list = kept.map((i) => Number((value[i] ?? 0).toPrecision(5)));
  const [from, to] = [at(kept[0] ?? 0), at(kept.at(-1) ?? 0)];
  return [
    "```mermaid",
    "xychart-beta",
    `    title "${label(`${key} ${where}`)}"`,
    `    x-axis "step" ${from} --> ${to > from ? to : from + 1}`,
    `    y-axis "${label(key)}"`,
    `    line [${list.join(", ")}]`,
    "```",
  ];
}
const label = (value: string): string => value.replaceAll(/[^\w .,:%()/-]/g, " ").slice(0, 100);

function all(cases: readonly Case[]): string[] {
  const rows = cases.map((one) => [icon[one.state], one.group, one.name, one.ms >= 1 ? duration(one.ms) : "", one.message ?? ""]);
  return ["", "<details><summary>Everything that was checked</summary>", "", ...table(["", "of", "check", "took", ""], rows), "", "</details>"];
}
const icon = { passed: "✅", failed: "❌", refused: "❌", warned: "⚠️", skipped: "⏭️" } as const;

function table(heading: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [`| ${heading.map(text).join(" | ")} |`, `| ${heading.map(() => "---").join(" | ")} |`, ...rows.map((row) => `| ${row.map(text).join(" | ")} |`)];
}
const number = (value: number | undefined): string => (value === undefined ? "" : String(Number(value.toPrecision(5))));
/** What is shown is what was said: no markup of its own, and one line. */
const text = (value: string): string =>
  value
    .replaceAll("\\", "\\\\")
    .replaceAll(/[|`*_<>[\]]/g, (sign) => `\\${sign}`)
    .replaceAll(/\s*\n\s*/g, " ")
    .slice(0, 500);
/** A fence longer than any within. */
function fenced(lines: readonly string[]): string[] {
  const longest = Math.max(2, ...lines.flatMap((line) => [...line.matchAll(/`+/g)].map(([one]) => one.length)));
  const fence = "`".repeat(longest + 1);
  return [fence, ...lines, fence];
}
