import { durationMs } from "../duration.js";
import type { EnvironmentGate, EnvironmentSpec, Severity, SmokeRequest } from "../spec.js";
import { type Definition, type DurationText, define } from "./definition.js";
import { given, here } from "./place.js";

interface GateOptions {
  /** `warn` tells, and lets it pass. Default `block`. */
  severity?: Severity;
}
type Cell = string | number | boolean | null;
/** Of an input or output that has more than one value a row, all of them in order. */
type Cells = Cell | readonly Cell[];
interface Request {
  /** Rows of what the endpoint takes: a value for each of its inputs. */
  rows: readonly Readonly<Record<string, Cells>>[];
  /** By output, a value for each row. */
  expect?: Readonly<Record<string, readonly Cells[]>>;
  /** How far a number may be from what is expected. Default 0.000001. */
  within?: number;
}
const copied = (value: Cells): Cell | Cell[] => (typeof value === "object" && value !== null ? [...value] : value);
const requestOf = ({ rows, expect, within }: Request): SmokeRequest =>
  given({
    rows: rows.map((row) => Object.fromEntries(Object.entries(row).map(([input, value]) => [input, copied(value)]))),
    expect: expect === undefined ? undefined : Object.fromEntries(Object.entries(expect).map(([output, values]) => [output, values.map(copied)])),
    within,
  });

/** The version answers these requests at its model's endpoints, and where that is said, as expected. */
export const smoke = (requests: readonly Request[], { severity }: GateOptions = {}): EnvironmentGate =>
  given({ kind: "smoke" as const, requests: requests.map(requestOf), severity });
/** The version answers so many requests a second for so long (default `10s`), and 99 of 100 within `p99`. */
export const loadTest = ({
  perSecond,
  p99,
  for: time,
  requests,
  severity,
}: GateOptions & { perSecond: number; p99: DurationText; for?: DurationText; requests: readonly Request[] }): EnvironmentGate =>
  given({ kind: "load" as const, perSecond, p99Ms: durationMs(p99), for: time, requests: requests.map(requestOf), severity });
/** Its packages can be had by this server, and in memory it takes at most so much. */
export const fits = ({ memory, severity }: GateOptions & { memory?: `${bigint}${"MiB" | "GiB"}` } = {}): EnvironmentGate =>
  given({ kind: "fits" as const, memory, severity });
/** What the endpoints of the model take and give stays as it is. */
export const sameSignature = ({ severity }: GateOptions = {}): EnvironmentGate => given({ kind: "same_signature" as const, severity });
/** Validation accepted the data that the version was made from; with `accepted: false`, what a person accepted from quarantine is not enough. */
export const dataValidated = ({ accepted = true, severity }: GateOptions & { accepted?: boolean } = {}): EnvironmentGate =>
  given({ kind: "data_validated" as const, accepted, severity });
/** One of these keys, the texts of their `.pub` files, has signed the release or the version. */
export const signed = ({ keys, severity }: GateOptions & { keys: readonly string[] }): EnvironmentGate =>
  given({ kind: "signed" as const, keys: [...keys], severity });
/** The release's newest check passed: that of a watched repository, or one that was noted. */
export const checked = ({ severity }: GateOptions = {}): EnvironmentGate => given({ kind: "checked" as const, severity });

export interface Environment extends Definition<"environments"> {}
/**
 * A place that releases of the project and versions of its models come to, one after the other, and what must hold for that. Of the environments
 * without a `server` the last is what this server serves. A project that defines none has dev, staging and prod.
 */
export function environment(options: {
  name: string;
  description?: string;
  /** What comes here was in these before. */
  after?: Environment | readonly Environment[];
  /** Those of a register step, `atLeast`, `noSliceWorse` and so on, and those of environments. */
  gates?: readonly EnvironmentGate[];
  /** So many people say yes, never an author: users by name, or by role as `role:admin`. */
  approvals?: { count: number; by?: readonly string[] };
  /** Nothing comes here from one moment to another, as `2026-12-20T00:00:00Z`. */
  freezes?: readonly { from: string; to: string; reason: string }[];
  /** Only for so long from each moment of a cron expression on, read in `zone`, default UTC. */
  windows?: readonly { cron: string; zone?: string; for: DurationText }[];
  /** Another server; `token` names the secret of this one with a token of that. */
  server?: { url: string; token?: string };
  /** What asks for a promotion by itself: a push to the watched branch, a tag, or that all of `after` hold it. */
  on?: "push" | "tag" | "deployed";
  /** What this server serves comes by promotion alone: `millrace apply` is refused. */
  protected?: boolean;
}): Environment {
  const { after = [], approvals } = options;
  const before: readonly Environment[] = "name" in after ? [after] : after;
  const spec: EnvironmentSpec = given({
    name: options.name,
    description: options.description,
    after: before.map((one) => one.name),
    gates: [...(options.gates ?? [])],
    approvals: approvals === undefined ? undefined : given({ count: approvals.count, by: approvals.by === undefined ? undefined : [...approvals.by] }),
    freezes: (options.freezes ?? []).map((one) => ({ ...one })),
    windows: (options.windows ?? []).map(({ cron, zone = "UTC", for: time }) => ({ cron, zone, for: time })),
    server: options.server === undefined ? undefined : given({ ...options.server }),
    on: options.on,
    protected: options.protected,
    definedAt: here(),
  });
  return define("environments", spec, before);
}
