import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Release, ReleaseDetail } from "@millrace/sdk/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type RunningServer, startServer } from "../server.js";
import { commitAll, git, millrace, registerShade, shadeRepository } from "./testing.js";

let folder: string;
let server: RunningServer;
let project: string;
let commit: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-release-"));
  server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
  project = path.join(folder, "shades");
  commit = await shadeRepository(project);
  for (const kind of ["ed25519", "p256"]) expect(await run("release", "key", `${kind}.pem`, "--kind", kind)).toMatchObject({ code: 0 });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const run = (...args: string[]) => millrace(args, { cwd: folder, url: server.url });
async function released(): Promise<Release> {
  const { stdout, stderr } = await run("release", "shades", "--key", "ed25519.pem", "--json");
  expect(stderr).toBe("");
  return JSON.parse(stdout) as Release;
}
const verified = (what: string, ...keys: string[]) => run("verify", what, ...keys.flatMap((key) => ["--key", `${key}.pem.pub`]));

test("a commit's release is the same whoever makes it and wherever, is known once, and is what its key has signed", async () => {
  const first = await released();
  expect(first).toMatchObject({ project: "shades", commit, authors: ["local", "anna@example.org"], createdBy: "local" });
  // A clone elsewhere, and once more.
  await git(folder, "clone", "--quiet", "shades", "clone");
  expect((await run("release", "clone", "--no-sign", "--output", "out")).stdout).toContain(first.digest);
  expect(await released()).toEqual(first);
  const { items } = (await (await fetch(`${server.url}/api/v1/releases?project=shades`)).json()) as { items: Release[] };
  expect(items).toEqual([first]);

  const short = first.digest.slice(0, 19);
  expect(await verified(short, "p256", "ed25519")).toMatchObject({ code: 0, stdout: expect.stringContaining(first.digest) });
  expect(await verified(short, "p256")).toMatchObject({ code: 1, stderr: expect.stringContaining("by none of the keys") });
  expect(await run("verify", short, "--key", "ed25519.pem")).toMatchObject({ code: 1, stderr: expect.stringContaining("a private key") });
  const { manifest, checks } = (await (await fetch(`${server.url}/api/v1/releases/${short}`)).json()) as ReleaseDetail;
  expect([manifest.commit, manifest.files.map((file) => file.path), checks]).toEqual([
    commit,
    ["millrace.ts", "package.json", "requirements.in", "requirements.lock", "train.py", "tsconfig.json"],
    [],
  ]);
  expect((await run("releases")).stdout).toMatch(new RegExp(`^${short} +shades +${commit.slice(0, 12)} .+ local +[0-9a-f]{12}$`, "m"));
});

test("what is not of a commit is not released", async () => {
  await writeFile(path.join(project, "note.txt"), "not committed");
  expect(await run("release", "shades", "--no-sign")).toMatchObject({ code: 1, stderr: expect.stringContaining("differ from it. Commit them") });
  await writeFile(path.join(project, ".git", "info", "exclude"), "note.txt\n");
  expect(await run("release", "shades", "--no-sign")).toMatchObject({ code: 1, stderr: expect.stringContaining("git ignores note.txt") });
  await rm(path.join(project, "note.txt"));
  expect(await run("release", "shades")).toMatchObject({ code: 2, stderr: expect.stringContaining("millrace release key") });
  expect(await run("release", "shades", "--key", "ed25519.pem.pub")).toMatchObject({ code: 1, stderr: expect.stringContaining("no private key") });
  expect(await run("init", "plain")).toMatchObject({ code: 0 });
  expect(await run("release", "plain", "--no-sign")).toMatchObject({ code: 1, stderr: expect.stringContaining("no git repository") });
  expect(await run("release", "key", "p256.pem")).toMatchObject({ code: 1, stderr: expect.stringContaining("there already") });
});

test("a release in a folder is verified there, and a byte that was changed is found", async () => {
  expect(await run("release", "shades", "--key", "p256.pem", "--output", "kept")).toMatchObject({ code: 0 });
  expect(await verified("kept", "p256")).toMatchObject({ code: 0 });
  const { document } = JSON.parse(await readFile(path.join(folder, "kept/manifest.json"), "utf8")) as { document: string };
  const object = path.join(folder, "kept/objects", document.slice("sha256:".length));
  await writeFile(object, `${await readFile(object, "utf8")} `);
  expect(await verified("kept", "p256")).toMatchObject({ code: 1, stderr: "the project's document is not what was released.\n" });
  const manifest = path.join(folder, "kept/manifest.json");
  await writeFile(manifest, (await readFile(manifest, "utf8")).replace(commit, "0".repeat(40)));
  expect(await verified("kept", "p256")).toMatchObject({ code: 1, stderr: expect.stringContaining("The signature is of the release") });
});

