import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { startServer } from "@millrace/server";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { parseValues } from "./commands/run.js";
import { connect } from "./server.js";
import { runCommand, source } from "./testing.js";

// Each command is a process that loads the sources: on a busy machine that takes seconds.
vi.setConfig({ testTimeout: 180_000 });
let folder: string;
let project: string;
let server: Awaited<ReturnType<typeof startServer>>;
const client = () => connect({ url: server.url });

const millrace = (args: string[], { input = "", env = {} }: { input?: string; env?: Record<string, string> } = {}) =>
  runCommand(args, { url: server.url, cwd: folder, input, env });

const definitions = `import { approval, command, File, int, Json, json, list, many, map, Metrics, pipeline, project, python, step, when } from "@millrace/sdk";
const plus = step({ name: "plus", in: { n: int() }, out: { v: json<number>() }, run: ({ params }) => ({ v: params.n + 1 }) });
const sum = step({
  name: "sum",
  in: { all: many(Json) },
  out: { total: Metrics },
  run: async ({ inputs, log }) => {
    const values = await Promise.all(inputs.all.map((one) => one.json()));
    log("a sum of " + values.length);
    return { total: { sum: values.reduce<number>((a, b) => a + Number(b), 0) } };
  },
});
const note = python({ script: "note.py", in: { v: json<number>(), n: int() }, out: { note: Json }, secrets: ["NOTE_KEY"] });
const copy = command({ command: ["cp", "{inputs.note}", "{outputs.copy}"], name: "copy", in: { note: Json }, out: { copy: File } });
const breaks = step({ name: "breaks", in: { v: json<number>() }, run: async ({ inputs, log }) => { log("before"); throw new Error("no luck with " + (await inputs.v.json())); } });

export const fan = pipeline({ name: "fan", params: { ns: list({ default: [1, 2] }) } }, ({ ns }) => sum({ all: map(ns, (n) => plus({ n }).v, { name: "each" }) }));
export const notes = pipeline({ name: "notes", params: { n: int({ default: 1 }) } }, ({ n }) => { copy({ note: note({ v: plus({ n }).v, n }).note }); });
export const broken = pipeline({ name: "broken", params: { n: int({ default: 1 }) } }, ({ n }) => { breaks({ v: plus({ n }).v }); });
export const asking = pipeline({ name: "asking" }, () => { when(approval({ question: "Shall it go on?" }), () => plus({ n: 1 })); });
export default project({ name: "runs", definitions: [fan, notes, broken, asking] });
`;

const config = (port: number) => ({ host: "127.0.0.1", port, dataDir: path.join(folder, "data"), clock: { kind: "system" as const }, logLevel: "error" });

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-runs-"));
  project = path.join(folder, "runs");
  server = await startServer(config(0));
  await millrace(["init", project]);
  await writeFile(path.join(project, "millrace.ts"), definitions);
  await writeFile(
    path.join(project, "note.py"),
    'import json, os, millrace\nprint("noted for", os.environ["NOTE_KEY"])\nmillrace.output("note").write_text(json.dumps({"v": millrace.inputs()["v"].value, "n": millrace.params()["n"]}))\n',
  );
  expect(await millrace(["apply", project])).toMatchObject({ code: 0, stderr: "" });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

