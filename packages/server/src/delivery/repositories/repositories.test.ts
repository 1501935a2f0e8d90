import { createHmac } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Build } from "@millrace/sdk/api";
import { type ApiError, type Client, createClient } from "@millrace/sdk/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type RunningServer, startServer } from "../../server.js";
import { command, commitAll, git, millrace, shadeProject, shadeRepository } from "../testing.js";

let folder: string;
let source: string;
let server: RunningServer;
let client: Client;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-watched-"));
  source = path.join(folder, "shades");
  await shadeRepository(source);
  await git(source, "tag", "v0.1.0");
  const config = { host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" as const }, logLevel: "error", command };
  server = await startServer(config);
  client = createClient({ url: server.url });
});
afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const refusal = (asked: Promise<unknown>) =>
  asked.then(
    () => "it was taken",
    (error: ApiError) => `${error.status} ${error.message}`,
  );
async function built(name: string, ref: string, commit: string): Promise<Build> {
  const find = async () => (await client.repositories.builds(name)).items.find((one) => one.ref === ref && one.commit === commit);
  await expect.poll(async () => (await find())?.finishedAt ?? null, { timeout: 110_000 }).not.toBeNull();
  const found = await find();
  if (found === undefined) throw new Error("it was there");
  return found;
}
const holds = async (environment: string) =>
  (await client.environments.list("shades")).items.find((one) => one.name === environment)?.holds[0]?.release ?? null;

test("a push is checked, released and comes to dev, a tag to staging, and with an approval to prod", async () => {
  const commit = await git(source, "rev-parse", "HEAD");
  const watched = await millrace(["repository", "watch", "shades", source], { cwd: folder, url: server.url });
  expect(watched).toMatchObject({ code: 0, stdout: expect.stringContaining("pushes to main, and tags v*") });
  const pushed = await built("shades", "refs/heads/main", commit);
  expect(pushed, pushed.message ?? "").toMatchObject({ state: "released", release: expect.stringMatching(/^sha256:/) });
  const release = pushed.release ?? "";
  await expect.poll(() => holds("dev")).toBe(release);
  // What was tagged before it was watched is no news.
  expect((await client.repositories.builds("shades")).items.find((one) => one.ref === "refs/tags/v0.1.0")).toMatchObject({ state: "known" });

  const { id, pem } = await client.deliveryKey();
  const kept = await client.releases.get(release);
  expect(kept).toMatchObject({
    commit,
    project: "shades",
    authors: ["millrace", "anna@example.org"],
    signedBy: [id],
    checks: [{ passed: true, addedBy: "millrace" }],
  });
  await writeFile(path.join(folder, "server.pub"), pem);
  expect(await millrace(["verify", release, "--key", "server.pub"], { cwd: folder, url: server.url })).toMatchObject({ code: 0 });

  await git(source, "tag", "-a", "v1.0.0", "-m", "The first");
  await client.repositories.look("shades");
  expect(await built("shades", "refs/tags/v1.0.0", commit)).toMatchObject({ state: "released", release });
  await expect.poll(() => holds("staging")).toBe(release);
  const waiting = async () => (await client.promotions.list({ environment: "prod", state: "open" })).items[0];
  await expect.poll(async () => (await waiting())?.message).toBe("It waits for approvals: 0 of 1 are there.");
  expect(await millrace(["approve", (await waiting())?.id ?? ""], { cwd: folder, url: server.url })).toMatchObject({ code: 0 });
  await expect.poll(() => holds("prod")).toBe(release);
  expect((await client.projects.list()).items).toMatchObject([{ project: "shades", commit, dirty: false }]);
  const shown = await millrace(["repository", "log", "shades"], { cwd: folder, url: server.url });
  expect(shown.stdout).toContain("$ millrace check");
});

test("a webhook that is signed has it looked at, in each of the ways that forges sign; one that is not is refused", async () => {
  await client.secrets.set("HOOK", "a secret of the hook");
  await client.repositories.set("hooked", { url: source, pollSeconds: 0, webhookSecret: "HOOK", check: false });
  const before = await git(source, "rev-parse", "HEAD");
  await built("hooked", "refs/heads/main", before);
  const commit = await commitAll(source, "More", "note.txt");
  const body = JSON.stringify({ ref: "refs/heads/main" });
  const hook = async (headers: Record<string, string>, name = "hooked") =>
    (await fetch(`${server.url}/api/v1/repositories/${name}/hook`, { method: "POST", headers: { "content-type": "application/json", ...headers }, body }))
      .status;
  const mac = (secret: string) => createHmac("sha256", secret).update(body).digest("hex");
  const wrong = [
    {},
    { "x-hub-signature-256": `sha256=${mac("another")}` },
    { "x-hub-signature-256": "sha256=" },
    { "x-gitlab-token": "guessed" },
    { "x-gitea-signature": "" },
  ];
  for (const headers of wrong) expect(await hook(headers), JSON.stringify(headers)).toBe(401);
  for (const name of ["shades", "unknown"]) expect(await hook({ "x-hub-signature-256": `sha256=${mac("")}` }, name)).toBe(401);
  const right = [
    { "x-hub-signature-256": `sha256=${mac("a secret of the hook")}` },
    { "x-gitea-signature": mac("a secret of the hook") },
    { "x-gitlab-token": "a secret of the hook" },
  ];
  for (const headers of right) expect(await hook(headers), JSON.stringify(headers)).toBe(202);
  expect(await built("hooked", "refs/heads/main", commit)).toMatchObject({ state: "released" });
});

