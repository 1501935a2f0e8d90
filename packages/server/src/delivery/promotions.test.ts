import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { PromotionDetail } from "@millrace/sdk/api";
import { type ApiError, type Client, createClient } from "@millrace/sdk/client";
import { makeKey } from "@millrace/sdk/release";
import type { EnvironmentSpec } from "@millrace/sdk/spec";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createAccess } from "../access/index.js";
import { openPlatform } from "../platform/open.js";
import { type Role, type RunningServer, startServer } from "../server.js";
import { closedAt } from "./environments.js";
import { addDecision } from "./promotion-store.js";
import { commitAll, millrace, registerShade, shadeRepository } from "./testing.js";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
let folder: string;
let server: RunningServer;
/** Another server, which is an environment of the first. */
let abroad: RunningServer;
const tokens: Record<string, string> = {};
let anna: Client;
let bo: Client;
let cy: Client;
let there: Client;
let first: string;

const definitions = (url: string, key: string) => `
const red = { rows: [{ color: "red", x: 1 }, { color: "blue", x: 0 }], expect: { probability: [${sigmoid(2)}, ${sigmoid(-1)}] }, within: 0.00001 };
const dev = sdk.environment({ name: "dev" });
const staging = sdk.environment({
  name: "staging",
  after: dev,
  gates: [
    sdk.checked(),
    sdk.signed({ keys: [${JSON.stringify(key)}], severity: "warn" }),
    sdk.atLeast("auc", 0.6, { severity: "warn" }),
    sdk.sameSignature(),
    sdk.fits({ memory: "1MiB" }),
    sdk.smoke([red]),
    sdk.loadTest({ perSecond: 40, p99: "2000ms", for: "1s", requests: [red] }),
  ],
});
const prod = sdk.environment({ name: "prod", after: staging, approvals: { count: 2, by: ["anna", "bo", "role:admin"] }, protected: true });
const abroad = sdk.environment({ name: "abroad", after: prod, on: "deployed", server: { url: "${url}", token: "ABROAD_TOKEN" } });
const frozen = sdk.environment({ name: "frozen", after: dev, server: { url: "${url}" }, freezes: [{ from: "2020-01-01T00:00:00Z", to: "2120-01-01T00:00:00Z", reason: "the year's end" }] });
const more = [dev, staging, prod, abroad, frozen];
`;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-promotions-"));
  const config = (name: string) => ({
    ...{ host: "127.0.0.1", port: 0, dataDir: path.join(folder, name), logLevel: "error" },
    clock: { kind: "system" as const },
  });
  const users = { here: { anna: "editor", bo: "editor", cy: "admin", vera: "viewer" }, abroad: { robot: "editor" } } satisfies Record<
    string,
    Record<string, Role>
  >;
  for (const [place, roles] of Object.entries(users)) {
    const { platform, close } = await openPlatform(config(place));
    const access = await createAccess(platform);
    for (const [name, role] of Object.entries(roles)) tokens[name] = await access.addPrincipal(name, role);
    await close();
  }
  [server, abroad] = [await startServer(config("here")), await startServer(config("abroad"))];
  const client = (name: string, of = server) => createClient({ url: of.url, token: tokens[name] });
  [anna, bo, cy, there] = [client("anna"), client("bo"), client("cy"), client("robot", abroad)];
  await cy.secrets.set("ABROAD_TOKEN", tokens.robot ?? "");

  const { privatePem, publicPem } = makeKey("p256");
  await writeFile(path.join(folder, "key.pem"), privatePem);
  await shadeRepository(path.join(folder, "shades"), definitions(abroad.url, publicPem));
  expect(await run("cy", "apply", "shades")).toMatchObject({ code: 0 });
  first = await release();
});
afterAll(async () => {
  await server?.stop();
  await abroad?.stop();
  await rm(folder, { recursive: true, force: true });
});

const run = (who: string, ...args: string[]) => millrace(args, { cwd: folder, url: server.url, env: { MILLRACE_TOKEN: tokens[who] ?? "" } });
async function release(): Promise<string> {
  const { stdout, stderr } = await run("anna", "release", "shades", "--key", "key.pem", "--json");
  expect(stderr).toBe("");
  return (JSON.parse(stdout) as { digest: string }).digest;
}
async function over(id: string): Promise<PromotionDetail> {
  await expect.poll(async () => (await anna.promotions.get(id)).finishedAt, { timeout: 30_000 }).not.toBeNull();
  return anna.promotions.get(id);
}
async function waits(id: string, message: string): Promise<void> {
  await expect.poll(async () => (await anna.promotions.get(id)).message).toContain(message);
}
const to = async (environment: string, what: { release: string } | { model: string; version: number }) =>
  over((await anna.promotions.start({ environment, ...what })).id);
