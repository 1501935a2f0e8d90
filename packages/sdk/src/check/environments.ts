import type { EnvironmentSpec, ProjectSpec } from "../spec.js";
import { cronProblem } from "./cron.js";
import { checkDuration, type Report, unknown } from "./report.js";
import { isZone } from "./serving.js";

const longestLoad = 300_000;
const longestWindow = 7 * 86_400_000;

export function checkEnvironments(spec: ProjectSpec, report: Report): void {
  const all = spec.environments ?? [];
  const names = all.map((one) => one.name);
  // What comes to the last of them is what the server serves.
  const ends = all.filter((one) => one.server === undefined && !all.some((other) => other.server === undefined && other.after.includes(one.name)));
  if (ends.length > 1 && ends[1] !== undefined)
    report(
      ends[1],
      `this server is several environments, and ${ends.map((one) => `"${one.name}"`).join(", ")} are each the last: say with "after" which follows which`,
    );
  for (const one of all) {
    if (/^(latest|champion|challenger|v[0-9]+)$/i.test(one.name))
      report(one, `"${one.name}" can't name an environment: its models' versions have the alias of its name, and that one means something else`);
    const of = `the environment "${one.name}"`;
    for (const name of one.after) if (!names.includes(name)) report(one, `${of} is after another one, and ${unknown("environment", name, names)}`);
    if (reaches(one, one.name, all)) report(one, `${of} is after itself, by way of ${one.after.join(", ")}`);
    if (one.on === "deployed" && one.after.length === 0) report(one, `${of} is to follow those that it is after, and is after none`);
    for (const freeze of one.freezes) {
      for (const at of [freeze.from, freeze.to])
        if (Number.isNaN(Date.parse(at))) report(one, `a freeze of ${of} has "${at}": write a time as 2026-12-20T00:00:00Z`);
      if (Date.parse(freeze.to) <= Date.parse(freeze.from)) report(one, `a freeze of ${of} ends at ${freeze.to}, before it begins`);
    }
    for (const window of one.windows) {
      const problem = cronProblem(window.cron);
      if (problem !== undefined) report(one, `a window of ${of}: ${problem}`);
      if (!isZone(window.zone)) report(one, `a window of ${of}: "${window.zone}" is no time zone, as "America/New_York" is one`);
      const ms = checkDuration(`"for" of a window of ${of}`, window.for, one, report);
      if (ms !== undefined && ms > longestWindow) report(one, `a window of ${of} is ${window.for} long: at most 7d`);
    }
    for (const who of one.approvals?.by ?? [])
      if (/^role:/.test(who) && !/^role:(viewer|editor|admin)$/.test(who))
        report(one, `${of} asks for the yes of "${who}": the roles are viewer, editor and admin`);
    if (one.server !== undefined && !(URL.canParse(one.server.url) && /^https?:$/.test(new URL(one.server.url).protocol)))
      report(one, `${of} is the server "${one.server.url}": give an address as https://prod.example:4600`);
    checkGates(one, of, report);
  }
}

function checkGates(one: EnvironmentSpec, of: string, report: Report): void {
  for (const gate of one.gates) {
    if (gate.kind === "load") {
      const ms = checkDuration(`"for" of the load test of ${of}`, gate.for, one, report);
      if (ms !== undefined && ms > longestLoad) report(one, `the load test of ${of} takes ${gate.for}: at most 5m`);
    }
    for (const request of gate.kind === "load" || gate.kind === "smoke" ? gate.requests : []) {
      for (const [output, values] of Object.entries(request.expect ?? {})) {
        if (values.length !== request.rows.length)
          report(one, `a request of ${of} has ${request.rows.length} rows and expects ${values.length} values of "${output}"`);
      }
    }
  }
}

/** Whether one comes, by what it is after, to the name. */
function reaches(from: EnvironmentSpec, name: string, all: readonly EnvironmentSpec[], seen = new Set<string>()): boolean {
  return from.after.some((before) => {
    if (before === name) return true;
    if (seen.has(before)) return false;
    seen.add(before);
    const next = all.find((one) => one.name === before);
    return next !== undefined && reaches(next, name, all, seen);
  });
}
