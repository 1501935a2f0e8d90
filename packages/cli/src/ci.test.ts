/** The workflows that a new project has: valid for GitHub and GitLab, and their commands are those that there are. */
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@millrace/sdk/client";
import { startServer } from "@millrace/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { clientPython } from "../../server/src/tracking/testing.js";
import { runCommand, source } from "./testing.js";

const lock = fileURLToPath(new URL("ci-client/requirements.lock", import.meta.url));
let folder: string;
let project: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-ci-"));
  project = path.join(folder, "shop");
  await millrace("init", project);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const millrace = (...args: string[]) => runCommand(args, { url: "http://127.0.0.1:9", cwd: folder });
const files = { "github-workflows": ".github/workflows/millrace.yml", "gitlab-ci": ".gitlab-ci.yml" } as const;

function run(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<{ code: number; said: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd: project, env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), said: `${stdout}${stderr}` }),
    );
  });
}

/** Every script of a workflow, whatever the steps are called. */
async function scriptsOf(file: string): Promise<string[]> {
  const scripts: string[] = [];
  const walk = (value: unknown, key: string): void => {
    if (typeof value === "string" && key === "run") scripts.push(value);
    else if (Array.isArray(value) && key.endsWith("script")) scripts.push(value.join("\n"));
    else if (Array.isArray(value)) for (const one of value) walk(one, key);
    else if (typeof value === "object" && value !== null) for (const [name, one] of Object.entries(value)) walk(one, name);
  };
  walk(parse(await readFile(path.join(project, file), "utf8"), { strict: true, uniqueKeys: true }), "");
  return scripts;
}

test("the schemas of GitHub and GitLab take the workflows, and a shell their scripts", async () => {
  const python = await clientPython(lock, path.join(folder, "client"));
  for (const [schema, file] of Object.entries(files)) {
    const checked = await run(python, ["-m", "check_jsonschema", "--builtin-schema", `vendor.${schema}`, file]);
    expect(checked, file).toMatchObject({ code: 0 });
    const scripts = await scriptsOf(file);
    expect(scripts.length).toBeGreaterThan(3);
    for (const script of scripts) expect(await run("bash", ["-n", "-c", script]), script).toEqual({ code: 0, said: "" });
  }
});

/** A `millrace` that a script finds: the command itself, or what it is to do in its place. */
async function shim(name: string, does: string): Promise<string> {
  const bin = path.join(folder, name);
  await mkdir(bin);
  await writeFile(path.join(bin, "millrace"), `#!/bin/sh\n${does}\n`);
  await chmod(path.join(bin, "millrace"), 0o755);
  return `${bin}:${process.env.PATH}`;
}
const scriptWith = async (file: string, command: string) => (await scriptsOf(file)).filter((script) => script.includes(command)).join("\n");

test("a check in CI calls options that there are, and compares with a server where one is named", async () => {
  const PATH = await shim("told", 'for one in "$@"; do printf "%s\\n" "$one"; done');
  const server = "https://millrace.example";
  for (const file of Object.values(files)) {
    const script = await scriptWith(file, 'millrace check "$PROJECT"');
    expect(await run("bash", ["-ec", script], { PATH, PROJECT: ".", AGAINST: server, MILLRACE_URL: server })).toEqual({ code: 0, said: "" });
    const args = (await readFile(path.join(project, "reports/check.json"), "utf8")).trim().split("\n");
    expect(args.slice(-3), file).toEqual(["--against", server, "--json"]);
    // So far and no further: what follows would take its time.
    const asked = await runCommand([...args, "--only", "nothing"], { url: server, cwd: project });
    expect(asked).toMatchObject({ code: 2, stderr: expect.stringContaining("There is no check") });
  }
});

test("what CI has checked is released and asked for in dev, and of a tag in staging, with the report beside it", { timeout: 120_000 }, async () => {
  const PATH = await shim("real", `exec "${process.execPath}" ${source.map((one) => `"${one}"`).join(" ")} "$@"`);
  const server = await startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "error" });
  try {
    const git = (...args: string[]) => run("git", ["-c", "user.name=Anna", "-c", "user.email=anna@example.org", ...args]);
    for (const args of [
      ["init", "-q"],
      ["add", "-A"],
      ["commit", "-qm", "first"],
    ])
      expect(await git(...args)).toMatchObject({ code: 0 });
    const commit = (await git("rev-parse", "HEAD")).said.trim();
    const key = path.join(folder, "release.pem");
    expect(await millrace("release", "key", key)).toMatchObject({ code: 0 });
    const report = { commit, dirty: false, cases: [{ group: "late", name: "runs on the sample", state: "passed", ms: 1 }], pipelines: [] };
    await writeFile(path.join(project, "reports/check.json"), JSON.stringify(report));

    const env = { PATH, PROJECT: ".", MILLRACE_URL: server.url, MILLRACE_SIGNING_KEY: key, GITHUB_REF_NAME: "main", CI_COMMIT_REF_NAME: "main" };
    const github = await run("bash", ["-ec", await scriptWith(files["github-workflows"], "millrace release")], { ...env, ENVIRONMENT: "dev" });
    expect(github).toMatchObject({ code: 0 });
    const gitlab = await run("bash", ["-ec", await scriptWith(files["gitlab-ci"], "millrace release")], { ...env, CI_COMMIT_TAG: "v1" });
    expect(gitlab).toMatchObject({ code: 0 });
    const client = createClient({ url: server.url });
    const [release] = (await client.releases.list()).items;
    const promotions = (await client.promotions.list()).items.map(({ environment, reason, release: of }) => ({ environment, reason, release: of }));
    // Prod asks for what staging holds by itself.
    expect(promotions.filter(({ reason }) => reason === "main").sort((one, other) => (one.environment < other.environment ? -1 : 1))).toEqual(
      ["dev", "staging"].map((environment) => ({ environment, reason: "main", release: release?.digest })),
    );
    expect((await client.releases.get(release?.digest ?? "")).checks).toMatchObject([
      { passed: true, summary: "millrace check: 1 passed, 0 did not, 0 warn, 0 skipped." },
      { passed: true },
    ]);

    await writeFile(path.join(project, "reports/check.json"), JSON.stringify({ ...report, commit: "0".repeat(40) }));
    const other = await run("bash", ["-ec", await scriptWith(files["github-workflows"], "millrace release")], { ...env, ENVIRONMENT: "dev" });
    expect(other).toMatchObject({ code: 1, said: expect.stringContaining("reports/check.json is of the commit 000000000000, and the release of") });
  } finally {
    await server.stop();
  }
});
