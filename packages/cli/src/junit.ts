import type { Anomaly, ValidationReport } from "@millrace/sdk/api";
import { type Case, type CheckReport, tally } from "./check/result.js";

/** Signs that XML 1.0 has no way to write are left out. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones
const unwritable = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const text = (value: string): string =>
  value.replaceAll(unwritable, "").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/**
 * A report as JUnit XML, as CI systems show it: a test case for each check. What blocks is a failure; what warns is told in the output of its case.
 */
export function junit(report: ValidationReport, of: string): string {
  const checks = report.checks ?? [];
  const left = [...report.anomalies];
  const cases = checks.map((check) => {
    const found = check.passed ? undefined : left.findIndex(({ kind, column, rule }) => kind === check.kind && column === check.column && rule === check.rule);
    const anomaly = found === undefined || found === -1 ? undefined : left.splice(found, 1)[0];
    return testCase(`${report.schema}.${check.column ?? "table"}`, check.name, check.rule, anomaly, check.skipped);
  });
  for (const anomaly of left) cases.push(testCase(`${report.schema}.${anomaly.column ?? "table"}`, anomaly.kind, anomaly.rule, anomaly, undefined));
  const failures = report.anomalies.filter(({ severity }) => severity === "block").length;
  const skipped = checks.filter(({ skipped: why }) => why !== undefined).length;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="millrace validate" tests="${cases.length}" failures="${failures}" skipped="${skipped}">`,
    `  <testsuite name="${text(`${report.schema}: ${of}`)}" tests="${cases.length}" failures="${failures}" errors="0" skipped="${skipped}">`,
    ...cases,
    "  </testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}

/** What `millrace check` found: a suite for each group. What is broken is an error, what is not as asked a failure. */
export function junitOfCases({ cases, project, startedAt, ms }: CheckReport): string {
  const groups = [...new Set(cases.map(({ group }) => group))];
  const counts = (of: readonly Case[], took: number) =>
    `tests="${of.length}" failures="${tally(of, "refused")}" errors="${tally(of, "failed")}" skipped="${tally(of, "skipped")}" time="${seconds(took)}"`;
  // A run's steps are within the time of the run.
  const togetherMs = (of: readonly Case[]) => of.reduce((sum, one) => sum + (one.name.startsWith("step ") ? 0 : one.ms), 0);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="millrace check" ${counts(cases, ms)}>`,
    ...groups.flatMap((group) => {
      const own = cases.filter((one) => one.group === group);
      return [
        `  <testsuite name="${text(`${project}: ${group}`)}" ${counts(own, togetherMs(own))} timestamp="${startedAt.slice(0, 19)}">`,
        ...own.map(checkCase),
        "  </testsuite>",
      ];
    }),
    "</testsuites>",
    "",
  ].join("\n");
}
const seconds = (ms: number): string => (ms / 1_000).toFixed(3);

function checkCase(one: Case): string {
  const [, file, line] = /^(.*):([0-9]+)$/.exec(one.place ?? "") ?? [];
  const place = file === undefined ? "" : ` file="${text(file)}" line="${line}"`;
  const open = `    <testcase classname="${text(one.group)}" name="${text(one.name)}" time="${seconds(one.ms)}"${place}`;
  const message = text(one.message ?? "");
  const told = text([one.message ?? "", ...(one.details ?? [])].join("\n"));
  if (one.state === "skipped") return `${open}><skipped message="${message}"/></testcase>`;
  if (one.state === "failed") return `${open}><error type="failed" message="${message}">${told}</error></testcase>`;
  if (one.state === "refused") return `${open}><failure type="refused" message="${message}">${told}</failure></testcase>`;
  return one.message === undefined ? `${open}/>` : `${open}><system-out>${told}</system-out></testcase>`;
}

function testCase(group: string, name: string, rule: string | null, anomaly: Anomaly | undefined, skipped: string | undefined): string {
  const file = /^(.*):([0-9]+)$/.exec(rule ?? "");
  const place = file === null ? "" : ` file="${text(file[1] ?? "")}" line="${file[2]}"`;
  const open = `    <testcase classname="${text(group)}" name="${text(name)}"${place}`;
  if (skipped !== undefined) return `${open}><skipped message="${text(skipped)}"/></testcase>`;
  if (anomaly === undefined) return `${open}/>`;
  const told = text([anomaly.message, ...anomaly.examples.map((one) => JSON.stringify(one)), ...(rule === null ? [] : [`rule at ${rule}`])].join("\n"));
  if (anomaly.severity === "warn") return `${open}><system-out>${told}</system-out></testcase>`;
  return `${open}><failure type="${text(anomaly.kind)}" message="${text(anomaly.message)}">${told}</failure></testcase>`;
}