test("what is broken is not released, and says why; what is asked to be another project's neither", async () => {
  const broken = path.join(folder, "broken");
  await mkdir(broken);
  await git(broken, "init");
  await writeFile(path.join(broken, "README.md"), "no project");
  const none = await commitAll(broken, "No project");
  await client.repositories.set("broken", { url: broken, check: false });
  expect(await built("broken", "refs/heads/main", none)).toMatchObject({
    state: "failed",
    message: expect.stringContaining("it has no millrace.ts"),
    release: null,
  });
  await client.repositories.set("broken", { url: broken, check: false, folder: "sub" });
  await mkdir(path.join(broken, "sub"));
  await writeFile(path.join(broken, "sub", "package.json"), '{ "private": true, "type": "module" }');
  await writeFile(path.join(broken, "sub", "millrace.ts"), shadeProject());
  const first = await commitAll(broken, "A project in a folder");
  await client.repositories.look("broken");
  expect(await built("broken", "refs/heads/main", first)).toMatchObject({ state: "released" });
  await writeFile(path.join(broken, "sub", "millrace.ts"), shadeProject().replace('name: "shades"', 'name: "others"'));
  const other = await commitAll(broken, "Another project");
  await client.repositories.look("broken");
  expect(await built("broken", "refs/heads/main", other)).toMatchObject({ state: "failed", message: expect.stringContaining('is of the project "shades"') });
});

test("what a repository holds leads nowhere else: links, hooks, submodules, and what an environment tells", async () => {
  const hostile = path.join(folder, "hostile");
  const marker = path.join(folder, "ran");
  const secret = path.join(folder, "secret.txt");
  await mkdir(hostile);
  await git(hostile, "init");
  await writeFile(secret, "a secret of the server");
  await symlink(secret, path.join(hostile, "link.txt"));
  await symlink(folder, path.join(hostile, "out"));
  await writeFile(path.join(hostile, ".gitmodules"), `[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch ${marker}"\n`);
  await writeFile(path.join(hostile, ".gitattributes"), "* filter=run\n");
  await writeFile(path.join(hostile, ".git", "hooks", "post-checkout"), `#!/bin/sh\ntouch ${marker}\n`, { mode: 0o755 });
  await writeFile(path.join(hostile, "package.json"), '{ "private": true, "type": "module" }');
  // What runs while it is compiled knows nothing of the server.
  await writeFile(
    path.join(hostile, "millrace.ts"),
    `${shadeProject()}\nconst known = Object.keys(process.env).filter((name) => /^(DATABASE_URL|PG|MILLRACE_(?!ENVIRONMENTS|CACHE|PROCESS))/.test(name));\nconsole.log("known: [" + known.join() + "]");\n`,
  );
  process.env.MILLRACE_TOKEN = "a token of the server";
  process.env.DATABASE_URL ??= "";
  const commit = await commitAll(hostile, "Hostile");
  await client.repositories.set("hostile", { url: hostile, check: false });
  const found = await built("hostile", "refs/heads/main", commit);
  delete process.env.MILLRACE_TOKEN;
  expect(found, found.message ?? "").toMatchObject({ state: "released" });
  const text = await new Response(await client.object(found.log ?? "")).text();
  expect(text).toContain("known: []");
  const { manifest } = await client.releases.get(found.release ?? "");
  const contents = await Promise.all(manifest.files.map(async ({ digest }) => new Response(await client.object(digest)).text()));
  expect(contents.some((content) => content.includes("a secret of the server"))).toBe(false);
  await expect(rm(marker)).rejects.toThrow("ENOENT");
  await client.repositories.set("hostile", { url: hostile, folder: "out", check: false });
  const next = await commitAll(hostile, "Once more", "more.txt");
  await client.repositories.look("hostile");
  expect(await built("hostile", "refs/heads/main", next)).toMatchObject({ state: "failed", message: expect.stringMatching(/no folder "out"|no project/) });
});

test("addresses and names that git would take for something else are refused, and what can't be reached is told", async () => {
  const set = (start: object) => refusal(client.request("PUT", "/api/v1/repositories/bad", { json: { check: false, ...start } }));
  for (const url of [
    "ext::sh -c id",
    "--upload-pack=id",
    "http://127.0.0.1/x.git",
    "git://example.org/x",
    "file:///etc",
    "relative/path",
    "ssh://-oProxyCommand=id/x",
    "https://user:secret@example.org/x",
    "/a\nb",
    "fd::3",
  ])
    expect(await set({ url }), url).toMatch(/^400 /);
  for (const branch of ["-f", "a..b", "a b", "refs@{1}", "x.lock", "a/", "*"]) expect(await set({ url: source, branch }), branch).toMatch(/^400 /);
  for (const tags of ["-v", "v?", "v[0-9]", "a b"]) expect(await set({ url: source, tags }), tags).toMatch(/^400 /);
  for (const directory of ["../x", "/etc", "a//b", "a/./b"]) expect(await set({ url: source, folder: directory }), directory).toMatch(/^400 /);
  await client.repositories.set("gone", { url: path.join(folder, "nowhere") });
  await expect.poll(async () => (await client.repositories.get("gone")).problem).toContain("git ls-remote");
  await client.repositories.set("branchless", { url: source, branch: "trunk", check: false });
  await expect.poll(async () => (await client.repositories.get("branchless")).problem).toBe('There is no branch "trunk".');
  for (const name of ["gone", "branchless"]) await client.repositories.delete(name);
  expect(await refusal(client.repositories.get("gone"))).toContain("404");
});
