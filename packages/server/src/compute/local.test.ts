import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isAlive, type ObjectStore, openFolderStore } from "../platform/index.js";
import type { Backend, Job, JobInput } from "./backend.js";
import { pythonCommand } from "./layout.js";
import { localBackend } from "./local.js";
import { createCompute } from "./service.js";
import { putFile, runOn, type Told, textOf } from "./testing.js";

const mib = 1024 ** 2;
let folder: string;
let objects: ObjectStore;
let local: Backend;
let small: Backend;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  objects = await openFolderStore(path.join(folder, "objects"));
  const config = { dataDir: folder, host: "127.0.0.1", port: 0, clock: { kind: "system" as const }, logLevel: "warn" };
  const compute = createCompute({ config, objects });
  local = compute.backend();
  small = localBackend({ config, objects }, compute, { folderBytes: 20 * mib });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (files: Record<string, string>, job: Partial<Job>, { on = local, signal }: { on?: Backend; signal?: AbortSignal } = {}) =>
  runOn(on, objects, { files, ...job }, signal === undefined ? {} : { signal });
const file = (name: string, text: string) => putFile(objects, name, text);

test("a script finds its inputs, lists among them, and leaves its outputs; it tells of its progress, its metrics and what it used", async () => {
  const inputs: Record<string, JobInput> = {
    note: { kind: "artifact", type: "json", files: [await file("note.json", '{"of": "a file"}')] },
    models: { kind: "list", items: [{ kind: "artifact", type: "model", files: [await file("a/model.bin", "A"), await file("b.txt", "B")] }] },
    depth: { kind: "value", value: 6 },
  };
  const { end, progress, metrics, lines } = await run(
    {
      "train.py": `
import millrace, helper
i = millrace.inputs()
import os
model = i["models"][0]
assert i["note"].json() == {"of": "a file"} and millrace.params()["depth"] == 6 and i["depth"].value == 6
assert sorted(os.path.relpath(p, model.folder) for p in model.paths) == ["a/model.bin", "b.txt"]
millrace.progress(0, 2, "first"); millrace.progress(2, 2)
millrace.metrics({"auc": 0.5})
millrace.output("report").write({"run": millrace.run_id(), "step": millrace.step_id(), "said": helper.said})
millrace.output("model").mkdir()
assert not hasattr(millrace.output("model") / "model.bin", "write"), "libraries take what has a write for an open file"
(millrace.output("model") / "model.bin").write_bytes(b"M")
open("page.html", "w").write("<p>"); millrace.output("page").write(millrace.output("page").parent.parent / "project" / "page.html")
x = bytearray(40_000_000)
print("done", os.getcwd().endswith("project"))
`,
      "helper.py": "said = 'hello'",
    },
    { inputs, params: { depth: 6 }, outputs: { report: { type: "json" }, model: { type: "model" }, page: { type: "file" } } },
  );
  expect(end).toMatchObject({ outcome: "succeeded", code: 0, message: null });
  expect(JSON.parse(await textOf(objects, end, "report"))).toEqual({ run: "run-1", step: "step", said: "hello" });
  expect(end.outputs.model).toMatchObject([{ path: "model.bin", size: 1 }]);
  expect(end.outputs.page).toMatchObject([{ path: "page.html" }]);
  expect(progress).toEqual([
    { done: 0, total: 2, message: "first" },
    { done: 2, total: 2 },
  ]);
  expect(metrics).toEqual([{ auc: 0.5 }]);
  expect(lines).toEqual(["stdout done True"]);
  expect(end.usage.peakMemoryBytes).toBeGreaterThan(40 * mib);
  expect(end.usage.cpuSeconds).toBeGreaterThan(0);
});

