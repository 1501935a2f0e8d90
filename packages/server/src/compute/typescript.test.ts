import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ObjectStore, openFolderStore } from "../platform/index.js";
import type { Backend, Job, JobEnd, JobFile } from "./backend.js";
import { typescriptBackend } from "./typescript.js";
import { openRunners, type Runners } from "./typescript-runners.js";

let dataDir: string;
let objects: ObjectStore;
let runners: Runners;
let backend: Backend;
beforeAll(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), "millrace-ts-"));
  objects = await openFolderStore(path.join(dataDir, "objects"));
  runners = openRunners({ config: { dataDir, host: "127.0.0.1", port: 0, clock: { kind: "system" }, logLevel: "warn" }, objects });
  backend = typescriptBackend({ objects }, runners, { folderBytes: 50 * 1024 ** 2 });
});
afterAll(async () => {
  await backend.stop?.();
  await runners.stop();
  await rm(dataDir, { recursive: true, force: true });
});

let ids = 0;
interface Told {
  lines: string[];
  progress: unknown[];
}
/** A step whose function is this text, as a bundle of it would be. */
async function run(
  body: string,
  of: Partial<Job> = {},
  signal = new AbortController().signal,
  declared = "{}",
  onLine: (text: string) => void = () => {},
): Promise<JobEnd & Told> {
  const bundle = await objects.put(Buffer.from(`export const step = { name: "work", out: ${declared}, run: ${body} };`));
  const told: Told = { lines: [], progress: [] };
  const job: Job = {
    id: `r${++ids}/step/1`,
    command: [".millrace/steps/work.mjs", "work"],
    code: [{ path: ".millrace/steps/work.mjs", digest: bundle.digest }],
    inputs: {},
    outputs: {},
    params: {},
    environment: {},
    secretValues: [],
    resources: {},
    timeoutMs: 30_000,
    ...of,
  };
  const end = await backend.run(job, {
    signal,
    onLine(_stream, text) {
      told.lines.push(text);
      onLine(text);
    },
    onProgress: (progress) => void told.progress.push(progress),
    onUsage: () => {},
  });
  return { ...end, ...told };
}
async function json(file: JobFile[] | undefined): Promise<unknown> {
  const [first] = file ?? [];
  if (first === undefined) return undefined;
  return JSON.parse(Buffer.concat(await (await objects.read(first.digest)).toArray()).toString());
}

test("tables stream through a step side by side, and none is cut short by another", async () => {
  const made = await run("() => ({ rows: Array.from({ length: 10_000 }, (_, n) => ({ n })) })", { outputs: { rows: { type: "table" } } });
  const rows = { kind: "artifact" as const, type: "table" as const, files: made.outputs.rows ?? [] };
  const passed = await run(
    `async ({ inputs, outputs }) => {
      async function* each(table, by) { for await (const batch of table.batches()) for (const { n } of batch) yield { n: n * by }; }
      await Promise.all([outputs.once.write(each(inputs.a, 1)), outputs.twice.write(each(inputs.b, 2))]);
    }`,
    { inputs: { a: rows, b: rows }, outputs: { once: { type: "table" }, twice: { type: "table" } } },
  );
  expect(passed.message).toBe(null);
  const looked = await run(
    `async ({ inputs }) => {
      const sums = {};
      for (const name of ["once", "twice"]) { const rows = await inputs[name].rows(); sums[name] = [rows.length, rows.reduce((sum, { n }) => sum + n, 0)]; }
      return { sums };
    }`,
    {
      inputs: {
        once: { kind: "artifact", type: "table", files: passed.outputs.once ?? [] },
        twice: { kind: "artifact", type: "table", files: passed.outputs.twice ?? [] },
      },
      outputs: { sums: { type: "json" } },
    },
  );
  expect(await json(looked.outputs.sums)).toEqual({ once: [10_000, 49_995_000], twice: [10_000, 99_990_000] });
});

