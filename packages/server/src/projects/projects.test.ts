import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Plan, ProjectVersion } from "@millrace/sdk/api";
import type { Expr, ProjectSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openHttp, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { createProjects, projectsRoutes } from "./index.js";
import { applyProject, projectSpec } from "./testing.js";

let folder: string;
let url: string;
let platform: Platform;
let stop: () => Promise<void>;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const opened = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "warn" });
  platform = opened.platform;
  const app = await openHttp(platform, async () => ({ name: "anna" }));
  projectsRoutes(app, createProjects(platform), platform.objects);
  url = await app.listen({ host: "127.0.0.1", port: 0 });
  stop = async () => {
    await app.close();
    await opened.close();
  };
});
afterAll(async () => {
  await stop();
  await rm(folder, { recursive: true, force: true });
});

const flights = { name: "flights", mode: "append" as const, timestamp: "time", definedAt: "millrace.ts:3" };
const expression: Expr = { op: "add", left: { op: "column", name: "a" }, right: { op: "coalesce", of: [{ op: "literal", value: 1 }] } };
const service = {
  name: "features",
  request: [
    { name: "a", type: "int64" as const },
    { name: "at", type: "timestamp" as const },
  ],
  timestamp: "at",
  views: [],
  compute: [{ name: "b", type: "int64" as const, expr: expression }],
  features: [{ name: "b", type: "int64" as const }],
};