test("a function's arguments are the inputs, and its result the outputs; what does not fit is said", async () => {
  const files = {
    "steps/fit.py": "def fit(depth: int, note: dict, name='x'):\n    return {'depth': depth, 'note': note['a'], 'name': name}, b'bytes'",
    "steps/__init__.py": "",
  };
  const inputs: Record<string, JobInput> = {
    depth: { kind: "value", value: 3 },
    note: { kind: "artifact", type: "json", files: [await file("note.json", '{"a": 1}')] },
  };
  const outputs = { report: { type: "json" }, model: { type: "model" } };
  const { end } = await run(files, { command: pythonCommand("steps.fit:fit"), inputs, outputs });
  expect(end.message).toBeNull();
  expect(JSON.parse(await textOf(objects, end, "report"))).toEqual({ depth: 3, note: 1, name: "x" });
  const { note, ...less } = inputs;
  expect((await run(files, { command: pythonCommand("steps.fit:fit"), inputs: less, outputs })).end.message).toContain(
    "steps.fit:fit takes 'note', and the step has no such input; it has 'depth'",
  );
  const more = { ...inputs, other: { kind: "value" as const, value: 1 } };
  expect((await run(files, { command: pythonCommand("steps.fit:fit"), inputs: more, outputs })).end.message).toContain("takes no 'other'");
  expect(note).toBeDefined();
});

test("any program runs: its arguments name inputs, outputs and params, and no shell reads them", async () => {
  const inputs: Record<string, JobInput> = { rows: { kind: "artifact", type: "file", files: [await file("rows.csv", "1\n2\n")] } };
  const outputs = { copy: { type: "file" } };
  const job = { inputs, outputs, params: { text: "a $HOME; b" } };
  const files = { "copy.sh": '#!/bin/sh\ncp "$1" "$2"; echo "$3"; echo \'{"progress": {"done": 1}}\' >&3' };
  const { end, lines, progress } = await run(files, { ...job, command: ["./copy.sh", "{inputs.rows}", "{outputs.copy}", "{params.text}"] });
  expect(end.message).toBeNull();
  expect(await textOf(objects, end, "copy")).toBe("1\n2\n");
  expect(lines).toEqual(["stdout a $HOME; b"]);
  expect(progress).toEqual([{ done: 1 }]);
  const wrong = async (command: string[]) => (await run(files, { ...job, command })).end;
  expect((await wrong(["cp", "{inputs.nothing}"])).message).toBe('The command names {inputs.nothing}, and the step has no input "nothing".');
  expect((await wrong(["no-such-program"])).message).toContain('The program "no-such-program" is not there');
  expect((await wrong(["true"])).message).toContain('The output "copy" is missing');
});

test("an error is told in one line, and the traceback begins in the script; secrets are masked", async () => {
  const { end, lines } = await run(
    { "train.py": "import os\nprint(os.environ['KEY'])\nraise ValueError('no such column: ' + os.environ['KEY'] + '\\nsecond line')" },
    { environment: { KEY: "s3cret" }, secretValues: ["s3cret"] },
  );
  expect(end).toMatchObject({ outcome: "failed", code: 1, message: "train.py ended with code 1: ValueError: no such column: ***" });
  expect(lines.join("\n")).not.toContain("s3cret");
  expect(lines.filter((line) => line.includes("File "))).toEqual(['stderr   File "train.py", line 3, in <module>']);
});

test("what uses more memory than its limit is ended with all that it started, and says so; so does Python's own error", async () => {
  const hungry = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'x = bytearray(300_000_000); import time; time.sleep(60)'])";
  const { end } = await run({ "train.py": hungry }, { resources: { memoryBytes: 150 * mib } });
  expect(end.outcome).toBe("out_of_memory");
  expect(end.message).toMatch(/^train\.py used \d+\.\d MiB of memory: more than its limit of 150 MiB, and was ended\.$/);
  const own = await run({ "train.py": "raise MemoryError('Unable to allocate 8 TiB')" }, {});
  expect(own.end).toMatchObject({ outcome: "out_of_memory", message: expect.stringContaining("train.py ran out of memory: MemoryError: Unable to allocate") });
  // Memory that a child shares with its parent is counted once.
  const sharing = "import os, time\nx = bytearray(100_000_000)\nif os.fork() == 0:\n    time.sleep(0.5); os._exit(0)\nos.wait()";
  expect((await run({ "train.py": sharing }, { resources: { memoryBytes: 150 * mib } })).end.message).toBeNull();
});