test("a step returns its outputs; rows are read and written as Parquet, and what is said comes in order", async () => {
  const first = await run(
    `async ({ params, log, progress, outputs }) => {
      log("one"); console.log("two"); console.error({ three: 3 }); process.stdout.write("no end");
      progress(1, 2, "half");
      await outputs.note.write("a text");
      return {
        rows: Array.from({ length: 5000 }, (_, i) => ({ id: i, km: i / params.by, city: i % 2 ? "Oslo" : null, at: new Date(i * 1000), ok: i > 3 })),
        counts: { rows: 5000 },
      };
    }`,
    { params: { by: 2 }, outputs: { rows: { type: "table" }, counts: { type: "metrics" }, note: { type: "file" } } },
  );
  expect(first).toMatchObject({
    outcome: "succeeded",
    message: null,
    lines: ["one", "two", "{ three: 3 }", "no end"],
    progress: [{ done: 1, total: 2, message: "half" }],
  });
  expect(await json(first.outputs.counts)).toEqual({ rows: 5000 });
  const rows = first.outputs.rows ?? [];
  const second = await run(
    `async ({ inputs }) => {
      const rows = await inputs.rows.rows();
      let batches = 0;
      for await (const batch of inputs.rows.batches()) batches += batch.length;
      const list = await Promise.all(inputs.lists.map((one) => one.json()));
      return { seen: { n: rows.length, batches, last: rows.at(-1), note: await inputs.note.text(), list, absent: inputs.nothing === undefined } };
    }`,
    {
      inputs: {
        rows: { kind: "artifact", type: "table", files: rows },
        note: { kind: "artifact", type: "file", files: first.outputs.note ?? [] },
        lists: {
          kind: "list",
          items: [
            { kind: "artifact", type: "metrics", files: first.outputs.counts ?? [] },
            { kind: "value", value: [1] },
          ],
        },
      },
      outputs: { seen: { type: "json" } },
    },
  );
  expect(second.message).toBe(null);
  expect(await json(second.outputs.seen)).toEqual({
    n: 5000,
    batches: 5000,
    last: { id: 4999, km: 2499.5, city: "Oslo", at: new Date(4_999_000).toISOString(), ok: true },
    note: "a text",
    list: [{ rows: 5000 }, [1]],
    absent: true,
  });
});

test("columns that are declared are written so, also without rows, and a value of another type is named", async () => {
  const declared = '{ rows: { kind: "table", columns: { km: { type: "float64" }, day: { type: "date" } } } }';
  const outputs = { rows: { type: "table" } };
  const empty = await run("() => ({ rows: [] })", { outputs }, undefined, declared);
  expect(empty).toMatchObject({ outcome: "succeeded" });
  const wrong = await run('() => ({ rows: [{ km: 1 }, { km: "far" }] })', { outputs }, undefined, declared);
  expect(wrong).toMatchObject({
    outcome: "failed",
    message: 'Of the table, row 2 of "rows" has in "km" "far", where the column is of type float64.',
  });
  expect(await run("() => ({ rows: [] })", { outputs })).toMatchObject({ message: expect.stringContaining("its columns are not declared") });
});

test("what a step did wrong is told in a line, with where in its code", async () => {
  const thrown = await run('async () => { await null; throw new TypeError("no such city"); }', { environment: { TOKEN: "s3cret" }, secretValues: ["s3cret"] });
  expect(thrown).toMatchObject({
    outcome: "failed",
    message: "TypeError: no such city",
    lastLines: [expect.stringMatching(/TypeError: no such city/), expect.stringMatching(/at .*work\.mjs:1/)],
  });
  expect(thrown.lines.join("\n")).not.toContain(dataDir);
  expect(await run("() => ({ other: 1 })")).toMatchObject({ message: 'It returned "other", which is none of its outputs: it has none.' });
  expect(await run("() => {}", { outputs: { m: { type: "json" } } })).toMatchObject({
    message: expect.stringContaining('The output "m" is missing: return { m: … }'),
  });
  expect(await run("() => ({ m: { a: NaN } })", { outputs: { m: { type: "metrics" } } })).toMatchObject({ message: expect.stringContaining('"a" is none') });
  expect(await run("() => process.exit(0)")).toMatchObject({ outcome: "failed", message: expect.stringContaining("ended its process before it was done") });
  expect(await run("async () => { setTimeout(() => { throw new Error('late') }, 5); await new Promise((r) => setTimeout(r, 20_000)); }")).toMatchObject({
    message: "late",
  });
  const secret = await run("() => { console.log(process.env.TOKEN); throw new Error(process.env.TOKEN) }", {
    environment: { TOKEN: "s3cret" },
    secretValues: ["s3cret"],
  });
  expect(secret).toMatchObject({ lines: expect.arrayContaining(["***"]), message: "***" });
  // Nothing of it is there for another step.
  expect(await json((await run("() => ({ v: process.env.TOKEN ?? null })", { outputs: { v: { type: "json" } } })).outputs.v)).toBe(null);
});