type Answer = Plan & ProjectVersion & { error?: { code: string; message: string; details: unknown } };
async function put(spec: ProjectSpec): Promise<{ status: number; body: Answer }> {
  const answer = await fetch(`${url}/api/v1/projects/${spec.name}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(spec),
  });
  return { status: answer.status, body: (await answer.json()) as Answer };
}

test("a project is applied with its files, applying it again makes no version, and a change names its fields", async () => {
  const bytes = Buffer.from("print('hello')\n");
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const spec = projectSpec({ name: "delays", datasets: [flights], featureServices: [service], files: [{ path: "train.py", digest, size: bytes.length }] });

  const refused = await put(spec);
  expect([refused.status, refused.body.error?.code, refused.body.error?.details]).toEqual([409, "FILES_MISSING", { missing: [digest] }]);
  const wrong = await fetch(`${url}/api/v1/objects/${digest}`, { method: "PUT", body: "other" });
  expect(wrong.status).toBe(400);
  const uploaded = await fetch(`${url}/api/v1/objects/${digest}`, { method: "PUT", body: bytes });
  expect([uploaded.status, await uploaded.json()]).toEqual([200, { digest, size: bytes.length }]);
  expect(await (await fetch(`${url}/api/v1/objects/${digest}`)).text()).toBe("print('hello')\n");

  const first = await put(spec);
  expect([first.status, first.body.version, first.body.appliedBy]).toEqual([200, 1, "anna"]);
  expect(first.body.changes.map((change) => change.action)).toEqual(["create", "create"]);
  const again = await put(spec);
  expect([again.body.version, again.body.changes.every((change) => change.action === "unchanged")]).toEqual([1, true]);

  const moved = { ...flights, timestamp: "landed", definedAt: "millrace.ts:9" };
  const second = await put({ ...spec, datasets: [moved], featureServices: [] });
  expect(second.body.version).toBe(2);
  expect(second.body.changes).toEqual([
    { action: "update", kind: "dataset", name: "flights", fields: ["timestamp"] },
    { action: "delete", kind: "feature_service", name: "features" },
  ]);
  expect((await platform.events.list({ limit: 10, types: ["project.*"] })).map((event) => event.data.version)).toEqual([1, 2]);
});

test("another process sees what was applied", async () => {
  const here = createProjects(platform);
  const there = createProjects(platform);
  expect(await there.get("entity", "plane")).toBeUndefined();
  await applyProject(here, { entities: [{ name: "plane", keys: [{ name: "tailnum", type: "string" }] }] });
  expect((await there.list("entity")).map((entity) => entity.name)).toEqual(["plane"]);
  expect((await there.require("entity", "plane")).projectVersion).toBe(1);
  await expect(there.require("entity", "ship")).rejects.toThrow('There is no entity "ship".');
});

test("a name that another project owns is refused, and so is a path outside the project", async () => {
  const projects = createProjects(platform);
  await applyProject(projects, { name: "one", schemas: [{ name: "shared", columns: {} }] });
  await expect(applyProject(projects, { name: "two", schemas: [{ name: "shared", columns: {} }] })).rejects.toThrow(/belongs to the project "one"/);
  const digest = `sha256:${"0".repeat(64)}`;
  await expect(applyProject(projects, { name: "two", files: [{ path: "../etc/passwd", digest, size: 1 }] })).rejects.toThrow(/no path inside the project/);
});

test("a document whose names lead nowhere is refused with every place, whoever wrote it", async () => {
  const lost = { ...flights, name: "lost", schema: "none" };
  const answer = await put(projectSpec({ name: "lost", datasets: [lost], featureServices: [{ ...service, name: "astray", views: ["nowhere"] }] }));
  expect(answer.status).toBe(400);
  expect(answer.body.error).toMatchObject({ code: "INVALID", details: { problems: [{ at: "millrace.ts:3" }, {}] } });
  expect(answer.body.error?.message).toContain('millrace.ts:3: the dataset "lost": there is no schema "none"');
});

test("the form of a document is published, and what is wrong in one written by hand is told with its place", async () => {
  const schema = await fetch(`${url}/schema/project-v1.json`);
  expect(schema.headers.get("content-type")).toContain("application/schema+json");
  expect(await schema.json()).toMatchObject({ $schema: "https://json-schema.org/draft/2020-12/schema", $defs: { Node: {}, Expr: {} } });

  const step = (of: object) => ({ id: "work", kind: "command", inputs: {}, outputs: [], config: { command: ["true"] }, definedAt: "hand.json:7", ...of });
  const refused = async (nodes: unknown[], expectations: unknown[] = []) => {
    const pipelines = nodes.length === 0 ? [] : [{ name: "by_hand", params: [], nodes }];
    const files = [{ path: "checks.mjs", digest: `sha256:${"1".repeat(64)}`, size: 1 }];
    const spec = { ...projectSpec({ name: "by_hand", files }), pipelines, schemas: [{ name: "s", columns: {}, expectations, definedAt: "hand.json:9" }] };
    const answer = await fetch(`${url}/api/v1/projects/by_hand`, {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(spec),
    });
    const { error } = (await answer.json()) as Answer;
    return `${answer.status} ${error?.message}`;
  };
  expect(await refused([step({ inputs: { rows: { node: "gone", output: "rows" } } })])).toMatch(
    /^400 .*hand\.json:7: the step "work" of the pipeline "by_hand" takes "rows" from a step that is not there: there is no step "gone"/,
  );
  const [a, b] = [
    step({ id: "a", inputs: { x: { node: "b", output: "x" } } }),
    step({ id: "b", outputs: [{ name: "x", type: "json" }], inputs: { x: { node: "a", output: "x" } } }),
  ];
  expect(await refused([a, b])).toMatch(/takes "x" from "b": steps go in a cycle, "a" needs "b" needs "a"/);
  expect(await refused([step({ timeout: "soon" })])).toBe(
    '400 The document is not well formed: /pipelines/0/nodes/0/timeout is "soon": write a length of time, a whole number and one of ms, s, m, h, d, w, as "3h".',
  );
  expect(await refused([step({ timeuot: "3h" })])).toContain("/pipelines/0/nodes/0/timeuot is not known there");
  expect(await refused([{ id: "a", kind: "map", inputs: {}, outputs: [], config: { gives: {}, body: [step({ retries: { times: 0 } })] } }])).toContain(
    "/pipelines/0/nodes/0/config/body/0/retries/times is 0",
  );
  expect(await refused([step({ config: { command: [] } })])).toMatch(/^400 .*pipelines\/0\/nodes\/0\/config\/command/);
  expect(await refused([step({ kind: "comand" })])).toMatch(/^400 .*pipelines\/0\/nodes\/0\/kind/);

  const check = { name: "fast", bundle: "checks.mjs", digest: `sha256:${"1".repeat(64)}` };
  expect(await refused([], [{ name: "fast", bundle: "checks.mjs", digest: "1" }])).toContain('/schemas/0/expectations/0/digest is "1": write a digest');
  expect(await refused([], [{ name: "fast", sql: 1 }])).toContain("/schemas/0/expectations/0/sql is 1");
  const of = /^400 .*hand\.json:9: the expectation "fast" of the schema "s" /;
  expect(await refused([], [{ ...check, digest: undefined }])).toMatch(new RegExp(`${of.source}names no digest: that of "checks.mjs" is sha256:1111`));
  expect(await refused([], [{ ...check, digest: `sha256:${"2".repeat(64)}` }])).toMatch(new RegExp(`${of.source}names the digest sha256:2222`));
  expect(await refused([], [{ ...check, bundle: "gone.mjs" }])).toMatch(new RegExp(`${of.source}names "gone.mjs", which is no file of the project`));
});
