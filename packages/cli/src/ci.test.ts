/** The workflows that a new project has: valid for GitHub and GitLab, and their commands are those that there are. */
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { clientPython } from "../../server/src/tracking/testing.js";
import { runCommand } from "./testing.js";

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
    if (typeof value === "string" && (key === "run" || key.endsWith("script"))) scripts.push(value);
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
    expect(scripts.length).toBeGreaterThan(4);
    for (const script of scripts) expect(await run("bash", ["-n", "-c", script]), script).toEqual({ code: 0, said: "" });
  }
});

test("the workflows call commands and options that there are, and compare with a server where one is named", async () => {
  const bin = path.join(folder, "bin");
  await mkdir(bin);
  await writeFile(path.join(bin, "millrace"), '#!/bin/sh\nfor one in "$@"; do printf "%s\\n" "$one"; done\n');
  await chmod(path.join(bin, "millrace"), 0o755);
  const server = "https://millrace.example";
  for (const file of Object.values(files)) {
    const called = (await scriptsOf(file)).filter((script) => script.startsWith("millrace "));
    expect(called.length, file).toBe(2);
    for (const script of called) {
      const env = { PATH: `${bin}:${process.env.PATH}`, PROJECT: "shop", AGAINST: server, MILLRACE_URL: server };
      const args = (await run("bash", ["-ec", script], env)).said.trim().split("\n");
      // So far and no further: what follows would take its time.
      if (args[0] === "check")
        expect(await millrace(...args, "--only", "nothing")).toMatchObject({ code: 2, stderr: expect.stringContaining("There is no check") });
      else expect(await millrace(...args, "--no-sign")).toMatchObject({ code: 1, stderr: expect.stringContaining("commit") });
      if (args[0] === "check") expect(args.slice(-2)).toEqual(["--against", server]);
    }
  }
});