test("a step that takes too long, is cancelled, or uses too much memory or disk is ended with all that it started", async () => {
  const blocked = await run("() => { for (;;); }", { timeoutMs: 300 });
  expect(blocked).toMatchObject({ outcome: "timed_out", message: expect.stringContaining("longer than its timeout of 0.3 s") });
  const stopping = new AbortController();
  const cancelled = run(
    "async ({ signal, log }) => { const told = new Promise((r) => signal.addEventListener('abort', r)); log('on'); await told; log('told'); }",
    {},
    stopping.signal,
    "{}",
    (text) => text === "on" && stopping.abort(),
  );
  expect(await cancelled).toMatchObject({ outcome: "cancelled", message: "The step was cancelled.", lines: ["on", "told"] });
  const heap = await run("() => { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); }", { resources: { memoryBytes: 150 * 1024 ** 2 } });
  expect(heap).toMatchObject({ outcome: "out_of_memory" });
  const buffers = await run("async () => { const all = []; for (;;) { all.push(Buffer.alloc(8e6, 1)); await new Promise((r) => setTimeout(r, 5)); } }", {
    resources: { memoryBytes: 300 * 1024 ** 2 },
  });
  expect(buffers).toMatchObject({ outcome: "out_of_memory", message: expect.stringContaining("more than its limit of 300 MiB") });
  const fills = `async () => { const { truncate, writeFile } = await import("node:fs/promises"); await writeFile("big", ""); await truncate("big", 60e6); `;
  const full = { outcome: "failed", message: "work filled its folder with more than 50 MiB, which is the limit (MILLRACE_STEP_DISK), and was ended." };
  expect(await run(`${fills}}`)).toMatchObject(full);
  expect(await run(`${fills} await new Promise((r) => setTimeout(r, 20_000)); }`)).toMatchObject(full);
});

test("processes are kept warm: a further call costs a few milliseconds, and two run at once", async () => {
  const pid = async () => json((await run("() => ({ pid: process.pid })", { outputs: { pid: { type: "json" } } })).outputs.pid);
  const one = await pid();
  expect(await pid()).toBe(one);
  const both = await Promise.all([run("() => new Promise((r) => setTimeout(r, 50))"), run("() => new Promise((r) => setTimeout(r, 50))")]);
  expect(both.map((end) => end.outcome)).toEqual(["succeeded", "succeeded"]);
  const times: number[] = [];
  for (let i = 0; i < 40; i++) {
    const began = performance.now();
    await run("() => {}");
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  // A typical call takes 2 to 3 ms; the bound is for a machine that is busy with other tests.
  expect(times[10]).toBeLessThan(30);
  if (process.env.MILLRACE_TIMES) console.log(`warm call: p50 ${times[20]?.toFixed(2)} ms, p90 ${times[36]?.toFixed(2)} ms`);
  // A timer that a step leaves behind must not go on in the next one's time.
  const left = await json(
    (await run("() => { setInterval(() => {}, 1000); return { pid: process.pid }; }", { outputs: { pid: { type: "json" } } })).outputs.pid,
  );
  expect(await pid()).not.toBe(left);
  expect((await readdir(path.join(dataDir, "jobs"))).length).toBe(1);
});