test("children that leave the group, and those that won't end, are ended when the step is cancelled, runs out of time or is done", async () => {
  const leaving = (after: string) => `
import os, subprocess, sys, time
away = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('away', flush=True); time.sleep(100)"],
                        start_new_session=True, stdout=subprocess.PIPE)
away.stdout.readline()
orphan = subprocess.run(["sh", "-c", "setsid sleep 100 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True).stdout.strip()
print(away.pid, orphan, flush=True)
${after}`;
  const gone = async ({ lines }: Told) => {
    const pids =
      lines
        .find((line) => /^stdout \d+ \d+$/.test(line))
        ?.split(" ")
        .slice(1)
        .map(Number) ?? [];
    expect(pids).toHaveLength(2);
    for (const pid of pids) await expect.poll(() => isAlive(pid)).toBe(false);
  };
  const done = await run({ "train.py": leaving("") }, {});
  expect(done.end.outcome).toBe("succeeded");
  await gone(done);
  const late = await run({ "train.py": leaving("time.sleep(100)") }, { timeoutMs: 3_000 });
  expect(late.end).toMatchObject({ outcome: "timed_out", message: "train.py ran for longer than its timeout of 3 s, and was ended." });
  await gone(late);
  const cancelling = new AbortController();
  const cancelled = run({ "train.py": leaving("time.sleep(100)") }, {}, { signal: cancelling.signal });
  setTimeout(() => cancelling.abort(), 2_000);
  expect((await cancelled).end.outcome).toBe("cancelled");
  await gone(await cancelled);
}, 60_000);

test("a folder that grows over its limit ends the step; a gigabyte that is printed is cut, and costs no memory", async () => {
  const filling = "import time\nwith open('big', 'wb') as f:\n    f.truncate(30_000_000)\ntime.sleep(60)";
  // What it was given is not what it wrote.
  const given: JobInput = { kind: "artifact", type: "model", files: [await file("large", "x".repeat(25 * mib))] };
  expect((await run({ "fill.py": filling }, { inputs: { given } }, { on: small })).end).toMatchObject({
    outcome: "failed",
    message: "fill.py filled its folder with more than 20 MiB, which is the limit (MILLRACE_STEP_DISK), and was ended.",
  });
  const filled = "open('big', 'wb').write(b'x' * 10_000_000)";
  expect((await run({ "fill.py": filled }, { inputs: { given } }, { on: small })).end.outcome).toBe("succeeded");
  const before = process.memoryUsage().rss;
  const { end, lines } = await run({ "say.py": "import sys\nfor _ in range(1000):\n    sys.stdout.write(('x' * 9999 + '\\n') * 100)" }, {});
  expect(end.outcome).toBe("succeeded");
  expect(lines.at(-1)).toBe("stdout … what comes after 67108864 bytes is dropped.");
  // What this test itself keeps is 64 MiB, as text.
  expect(process.memoryUsage().rss - before).toBeLessThan(400 * mib);
}, 60_000);

test("nothing of a step stays behind, and paths that lead out of its folder are refused", async () => {
  const inputs: Record<string, JobInput> = { x: { kind: "artifact", type: "model", files: [{ ...(await file("x", "x")), path: "../../x" }] } };
  await expect(run({ "a.py": "" }, { inputs })).rejects.toThrow('"../../x" is no path within its folder.');
  expect(
    (
      await run(
        { "a.py": "import os; os.symlink('/etc/passwd', os.environ['OUT'])" },
        { outputs: { m: { type: "model" } }, environment: { OUT: "../outputs/m" } },
      )
    ).end.message,
  ).toContain("links and devices can't be kept");
  for (const own of await readdir(path.join(folder, "jobs"))) expect(await readdir(path.join(folder, "jobs", own))).toEqual([]);
});