const gatesOf = ({ decisions }: PromotionDetail) => decisions.flatMap(({ gate, passed }) => (gate === null ? [] : [[gate, passed]]));
const refusal = (asked: Promise<unknown>) =>
  asked.then(
    () => "it was taken",
    (error: ApiError) => `${error.status} ${error.message}`,
  );

test("a release comes from one environment to the next by what each asks for, and each decision is kept with who and why", async () => {
  expect(await to("dev", { release: first })).toMatchObject({ state: "deployed", requestedBy: "anna", authors: ["anna", "anna@example.org"] });
  expect(await to("prod", { release: first })).toMatchObject({ state: "refused", message: "It was never in staging, which comes before prod." });
  expect(await to("staging", { release: first.slice(0, 19) })).toMatchObject({ state: "refused", message: "checked: It was never checked." });
  await bo.releases.check(first, { passed: true, summary: "12 tests" });
  const staged = await to("staging", { release: first });
  expect([staged.state, gatesOf(staged)]).toEqual([
    "deployed",
    [
      ["was in dev", true],
      ["checked", true],
      ["signed", true],
    ],
  ]);

  const { id } = await anna.promotions.start({ environment: "prod", release: first, reason: "the spring release" });
  await waits(id, "It waits for approvals by anna, bo, role:admin: 0 of 2 are there.");
  expect(await refusal(anna.promotions.answer(id, "approve"))).toContain('403 "anna" is an author of what is promoted');
  expect(await run("vera", "approve", id)).toMatchObject({ code: 1, stderr: expect.stringContaining("delivery:approve") });
  expect(await run("bo", "approve", id, "--comment", "looks right")).toMatchObject({ code: 0, stdout: expect.stringContaining("is approved") });
  await bo.promotions.answer(id, "approve");
  await waits(id, "It waits for approvals by anna, bo, role:admin: 1 of 2 are there.");
  await cy.promotions.answer(id, "approve");
  const done = await over(id);
  expect(done).toMatchObject({ state: "deployed", approvedBy: ["bo", "cy"], message: expect.stringMatching(/^shades is at version \d+/) });
  expect(done.decisions.map(({ kind, by, message }) => [kind, by, message.slice(0, 60)])).toEqual([
    ["requested", "anna", `the release ${first.slice(0, 19)} for prod: the spring release`.slice(0, 60)],
    ["gate", "millrace", expect.stringContaining("It came to staging")],
    ["approved", "bo", "As editor: looks right"],
    ["approved", "cy", "As admin."],
    ["released", "millrace", "bo, cy approved it."],
    ["deployed", "millrace", expect.stringContaining("shades is at version")],
  ]);
  const shown = await run("vera", "promotion", "show", id);
  expect(shown.stdout).toContain("anna  requested. the release");
  const types = (await cy.events({ types: "promotion.*,release.*", limit: 1000 })).items.filter(({ data }) => data.promotion === id).map(({ type }) => type);
  expect(types).toEqual(["promotion.requested", "promotion.approved", "promotion.approved", "promotion.deployed"]);

  // Nothing else comes there.
  expect(await run("cy", "apply", "shades", "--dry-run")).toMatchObject({ code: 0, stderr: expect.stringContaining("to which releases alone come") });
  expect(await run("cy", "apply", "shades")).toMatchObject({ code: 1, stderr: expect.stringContaining("millrace promote <release> --to prod") });

  // What follows by itself, to another server.
  await expect.poll(async () => (await anna.promotions.list({ environment: "abroad" })).items[0]?.state).toBe("deployed");
  expect((await there.projects.list()).items).toMatchObject([{ project: "shades", version: 1, appliedBy: "robot" }]);
  expect((await there.releases.list()).items).toMatchObject([{ digest: first, authors: ["robot", "anna", "anna@example.org"] }]);
});

