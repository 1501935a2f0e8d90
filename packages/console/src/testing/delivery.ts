/** What is on its way through environments, made up in the shapes of the API. */
import type { Build, Decision, Environment, Promotion, PromotionDetail, Release, ReleaseDetail, Repository } from "@millrace/sdk/api";
import { defaultEnvironments, type EnvironmentSpec } from "@millrace/sdk/spec";
import { clock } from "./fixtures";

const now = Date.parse(clock.now);
const ago = (hours: number): string => new Date(now - hours * 3_600_000).toISOString();
const digest = (of: string): string => `sha256:${of.repeat(32)}`;
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const release: Release = {
  ...{ digest: digest("a1"), project: "flights", commit: "6750049918c7209448111dd7935185b79bf39f17", authors: ["anna@example.org"] },
  ...{ createdBy: "anna", createdAt: ago(30), signedBy: ["3f9a0d4c7712"] },
};
export const releases: Release[] = [
  release,
  { ...release, digest: digest("b2"), commit: "0c1d2e3f4a5b60718293a4b5c6d7e8f901234567", createdAt: ago(400), signedBy: [] },
];
export const releaseOf = (of: string): ReleaseDetail | undefined => {
  const found = releases.find((one) => one.digest === of);
  return (
    found && {
      ...found,
      manifest: {
        ...{ format: "millrace-release/v1", project: found.project, commit: found.commit, document: digest("d0"), sbom: digest("5b") },
        files: range(40).map((i) => ({ path: `pipelines/a_folder_with_a_long_name/and_another_one_${i}/train.py`, digest: digest("f0"), size: 1_200 + i })),
      },
      signatures: found.signedBy.map((key) => ({ key, signature: {}, addedBy: "anna", addedAt: ago(30) })),
      checks: [{ passed: true, summary: "41 checks passed, 2 were skipped", report: digest("c4"), addedBy: "ci", addedAt: ago(29) }],
    }
  );
};

const promotion: Promotion = {
  ...{ id: `${"0".repeat(31)}1`, project: "flights", environment: "prod", kind: "release", release: release.digest, model: null, version: null },
  ...{
    rollback: false,
    state: "waiting",
    message: "It waits for 2 approvals by role:admin, bert.",
    reason: "Holidays are a feature",
    authors: ["anna@example.org"],
  },
  ...{ approvedBy: ["carla"], requestedBy: "anna", requestedAt: ago(2), finishedAt: null },
};
export const promotions: Promotion[] = [
  promotion,
  {
    ...{ ...promotion, id: `${"0".repeat(31)}2`, environment: "staging", kind: "model", release: null, model: "delay", version: 3, state: "failed" },
    message: "Its endpoint answered 212 requests a second, 99 of 100 within 48 ms, above the bound of 20 ms.",
    finishedAt: ago(1),
  },
  { ...promotion, id: `${"0".repeat(31)}3`, environment: "staging", state: "deployed", message: null, rollback: true, approvedBy: [], finishedAt: ago(5) },
];
const decision = (kind: Decision["kind"], at: number, by: string, message: string, more: Partial<Decision> = {}): Decision => ({
  ...{ at: ago(at), by, kind, gate: null, passed: null, message, evidence: [] },
  ...more,
});
export const promotionOf = (id: string): PromotionDetail | undefined => {
  const found = promotions.find((one) => one.id === id);
  return (
    found && {
      ...found,
      decisions: [
        decision("requested", 2, "anna", "the release a1a1a1a1a1a1 for prod: Holidays are a feature"),
        decision("gate", 1.9, "millrace", "One of 2 keys has signed it: 3f9a0d4c7712.", {
          ...{ gate: "signed", passed: true, evidence: [{ what: "signature", digest: digest("51") }] },
        }),
        decision("gate", 1.8, "millrace", "Its newest check failed, which only warns: 1 of 43 checks.", {
          ...{ gate: "checked", passed: false, evidence: [{ what: "report of the check", digest: digest("c4") }] },
        }),
        decision("approved", 1, "carla", "As admin: I have read the report."),
      ],
    }
  );
};

const rules: Partial<Record<string, Partial<EnvironmentSpec>>> = {
  staging: {
    description: "As prod is, with a tenth of its machines",
    server: { url: "https://a-rather-long-name-of-a-server.staging.example.org:8443/millrace" },
  },
  prod: {
    gates: [{ kind: "signed", keys: ["-----BEGIN PUBLIC KEY-----"] }, { kind: "checked" }],
    ...{ approvals: { count: 2, by: ["role:admin", "bert"] }, protected: true },
    freezes: [{ from: ago(-700), to: ago(-1_000), reason: "the busiest weeks of the year" }],
    windows: [{ cron: "0 9 * * 1-4", zone: "Europe/Oslo", for: "7h" }],
  },
};
const holds: Partial<Record<string, Environment["holds"]>> = {
  dev: [
    { kind: "release", release: release.digest, model: null, version: null, since: ago(29), promotion: promotion.id },
    { kind: "model", release: null, model: "fraud_by_card_and_country_of_issue", version: 12, since: ago(20), promotion: promotion.id },
    { kind: "model", release: null, model: "delay", version: 3, since: ago(70), promotion: promotion.id },
  ],
  staging: [
    { kind: "release", release: release.digest, model: null, version: null, since: ago(5), promotion: promotion.id },
    { kind: "model", release: null, model: "delay", version: 2, since: ago(170), promotion: promotion.id },
  ],
  prod: [{ kind: "release", release: digest("b2"), model: null, version: null, since: ago(390), promotion: promotion.id }],
};
export const environments: Environment[] = ["flights", "shop"].flatMap((project) =>
  defaultEnvironments.map(
    (spec): Environment => ({
      ...{ project, name: spec.name, spec: { ...spec, ...(project === "flights" ? rules[spec.name] : {}) } },
      ...{ defined: project === "flights", serves: spec.name === "prod" },
      closed: project === "flights" && spec.name === "prod" ? "No window is open; the next one opens at 2013-08-14 07:00 UTC." : null,
      holds: (project === "flights" ? holds[spec.name] : undefined) ?? [],
    }),
  ),
);

export const repositories: Repository[] = [
  {
    ...{ name: "flights", url: "https://git.example.org/a/rather/long/path/to/the/repository/of/flights.git", folder: "", branch: "main", tags: "v*" },
    ...{ pollSeconds: 60, webhookSecret: "HOOK", token: null, check: true, project: "flights", lookedAt: ago(0.01), createdBy: "anna" },
    problem: "It could not be read: the address answers 503.",
  },
];
const build: Build = {
  ...{ id: "9", repository: "flights", ref: "refs/heads/main", commit: release.commit, state: "released", message: "41 checks passed, 2 were skipped" },
  ...{ release: release.digest, log: digest("10"), foundAt: ago(30), finishedAt: ago(29.9) },
};
export const builds: Build[] = [
  { ...build, id: "11", ref: "refs/tags/v1.2.0", state: "building", message: null, release: null, log: null, finishedAt: null },
  { ...build, id: "10", state: "failed", message: "types: pipelines/delay.ts(12,3): error TS2322: a number is no string.", release: null },
  build,
];
