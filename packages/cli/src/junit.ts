import type { Anomaly, ValidationReport } from "@millrace/sdk/api";

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