test("a model's version is let in by what it answers, takes over by its endpoint's rollout, and goes back at once", async () => {
  const version = await registerShade(server.url, "columns", tokens.anna);
  const model = { model: "shade", version };
  expect(await to("dev", model)).toMatchObject({ state: "deployed", message: "It has the alias dev." });
  const staged = await to("staging", model);
  expect(gatesOf(staged)).toEqual([
    ["was in dev", true],
    ["signed", false],
    ["auc at least 0.6", false],
    ["signature equal", true],
    ["packages and memory fit", true],
    ["smoke requests", true],
    ["40 requests/s at p99 2000 ms", true],
  ]);
  expect(staged.state).toBe("deployed");
  const [evidence] = staged.decisions.find(({ gate }) => gate === "40 requests/s at p99 2000 ms")?.evidence ?? [];
  const kept = JSON.parse(await new Response(await anna.object(evidence?.digest ?? "")).text()) as { asked: number; answered: number }[];
  expect(kept).toMatchObject([{ asked: 40, answered: 40 }]);
  const approved = async (what: typeof model) => {
    const { id } = await anna.promotions.start({ environment: "prod", ...what });
    for (const one of [bo, cy]) await one.promotions.answer(id, "approve");
    return over(id);
  };
  expect(await approved(model)).toMatchObject({ state: "deployed", message: "shade answers with it." });
  await expect.poll(async () => (await anna.endpoints.get("shade")).stable).toBe(version);
  const card = JSON.parse(await anna.models.card("shade", version, "json"));
  expect(card.approvals).toMatchObject([
    { of: "promotion to prod", approved: true, by: "bo", comment: "As editor." },
    { of: "promotion to prod", approved: true, by: "cy", comment: "As admin." },
  ]);

  // Another answer to the same request.
  const wrong = await registerShade(server.url, "reversed", tokens.anna);
  expect(await to("dev", { ...model, version: wrong })).toMatchObject({ state: "deployed" });
  const refused = await run("anna", "promote", `shade/${wrong}`, "--to", "staging", "--wait");
  expect(refused).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/FAILED: smoke requests\. 1 of 1 requests are not answered as expected\. request 1 at shade: probability\[0\] is 0\.26/),
  });

  const next = { ...model, version: await registerShade(server.url, "columns", tokens.anna) };
  for (const environment of ["dev", "staging"]) expect(await to(environment, next), environment).toMatchObject({ state: "deployed" });
  const rolled = await approved(next);
  expect(rolled).toMatchObject({ state: "deployed", message: "shade answers with it." });
  expect((await anna.endpoints.rollouts("shade")).items[0]).toMatchObject({ candidate: next.version, state: "promoted" });
  await expect.poll(async () => (await anna.models.get("shade")).aliases).toMatchObject({ champion: next.version, prod: next.version, dev: next.version });

  expect(await run("bo", "environment", "rollback", "prod", "--model", "shade", "--reason", "complaints", "--wait")).toMatchObject({
    code: 0,
    stdout: `shade/${version} is in prod.\n`,
  });
  await expect.poll(async () => (await anna.endpoints.get("shade")).stable).toBe(version);
  const listed = await run("vera", "environment", "list");
  expect(listed.stdout).toMatch(new RegExp(`^shades/prod +this server, which serves it +.*shade/${version}.* +2 approvals +yes$`, "m"));
  expect(await refusal(bo.environments.rollback("shades", "prod", { model: "shade", reason: "again" }))).toContain("409 Nothing was in prod before");
  // Elsewhere what came by itself stays: what goes back goes back where somebody says so.
  await expect.poll(async () => (await there.models.get("shade")).aliases.champion).toBe(2);
});

test("the earlier release comes back as a new version of the project, and nothing holds it up", async () => {
  await commitAll(path.join(folder, "shades"), "Nothing", "README.md");
  const second = await release();
  await bo.releases.check(second, { passed: true, summary: "12 tests" });
  for (const environment of ["dev", "staging"]) expect(await to(environment, { release: second })).toMatchObject({ state: "deployed" });
  const { id } = await anna.promotions.start({ environment: "prod", release: second });
  for (const one of [bo, cy]) await one.promotions.answer(id, "approve");
  await over(id);
  const before = (await anna.projects.list()).items[0]?.version ?? 0;
  expect(await run("bo", "environment", "rollback", "prod", "--reason", "late trains", "--wait")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(first.slice(0, 19)),
  });
  expect((await anna.projects.list()).items).toMatchObject([{ version: before + 1, commit: (await anna.releases.get(first)).commit, appliedBy: "bo" }]);
});

test("one takes the place of another that waits; what waits is cancelled, refused by a person, or kept out by a freeze", async () => {
  const model = { model: "shade", version: await registerShade(server.url, "columns", tokens.anna) };
  await to("dev", model);
  await to("staging", model);
  const ask = async (environment: string) => (await anna.promotions.start({ environment, ...model })).id;
  const waiting = await ask("prod");
  expect(await ask("prod")).toBe(waiting);
  expect(await refusal(bo.promotions.answer(waiting, "cancel", "not today"))).toBe("it was taken");
  expect(await refusal(bo.promotions.answer(waiting, "approve"))).toContain("409 The promotion is cancelled");
  const again = await ask("prod");
  const other = { ...model, version: await registerShade(server.url, "columns", tokens.anna) };
  const { id: newer } = await anna.promotions.start({ environment: "prod", ...other });
  expect(await over(again)).toMatchObject({ state: "superseded", message: `shade/${other.version} is to come in its place.` });
  expect(await over(newer)).toMatchObject({ state: "refused" });
  const third = await ask("prod");
  expect(await run("cy", "reject", third, "--comment", "no")).toMatchObject({ code: 0, stdout: expect.stringContaining("is refused") });
  const frozen = await ask("frozen");
  await waits(frozen, "It is frozen until 2120-01-01T00:00:00Z: the year's end");
  expect((await run("vera", "promotion", "list", "--open")).stdout).toContain("the year's end");
  expect(await run("cy", "promotion", "cancel", frozen)).toMatchObject({ code: 0 });
});