test("a run goes over a list that the command gives, and says what its steps do; the same again runs nothing", async () => {
  const first = await millrace(["run", "fan", "--param", "ns=3,4,5", "--wait"]);
  expect(first.stdout).toMatch(/each\[1\]\.plus: succeeded/);
  expect(first.stdout).toMatch(/^sum \| a sum of 3$/m);
  // Where it was seen to run, what it said comes after that.
  expect(first.stdout).not.toMatch(/^sum \|[\s\S]*^sum: running/m);
  expect(first.stdout).toMatch(/\nsucceeded after .*\n {2}sum 15\n$/);
  const again = await millrace(["run", "fan", "--param", "ns=3,4,5", "--wait"]);
  expect(again.stdout).toMatch(/sum: cached \(from run \w+\)/);
  expect(again.stdout).not.toContain("a sum of");
  const explained = await millrace(["run", "fan", "--param", "ns=3,4,5", "--explain"]);
  expect(explained.stdout).toMatch(/\neach +is reused +for 3 items\n[\s\S]*\nnothing would run\n$/);
  const partly = await millrace(["run", "fan", "--param", "ns=3,4,5,6", "--explain"]);
  expect(partly.stdout).toMatch(/\neach +runs +for 4 items, of which 1 would run\n[\s\S]*\n2 of \d would run\n$/);
  const fresh = await millrace(["run", "fan", "--param", "ns=[3, 4]", "--no-cache", "--wait", "--json"]);
  expect(JSON.parse(fresh.stdout)).toMatchObject({ state: "succeeded", metrics: { sum: 9 }, cause: { cache: false } });
  const file = path.join(folder, "params.json");
  await writeFile(file, '{ "ns": [10] }');
  expect(JSON.parse((await millrace(["run", "fan", "--params", file, "--wait", "--json"])).stdout)).toMatchObject({ params: { ns: [10] } });
  await writeFile(file, '{ "ns": { "a": 1 } }');
  expect(await millrace(["run", "fan", "--params", file])).toMatchObject({ code: 2, stderr: expect.stringContaining('"ns" in ') });
});

test("a secret comes by standard input; a step of Python, a command and TypeScript run again on this machine", async () => {
  const lacking = await millrace(["run", "notes", "--wait"]);
  expect(lacking).toMatchObject({ code: 1, stdout: expect.stringContaining("millrace secret set NOTE_KEY") });
  expect(await millrace(["secret", "set", "note"], { input: "x" })).toMatchObject({ code: 2 });
  expect(await millrace(["secret", "set", "NOTE_KEY"], { input: "very-secret\n" })).toMatchObject({ code: 0, stdout: "NOTE_KEY is set.\n" });
  expect((await millrace(["secret", "list"])).stdout).toBe("NOTE_KEY\n");
  const ran = await millrace(["run", "notes", "--wait", "--json"]);
  const { id } = JSON.parse(ran.stdout) as { id: string };
  expect((await millrace(["logs", id, "note"])).stdout).toBe("noted for ***\n");

  expect(await millrace(["debug", id, "note"])).toMatchObject({ code: 2, stderr: expect.stringContaining("export NOTE_KEY=…") });
  const debugged = await millrace(["debug", id, "note"], { env: { NOTE_KEY: "mine" } });
  expect(debugged.stdout).toMatch(/MILLRACE_STEP_FILE=\S+ \S*python\S* -u \S+_step\.py note\.py/);
  expect(debugged.stdout).toContain("noted for mine");
  const outputs = path.join(folder, ".millrace/debug", `${id}-note`, "outputs");
  expect(JSON.parse(await readFile(path.join(outputs, "note.json"), "utf8"))).toEqual({ v: 2, n: 1 });
  expect(await millrace(["debug", id, "note"], { env: { NOTE_KEY: "mine" } })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("is there from another time"),
  });
  expect((await millrace(["debug", id, "copy", "--no-run"])).stdout).toMatch(/&& .*cp \S+\/inputs\/note\/\S+ \S+\/outputs\/copy\n$/);
  expect((await millrace(["debug", id, "plus", "--folder", path.join(folder, "plus")])).stdout).toContain("plus ended well");
  expect(JSON.parse(await readFile(path.join(folder, "plus/outputs/v.json"), "utf8"))).toBe(2);
  expect((await millrace(["secret", "delete", "NOTE_KEY"])).stdout).toBe("NOTE_KEY is deleted.\n");
});