test("what is no release, or lacks a part, is refused by the server in words", async () => {
  const put = async (bytes: string) => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    expect((await fetch(`${server.url}/api/v1/objects/${digest}`, { method: "PUT", body: bytes })).status).toBe(200);
    return digest;
  };
  const add = async (digest: string, more: object = {}) => {
    const body = JSON.stringify({ digest, ...more });
    const answer = await fetch(`${server.url}/api/v1/releases`, { method: "POST", headers: { "content-type": "application/json" }, body });
    const { error } = (await answer.json()) as { error?: { code: string; message: string } };
    return [answer.status, error?.message];
  };
  const { digest } = await released();
  const { manifest } = (await (await fetch(`${server.url}/api/v1/releases/${digest}`)).json()) as ReleaseDetail;
  const changed = async (part: object) => add(await put(canonicalLike({ ...manifest, ...part })));
  const canonicalLike = (value: object) =>
    JSON.stringify(value, (_key, inner: unknown) => (isPlain(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner));
  const isPlain = (inner: unknown): inner is object => typeof inner === "object" && inner !== null && !Array.isArray(inner);

  expect(await add(`sha256:${"0".repeat(64)}`)).toEqual([409, expect.stringContaining("1 parts of the release are not on the server")]);
  expect(await add(await put("{}"))).toEqual([400, "That is no manifest of a release."]);
  expect(await add(await put(JSON.stringify({ ...manifest, format: manifest.format }, null, 1)))).toEqual([400, expect.stringContaining("canonical form")]);
  expect(await changed({ project: "other" })).toEqual([400, 'The document is of the project "shades", the manifest says "other".']);
  expect(await changed({ commit: "0".repeat(40) })).toEqual([400, expect.stringContaining("the manifest's commit")]);
  expect(await changed({ files: manifest.files.slice(1) })).toEqual([400, "The manifest lists other files than the document."]);
  expect(await changed({ sbom: await put("[]") })).toEqual([400, expect.stringContaining("no CycloneDX")]);
  expect(await changed({ document: await put("not JSON") })).toEqual([400, "The document is no JSON."]);
  expect(await changed({ document: await put('{"name": "shades"}') })).toEqual([400, expect.stringContaining("not well formed")]);
  expect(await changed({ sbom: `sha256:${"1".repeat(64)}` })).toEqual([409, expect.stringContaining("not on the server")]);
  expect(await add(digest, { signatures: [{ no: "key" }] })).toEqual([400, expect.stringContaining("says whose key")]);
  for (const wrong of ["sha256:xyz", "..%2f", "sha256:"]) expect((await fetch(`${server.url}/api/v1/releases/${wrong}`)).status, wrong).toBe(400);
  expect((await fetch(`${server.url}/api/v1/releases/sha256:${"2".repeat(64)}`)).status).toBe(404);
});

test("a model's version is signed by what its files are, and verified at the server and in a folder", async () => {
  const version = await registerShade(server.url, "columns");
  expect(await run("sign", `shade/${version}`, "--key", "ed25519.pem")).toMatchObject({ code: 1, stderr: expect.stringContaining("--kind p256") });
  expect(await run("sign", `shade/${version}`, "--key", "p256.pem", "--output", "signed")).toMatchObject({ code: 0 });
  for (const what of [`shade/${version}`, `shade@${version}`, "signed"]) expect(await verified(what, "p256"), what).toMatchObject({ code: 0 });
  const other = await registerShade(server.url, "reversed");
  expect(await verified(`shade/${other}`, "p256")).toMatchObject({ code: 1, stderr: "It is not signed.\n" });
  await writeFile(path.join(folder, "signed", "more.bin"), "more");
  expect(await verified("signed", "p256")).toMatchObject({ code: 1, stderr: expect.stringContaining("more.bin was not there when it was signed") });
  await rm(path.join(folder, "signed", "more.bin"));
  await writeFile(path.join(folder, "signed", "model.onnx"), "changed");
  expect(await verified("signed", "p256")).toMatchObject({ code: 1, stderr: expect.stringContaining("model.onnx was changed") });
});

test("a check's outcome is noted with a release, and nothing that was noted goes", async () => {
  const { digest } = await released();
  for (const passed of [false, true]) {
    const body = JSON.stringify({ passed, summary: passed ? "12 tests" : "1 of 12 tests failed" });
    const answer = await fetch(`${server.url}/api/v1/releases/${digest}/checks`, { method: "POST", headers: { "content-type": "application/json" }, body });
    expect(answer.status).toBe(200);
  }
  const { checks } = (await (await fetch(`${server.url}/api/v1/releases/${digest}`)).json()) as ReleaseDetail;
  expect(checks).toMatchObject([
    { passed: true, summary: "12 tests", report: null, addedBy: "local" },
    { passed: false, summary: "1 of 12 tests failed" },
  ]);
});

test("a later commit is another release", async () => {
  const before = await released();
  await writeFile(path.join(project, "train.py"), "print('trained')\n");
  await commitAll(project, "Trains otherwise");
  expect((await released()).digest).not.toBe(before.digest);
});
