/** The environments of projects, and when they are open. */
import { durationMs } from "@millrace/sdk";
import type { Environment } from "@millrace/sdk/api";
import { defaultEnvironments, type EnvironmentSpec } from "@millrace/sdk/spec";
import { Cron } from "croner";
import { notFound, type Platform, shownMoment } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { heldBy, toHeld } from "./promotion-store.js";

export interface Environments {
  /** Of a project, in their order; dev, staging and prod where it defines none. */
  of(project: string): Promise<EnvironmentSpec[]>;
  /** Throws a 404 where there is none. */
  require(project: string, name: string): Promise<EnvironmentSpec>;
  /** What this server serves of a project: the last of its environments that is no other server. */
  serving(project: string): Promise<EnvironmentSpec | undefined>;
  /** With what they hold, of all projects or one. */
  list(project: string | undefined): Promise<Environment[]>;
  /** Projects with an endpoint of the model. */
  projectsOf(model: string): Promise<string[]>;
}

export function createEnvironments({ db, clock }: Pick<Platform, "db" | "clock">, on: { projects: Projects; released: () => Promise<string[]> }): Environments {
  async function definedBy(project: string): Promise<EnvironmentSpec[]> {
    const found = await on.projects.list("environment");
    const own = found.filter((one) => one.project === project).map((one) => one.spec);
    return own.length === 0 ? [] : inOrder(own);
  }
  async function of(project: string): Promise<EnvironmentSpec[]> {
    const own = await definedBy(project);
    return own.length === 0 ? [...defaultEnvironments] : own;
  }
  const serving = async (project: string) => (await of(project)).filter((one) => one.server === undefined).at(-1);
  async function one(project: string): Promise<Environment[]> {
    const [specs, held, serves, own] = await Promise.all([of(project), heldBy(db, project), serving(project), definedBy(project)]);
    return specs.map((spec) => ({
      ...{ project, name: spec.name, spec, defined: own.length > 0, serves: spec.name === serves?.name },
      closed: closedAt(spec, clock.now()) ?? null,
      holds: held.filter(({ environment }) => environment === spec.name).map(toHeld),
    }));
  }
  return {
    of,
    serving,
    async require(project, name) {
      const found = (await of(project)).find((spec) => spec.name === name);
      if (found === undefined) throw notFound(`environment of the project "${project}"`, name);
      return found;
    },
    async list(project) {
      if (project !== undefined) return one(project);
      const known = new Set([...(await on.projects.projects()).map((version) => version.project), ...(await on.released())]);
      return (await Promise.all([...known].sort().map(one))).flat();
    },
    async projectsOf(model) {
      const endpoints = await on.projects.list("endpoint");
      return [...new Set(endpoints.filter(({ spec }) => spec.model === model).map(({ project }) => project))].sort();
    },
  };
}

/** Each behind those that it is after, else by their names' order. */
function inOrder(specs: EnvironmentSpec[]): EnvironmentSpec[] {
  const placed: EnvironmentSpec[] = [];
  const rest = [...specs];
  while (rest.length > 0) {
    const next = rest.findIndex((spec) => spec.after.every((name) => !rest.some((other) => other.name === name)));
    placed.push(...rest.splice(Math.max(0, next), 1));
  }
  return placed;
}

/** Why nothing comes in now; undefined where it may. */
export function closedAt({ freezes, windows }: EnvironmentSpec, now: Date): string | undefined {
  const freeze = freezes.find(({ from, to }) => Date.parse(from) <= now.getTime() && now.getTime() < Date.parse(to));
  if (freeze !== undefined) return `It is frozen until ${freeze.to}: ${freeze.reason}`;
  if (windows.length === 0 || windows.some((window) => isWithin(window, now))) return undefined;
  const opens = windows.flatMap(({ cron, zone }) => new Cron(cron, { timezone: zone, paused: true, mode: "5-part" }).nextRun(now) ?? []);
  const next = opens.sort((a, b) => a.getTime() - b.getTime())[0];
  return `No window is open${next === undefined ? "" : `; the next one opens at ${shownMoment(next)}`}.`;
}
function isWithin({ cron, zone, for: time }: EnvironmentSpec["windows"][number], now: Date): boolean {
  // From the second after, as moments are whole seconds and `now` itself counts.
  const last = new Cron(cron, { timezone: zone, paused: true, mode: "5-part" }).previousRuns(2, new Date(now.getTime() + 1_000));
  return last.some((opened) => opened <= now && now.getTime() < opened.getTime() + durationMs(time));
}