test("a run that fails ends with what its step said last and how to go on; a repaired one takes over what was done", async () => {
  const failed = await millrace(["run", "broken", "--wait"]);
  const id = /^run (\w+)/.exec(failed.stdout)?.[1] ?? "";
  expect(failed).toMatchObject({ code: 1, stdout: expect.stringMatching(/The last lines of breaks:\n {2}before\n {2}Error: no luck with 2\n/) });
  expect(failed.stdout).toContain(`run it again here with: millrace debug ${id} breaks\n`);
  const here = await millrace(["debug", id, "breaks"]);
  expect(here).toMatchObject({ code: 1, stderr: expect.stringContaining("no luck with 2") });

  const entry = path.join(project, "millrace.ts");
  await writeFile(
    entry,
    definitions.replace('throw new Error("no luck with " +', 'log("better: " +').replace("(await inputs.v.json()));", "(await inputs.v.json()));"),
  );
  await millrace(["apply", project]);
  expect((await millrace(["run", "broken", "--explain"])).stdout).toMatch(/breaks +runs/);
  const resumed = await millrace(["run", "broken", "--resume", id, "--wait"]);
  expect(resumed).toMatchObject({ code: 0, stdout: expect.stringContaining("breaks | better: 2") });
  const from = await millrace(["run", "broken", "--from", "breaks", "--wait"]);
  expect(from).toMatchObject({ code: 0, stdout: expect.stringContaining("breaks: succeeded") });
  expect(from.stdout).not.toContain("plus: succeeded");
  expect(await millrace(["run", "broken", "--of", id])).toMatchObject({ code: 2 });
});

test("a run that asks goes on after a yes, and ends as refused after a no; a cancelled one ends", async () => {
  const ask = async () => {
    const { id } = await client().pipelines.start("asking");
    await expect.poll(async () => (await client().runs.get(id)).steps.find((step) => step.id === "approval")?.state, { timeout: 20_000 }).toBe("asking");
    return id;
  };
  const yes = await ask();
  expect((await millrace(["approve", yes, "approval", "--comment", "looks right"])).stdout).toBe("approval is approved.\n");
  expect(await millrace(["logs", yes, "--follow"])).toMatchObject({ code: 0, stdout: expect.stringMatching(/\nsucceeded after /) });
  const no = await ask();
  await millrace(["reject", no, "approval"]);
  expect(await millrace(["logs", no, "--follow"])).toMatchObject({ code: 3 });
  const third = await ask();
  expect((await millrace(["cancel", third])).stdout).toBe(`${third} is cancelled.\n`);
});

test("what is saved is applied, and what is wrong is told until it is right", async () => {
  const child = spawn(process.execPath, [...source, "dev", project], {
    cwd: folder,
    env: { ...process.env, MILLRACE_URL: server.url },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = listen(child);
  try {
    await expect.poll(said, { timeout: 30_000 }).toContain("what is saved is applied");
    const entry = path.join(project, "millrace.ts");
    await writeFile(entry, `${definitions}\nexport const x = {,};\n`);
    await expect.poll(said, { timeout: 30_000 }).toMatch(/millrace\.ts:\d+: Expected identifier/);
    await writeFile(entry, definitions.replace('name: "fan"', 'name: "fan_out"'));
    await expect.poll(said, { timeout: 30_000 }).toMatch(/\+ pipeline fan_out/);
  } finally {
    child.kill("SIGTERM");
    await new Promise((resolve) => child.once("exit", resolve));
  }
});

test("a run is followed through a restart of the server", async () => {
  const { id } = await client().pipelines.start("asking");
  const child = spawn(process.execPath, [...source, "logs", id, "--follow"], {
    env: { ...process.env, MILLRACE_URL: server.url },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = listen(child);
  const ended = once(child, "exit");
  await expect.poll(said, { timeout: 30_000 }).toMatch(/^approval: asking/m);
  const { port } = new URL(server.url);
  await server.stop();
  await expect.poll(said, { timeout: 30_000 }).toMatch(/^The server is away\./m);
  server = await startServer(config(Number(port)));
  await expect.poll(said, { timeout: 30_000 }).toMatch(/^The server is back\.$/m);
  await millrace(["approve", id, "approval"]);
  expect(await ended).toEqual([0, null]);
  expect(said()).toMatch(/\nsucceeded after /);
});

test("a list is written as JSON, or with commas between its values", () => {
  const declared = [
    { name: "ns", type: "list" },
    { name: "n", type: "int" },
  ] as const;
  expect(parseValues(declared, ["ns=1,two,3.5", "n=4"])).toEqual({ ns: [1, "two", 3.5], n: 4 });
  expect(parseValues(declared, ['ns=["1", 2]'])).toEqual({ ns: ["1", 2] });
  expect(parseValues(declared, ["ns="])).toEqual({ ns: [] });
  expect(() => parseValues(declared, ["ns=[1"])).toThrow("is no list");
});

function listen(child: ChildProcess): () => string {
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => (said += text));
  return () => said;
}
