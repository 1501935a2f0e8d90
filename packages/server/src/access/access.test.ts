import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ApiError, type Permission, type Platform } from "../platform/index.js";
import { openPlatform } from "../platform/open.js";
import { type Access, createAccess } from "./index.js";

let folder: string;
let platform: Platform;
let close: () => Promise<void>;
/** On the same database: one for this machine alone, one that others reach. */
let local: Access;
let exposed: Access;
const tokens: Record<string, string> = {};
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  ({ platform, close } = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: folder, clock: { kind: "system" }, logLevel: "silent" }));
  local = await createAccess(platform);
  exposed = await createAccess({ ...platform, config: { ...platform.config, host: "0.0.0.0" } });
});
afterAll(async () => {
  await close();
  await rm(folder, { recursive: true, force: true });
});

/** Who may go on, or the status and what is said. */
async function ask(access: Access, permission: Permission, headers: IncomingHttpHeaders = {}, method = "GET"): Promise<string> {
  try {
    return (await access.authorize({ headers: { host: "localhost:5000", ...headers }, method, permission })).name;
  } catch (error) {
    if (error instanceof ApiError) return String(error.status);
    throw error;
  }
}
const bearer = (token: string | undefined) => ({ authorization: `Bearer ${token}` });
const basic = (user: string, password: string) => ({ authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` });

test("a single user on this machine needs no token; where others reach it nobody is let in, and it does not start, before there is a user", async () => {
  expect(await ask(local, "clock:admin")).toBe("local");
  expect(await ask(exposed, "clock:read")).toBe("401");
  expect(await ask(exposed, "public", { host: "millrace.example" })).toBe("local");
  await expect(exposed.checkExposure()).rejects.toThrow("millrace user add");
  await local.checkExposure();

  for (const role of ["viewer", "editor", "admin"] as const) tokens[role] = await local.addPrincipal(`a-${role}`, role);
  // Another process knows within a second.
  await expect.poll(() => exposed.checkExposure(), { timeout: 5_000 }).toBeUndefined();
  expect(await ask(local, "clock:read")).toBe("401");
  expect(await ask(local, "public")).toBe("local");
});

test("viewers read, editors change too, admins do anything", async () => {
  const may = async (role: string) =>
    Promise.all((["runs:read", "runs:write", "users:admin"] as const).map((permission) => ask(exposed, permission, bearer(tokens[role]))));
  expect(await may("viewer")).toEqual(["a-viewer", "403", "403"]);
  expect(await may("editor")).toEqual(["a-editor", "a-editor", "403"]);
  expect(await may("admin")).toEqual(["a-admin", "a-admin", "a-admin"]);
});

test("a token comes as Bearer or as the password of Basic, whatever the name, and in no other way", async () => {
  const token = tokens.viewer ?? "";
  for (const headers of [{ authorization: `bearer ${token}` }, basic("a-viewer", token), basic("", token)])
    expect(await ask(local, "runs:read", headers)).toBe("a-viewer");
  const refused = [
    "",
    "Bearer",
    "Bearer ",
    `Token ${token}`,
    token,
    `Bearer ${token}x`,
    `Bearer ${"x".repeat(3_000)}`,
    "Basic ====",
    "Bearer mrt",
    "Bearer mrt..",
  ];
  for (const authorization of refused) expect(await ask(local, "runs:read", { authorization }), authorization).toBe("401");
  expect(await ask(local, "runs:read", basic(token, ""))).toBe("401");
  const { rows } = await sql`select * from principal`.execute(platform.db);
  expect(JSON.stringify(rows)).not.toContain(token);
});

test("a token that was issued to a process is good in every process, for what it names, until it ends; nobody can make or change one", async () => {
  const issued = local.issueToken("step", ["tracking:*", "models:read"], 60_000);
  const may = async (permission: Permission) => ask(exposed, permission, bearer(issued));
  expect(await may("tracking:write")).toBe("step");
  expect(await may("models:read")).toBe("step");
  for (const permission of ["models:write", "tracking_other:read", "runs:read"] as const) expect(await may(permission), permission).toBe("403");
  expect(await ask(exposed, "tracking:read", basic("mlflow", issued))).toBe("step");
  expect(await ask(exposed, "tracking:read", bearer(local.issueToken("step", ["tracking:*"], 0)))).toBe("401");

  const [kind, payload = "", signature] = issued.split(".");
  const more = Buffer.from(payload, "base64url").toString().replace("models:read", "models:*");
  for (const forged of [
    `${kind}.${Buffer.from(more).toString("base64url")}.${signature}`,
    `${kind}.${payload}.`,
    `${kind}.${payload}`,
    `${kind}.${payload}.${"A".repeat(43)}`,
  ]) {
    expect(await ask(exposed, "models:read", bearer(forged)), forged).toBe("401");
  }
});

test("a user's name is one, and is given once", async () => {
  for (const name of ["", "a b", "-a", "a:b", "../a", "a".repeat(101)])
    await expect(local.addPrincipal(name, "viewer"), name).rejects.toThrow("can't be a user's name");
  const both = await Promise.allSettled([local.addPrincipal("twin", "viewer"), exposed.addPrincipal("twin", "admin")]);
  expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  await expect(local.addPrincipal("twin", "admin")).rejects.toThrow('There is a user "twin" already.');
});

test("pages of other sites and other names of this machine are refused before anything else is asked", async () => {
  const token = bearer(tokens.admin);
  expect(await ask(local, "runs:read", { ...token, host: "rebound.example:5000" })).toBe("403");
  expect(await ask(local, "public", { host: "127.0.0.1.rebound.example" })).toBe("403");
  for (const host of ["127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "LOCALHOST"])
    expect(await ask(local, "runs:read", { ...token, host }), host).toBe("a-admin");
  for (const origin of ["null", "http://elsewhere.example", "http://localhost:3000", "not an origin"]) {
    expect(await ask(exposed, "runs:read", { ...token, origin }), origin).toBe("403");
  }
  expect(await ask(exposed, "runs:read", { ...token, origin: "http://localhost:5000" })).toBe("a-admin");
  expect(await ask(exposed, "runs:write", { ...token, "sec-fetch-site": "cross-site" }, "POST")).toBe("403");
});