test("a version that has the number of one that was deleted is another one", async () => {
  const cab = { model: "cab", version: 1, project: "shades" };
  expect(await registerShade(server.url, "columns", tokens.anna, "cab")).toBe(1);
  expect(await over((await anna.promotions.start({ environment: "dev", ...cab })).id)).toMatchObject({ state: "deployed" });
  await anna.request("DELETE", "/api/2.0/mlflow/registered-models/delete", { json: { name: "cab" } });
  expect(await registerShade(server.url, "reversed", tokens.anna, "cab")).toBe(1);
  const { id } = await anna.promotions.start({ environment: "staging", ...cab });
  expect(await over(id)).toMatchObject({ state: "refused", message: "It was never in dev, which comes before staging." });
});

test("what is wrong is told in words", async () => {
  const started = (start: object) => refusal(anna.request("POST", "/api/v1/promotions", { json: start }));
  expect(await started({ environment: "moon", release: first })).toContain('404 There is no environment of the project "shades" "moon"');
  expect(await started({ environment: "dev" })).toContain("400 Say what is promoted");
  expect(await started({ environment: "dev", release: first, model: "shade", version: 1 })).toContain("400 Say what is promoted");
  expect(await started({ environment: "dev", model: "shade", version: 99 })).toContain("404");
  expect(await started({ environment: "dev", release: `sha256:${"0".repeat(64)}` })).toContain("404");
  expect(await refusal(anna.promotions.get("0".repeat(32)))).toContain("404");
  const vera = createClient({ url: server.url, token: tokens.vera });
  expect(await refusal(vera.promotions.start({ environment: "dev", release: first }))).toContain("403");
  expect(
    await refusal(
      there.models.deploy({
        model: "x",
        origin: "o",
        digest: first,
        files: [{ path: "../x", digest: first, size: 1 }],
        service: null,
        metrics: {},
        gates: [],
        report: null,
        signatures: [],
        atOnce: false,
      }),
    ),
  ).toMatch(/^4(00|09) /);
});

test("what was decided can't be changed, whoever asks the database", async () => {
  const { platform, close } = await openPlatform({
    ...{ host: "127.0.0.1", port: 0, logLevel: "silent" },
    dataDir: path.join(folder, "alone"),
    clock: { kind: "system" },
  });
  try {
    await platform.db.transaction().execute((transaction) => addDecision(transaction, "one", new Date(), { by: "anna", kind: "requested", message: "" }));
    for (const change of [sql`update promotion_decision set by = 'bo'`, sql`delete from promotion_decision`, sql`truncate promotion_decision`])
      await expect(change.execute(platform.db)).rejects.toThrow("never changed or deleted");
  } finally {
    await close();
  }
});

test("windows open at moments of a cron expression, for a while", () => {
  const environment = (windows: EnvironmentSpec["windows"]): EnvironmentSpec => ({ name: "prod", after: [], gates: [], freezes: [], windows });
  const weekdays = environment([{ cron: "0 9 * * 1-5", zone: "Europe/Oslo", for: "8h" }]);
  expect(closedAt(weekdays, new Date("2026-11-27T07:59:59Z"))).toBe("No window is open; the next one opens at 2026-11-27 08:00 UTC.");
  for (const at of ["2026-11-27T08:00:00Z", "2026-11-27T15:59:59.999Z", "2026-06-26T07:00:00Z"]) expect(closedAt(weekdays, new Date(at)), at).toBe(undefined);
  for (const at of ["2026-11-27T16:00:00Z", "2026-11-28T10:00:00Z", "2026-06-26T06:59:59Z"])
    expect(closedAt(weekdays, new Date(at)), at).toContain("No window");
  // One that goes on while the next one is about to open.
  expect(closedAt(environment([{ cron: "0 * * * *", zone: "UTC", for: "2h" }]), new Date("2026-01-01T10:59:59.500Z"))).toBe(undefined);
});
