/** Models of MLflow's flavors, made by its own client, in worker processes. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { createCompute } from "../../compute/index.js";
import { isAlive, type ObjectStore, openLog } from "../../platform/index.js";
import { openPlatform } from "../../platform/open.js";
import { clientPython } from "../../tracking/testing.js";
import { fit } from "../fit.js";
import type { ServedModel, Tensor, TensorData } from "../types.js";
import { createPythonModels, type PythonModels } from "./open.js";

const here = fileURLToPath(new URL(".", import.meta.url));
let folder: string;
let models: PythonModels;
let objects: ObjectStore;
let close: () => Promise<void>;
/** Of MLflow's client. */
let python: string;
/** What scikit-learn itself gives for red and -2, blue and about -1.98, … */
let expected: number[][];
const opened: ServedModel[] = [];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  python = await clientPython(path.join(here, "../../tracking/client/requirements-3.lock"), folder);
  const env = { ...process.env, PYTHONWARNINGS: "ignore", MLFLOW_DISABLE_TELEMETRY: "true", PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout } = await promisify(execFile)(python, [path.join(here, "models.py"), path.join(folder, "made")], { cwd: folder, env });
  expected = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  const platform = await openPlatform({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "system" }, logLevel: "silent" });
  close = platform.close;
  objects = platform.platform.objects;
  models = createPythonModels({ ...platform.platform, log: openLog(process.env.LOG ?? "silent") }, { compute: createCompute(platform.platform) });
}, 600_000);
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});
afterAll(async () => {
  const left = path.join(folder, "data", "models", `${hostname()}-${process.pid}`);
  expect(await readdir(left), "what workers leave behind").toEqual([]);
  await close();
  await rm(folder, { recursive: true, force: true });
});

/** The files of a folder below `made`, as they are in the object store. */
async function open(name: string, options?: Omit<Parameters<PythonModels["open"]>[0], "files" | "called">): Promise<ServedModel> {
  const from = path.join(folder, "made", name);
  const entries = (await readdir(from, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const files = await Promise.all(
    entries.map(async (entry) => {
      const file = path.join(entry.parentPath, entry.name);
      return { path: path.relative(from, file), digest: (await objects.put(await readFile(file))).digest };
    }),
  );
  const model = await models.open({ ...options, files, called: name });
  opened.push(model);
  return model;
}
const texts = (name: string, ...data: (string | null)[]): Tensor => ({ name, datatype: "BYTES", shape: [data.length], data });
const doubles = (name: string, ...data: number[]): Tensor => ({ name, datatype: "FP64", shape: [data.length], data: Float64Array.from(data) });
/** What the outputs hold, by their names. */
const held = (outputs: Tensor[]) => Object.fromEntries(outputs.map(({ name, data }) => [name, valuesOf(data)]));
const valuesOf = (data: TensorData): unknown[] => ("buffer" in data ? Array.from(data as Iterable<number | bigint>, Number) : [...data]);
const shapes = (outputs: Tensor[]) => outputs.map(({ name, datatype, shape }) => [name, datatype, ...shape]);

it("a pipeline of scikit-learn on columns of texts and numbers answers as it does itself", { timeout: 300_000 }, async () => {
  const model = await open("colours");
  expect(model).toMatchObject({
    platform: "mlflow_pyfunc",
    batches: true,
    inputs: [
      { name: "color", datatype: "BYTES", shape: [-1] },
      { name: "x", datatype: "FP64", shape: [-1] },
    ],
    outputs: [{ name: "output", datatype: "FP64", shape: [-1, 2] }],
  });
  const x = [0, 1, 2, 3].map((row) => -2 + (4 / 199) * row);
  const [output] = await model.run([texts("color", "red", "blue", "red", "green"), doubles("x", ...x)]);
  expect(output).toMatchObject({ name: "output", datatype: "FP64", shape: [4, 2] });
  expect(valuesOf(output?.data ?? [])).toEqual(expected.flat().map((one) => expect.closeTo(one, 12)));
  // A text as its bytes, and in another order.
  const bytes: Tensor = { name: "color", datatype: "BYTES", shape: [1], data: [Buffer.from("red")] };
  const [again] = await model.run([doubles("x", -2), bytes]);
  expect(valuesOf(again?.data ?? [])).toEqual(expected[0]?.map((one) => expect.closeTo(one, 12)));
  expect(model.bytes).toBeGreaterThan(50_000_000);
  const fitted = fit(model, [
    { name: "color", type: "string" },
    { name: "x", type: "float64" },
    { name: "unused", type: "int64" },
  ]);
  expect((await fitted.predict({ x: [-2], color: ["red"], unused: [null] }, 1))[0]).toBeCloseTo(expected[0]?.[1] ?? 0, 12);
  await expect(model.run([{ ...bytes, data: [Buffer.from([0xff])] }, doubles("x", 1)])).rejects.toMatchObject({ status: 400 });
});

it("a model is given each column as its signature names it, and what may be missing is missing", async () => {
  const model = await open("kinds");
  const given: Tensor[] = [
    { name: "boolean", datatype: "BOOL", shape: [1], data: Uint8Array.of(1) },
    { name: "integer", datatype: "INT32", shape: [1], data: Int32Array.of(-3) },
    { name: "long", datatype: "INT64", shape: [1], data: BigInt64Array.of(2n ** 53n + 1n) },
    { name: "float", datatype: "FP32", shape: [1], data: Float32Array.of(0.5) },
    doubles("double", Number.NaN),
    texts("string", "grün\u0000🙂"),
    { name: "binary", datatype: "BYTES", shape: [1], data: [Uint8Array.of(0xff, 0)] },
    texts("datetime", "2020-01-02T05:04:05+02:00"),
    texts("messages", '[{"role":"user","content":"hello"}]'),
  ];
  const said = [
    "boolean bool bool True",
    "integer int32 int32 -3",
    "long int64 int64 9007199254740993",
    "float float32 float32 0.5",
    "double float64 float64 nan",
    "string object str 'grün\\x00🙂'",
    "binary object bytes b'\\xff\\x00'",
    "datetime datetime64[ns] Timestamp Timestamp('2020-01-02 03:04:05')",
    "messages object list [{'role': 'user', 'content': 'hello'}]",
  ];
  // How NumPy writes its own values differs between its versions.
  const told = held(await model.run(given)).said?.map((line) => String(line).replaceAll(/np\.(?:\w+\(([^)]*)\)|(\w+)_)/g, "$1$2"));
  expect(told).toEqual(said);
  const more = held(await model.run([...given, doubles("maybe", 4)])).said ?? [];
  expect(more).toContainEqual(expect.stringMatching(/^maybe float64/));
  const replaced = (tensor: Tensor) => model.run(given.map((one) => (one.name === tensor.name ? tensor : one)));
  await expect(replaced(texts("datetime", "yesterday"))).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining("Write it as 2013-03-01T12:00:00Z."),
  });
  await expect(replaced(texts("messages", "[{"))).rejects.toMatchObject({ status: 400, message: expect.stringContaining("as JSON") });
  expect(held(await replaced(texts("datetime", null))).said).toContainEqual(expect.stringContaining("NaT"));
});

it("whatever a model gives becomes tensors", async () => {
  const model = await open("forms");
  expect(model).toMatchObject({ inputs: null, outputs: null, batches: false });
  const form = (name: string) => model.run([texts("form", name)]);
  expect(await form("array")).toEqual([{ name: "output", datatype: "FP32", shape: [2, 2], data: Float32Array.of(1.5, 2.5, 3.5, 4.5) }]);
  expect(held(await form("frame"))).toEqual({ label: ["a", null], score: [1, 2], at: ["2020-01-02T03:04:05.000Z", null] });
  const nullable = await form("nullable");
  expect(held(nullable)).toEqual({ whole: [1, Number.NaN], truth: [1, 0], kind: ["x", "y"] });
  expect(shapes(nullable)).toEqual([
    ["whole", "FP64", 2],
    ["truth", "BOOL", 2],
    ["kind", "BYTES", 2],
  ]);
  expect(await form("series")).toEqual([{ name: "output", datatype: "BOOL", shape: [2], data: Uint8Array.of(1, 0) }]);
  expect(held(await form("texts"))).toEqual({ output: ["grün", "b"] });
  expect(held(await form("records"))).toEqual({ a: [1, 2], b: ["x", "y"] });
  const dictionary = await form("dictionary");
  expect(shapes(dictionary)).toEqual([
    ["one", "INT8", 3],
    ["two", "BYTES", 1],
    ["three", "FP64", 1],
    ["bytes", "BYTES", 2],
  ]);
  expect(held(dictionary)).toEqual({ one: [0, 1, 2], two: ["text"], three: [4.5], bytes: [Buffer.from([0xff, 0]), Buffer.alloc(0)] });
  expect(await form("number")).toEqual([{ name: "output", datatype: "INT64", shape: [1], data: BigInt64Array.of(7n) }]);
  expect(held(await form("nested"))).toEqual({ output: ['{"a": [1, 2]}', '{"b": null}'] });
  expect(await form("half")).toEqual([{ name: "output", datatype: "FP16", shape: [2], data: Uint16Array.of(0x3e00, 0xc000) }]);
  await expect(form("nothing")).rejects.toThrow("the model gave nothing (None)");
  await expect(form("complex")).rejects.toThrow("complex128, which no tensor has");
  await expect(form("unheard of")).rejects.toThrow("the model failed: KeyError: 'unheard of'");
});

it("models of texts and of tensors are given what their signatures say", async () => {
  const upper = await open("upper");
  expect(upper.inputs).toMatchObject([{ name: "input", datatype: "BYTES", shape: [-1] }]);
  expect(held(await upper.run([texts("input", "a", "grün")]))).toEqual({ output: ["A", "GRÜN"] });
  const sums = await open("sums");
  expect(sums.inputs).toMatchObject([{ name: "input", datatype: "FP32", shape: [-1, 3] }]);
  expect(await sums.run([{ name: "input", datatype: "FP32", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }])).toEqual([
    { name: "output", datatype: "FP32", shape: [2], data: Float32Array.of(6, 15) },
  ]);
  const pairs = await open("pairs");
  const longs = (name: string, ...data: bigint[]): Tensor => ({ name, datatype: "INT64", shape: [data.length], data: BigInt64Array.from(data) });
  expect(await pairs.run([longs("right", 3n, 4n), longs("left", 5n, 6n)])).toEqual([longs("output", 15n, 24n)]);
});

it("calls go to whichever worker is free; one that dies is followed by another, and what it was asked is asked again", async () => {
  const model = await open("moody", { workers: 2 });
  const answers = await Promise.all(["slow", "slow", "fine", "fine"].map((what) => model.run([texts("what", what)])));
  const processes = new Set(answers.map((answer) => Number(answer[0]?.data[0])));
  expect(processes.size).toBe(2);
  await expect(model.run([texts("what", "die")])).rejects.toThrow("the model's worker ended while it was at work, and so did the next: it exited with code 3");
  const after = await Promise.all(["slow", "slow", "fine"].map((what) => model.run([texts("what", what)])));
  for (const answer of after) expect(processes).not.toContain(Number(answer[0]?.data[0]));
  // Killed from elsewhere while it works: its call is answered by the other.
  const asked = ["slow", "slow"].map((what) => model.run([texts("what", what)]));
  const killed = Number(after[0]?.[0]?.data[0]);
  process.kill(killed, "SIGKILL");
  for (const answer of await Promise.all(asked)) expect(held(answer)).toMatchObject({ what: ["slow"], process: [expect.not.closeTo(killed, 0)] });
});

it("a model that hangs is ended, and what waits is answered by the next", async () => {
  const model = await open("moody", { callMs: 4_000 });
  const process = Number((await model.run([texts("what", "fine")]))[0]?.data[0]);
  const hangs = model.run([texts("what", "hang")]);
  const waits = model.run([texts("what", "fine")]);
  await expect(hangs).rejects.toThrow("the model did not answer within 4 s");
  expect(held(await waits)).toMatchObject({ calls: [1] });
  expect(isAlive(process)).toBe(false);
  // What a model writes into the socket itself is no answer to another call: here to the next one.
  await expect(model.run([texts("what", "lie")])).rejects.toThrow("it answered what it was not asked");
  expect(held(await model.run([texts("what", "fine")]))).toMatchObject({ what: ["fine"] });
  await expect(model.run([texts("what", "fine")], { deadline: performance.now() - 1 })).rejects.toMatchObject({ status: 504 });
  await expect(model.run([texts("what", "fine")], { signal: { aborted: true } })).rejects.toMatchObject({ status: 499 });
});

it("a model that wants all memory or all of the disk fails alone, and goes on", async () => {
  const model = await open("moody", { memoryBytes: 700 * 1024 ** 2, folderBytes: 50 * 1024 ** 2 });
  await expect(model.run([texts("what", "memory")])).rejects.toThrow("its memory is full (MemoryError)");
  await expect(model.run([texts("what", "grow")])).rejects.toThrow("its memory is full (MemoryError)");
  await expect(model.run([texts("what", "disk")])).rejects.toThrow("File too large");
  await expect(model.run([texts("what", "fail")])).rejects.toThrow("the model failed: ValueError: nothing is known of this row");
  expect(held(await model.run([texts("what", "fine")]))).toMatchObject({ calls: [5] });
  await expect(model.run([texts("what", "files")])).rejects.toThrow("it kept more than 52428800 bytes on disk");
  expect(held(await model.run([texts("what", "print")]))).toMatchObject({ calls: [1] });
});

it.runIf(process.platform !== "win32")("a worker does not outlive a server that is killed, whatever its model does", async () => {
  const scratch = await mkdtemp(path.join(folder, "scratch-"));
  const file = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  const code = `
    const { readMlmodel } = await import(${file("mlmodel.ts")});
    const { startWorker } = await import(${file("../workers/worker.ts")});
    const { openLog } = await import(${file("../../platform/index.ts")});
    const folder = ${JSON.stringify(path.join(folder, "made", "moody"))};
    const limits = { callMs: 60_000, startMs: 60_000, memoryBytes: 2e9, folderBytes: 1e9, answerBytes: 1e6 };
    const model = await readMlmodel(folder);
    const hello = { folder, form: model.form, fields: model.inputs };
    const program = { command: ${JSON.stringify(python)}, args: [${file("../../../../../python/millrace/_serve.py")}.slice(7)], env: {} };
    const { call } = await startWorker({ program, hello }, limits, { scratch: ${JSON.stringify(scratch)}, log: openLog("silent") });
    const what = (text) => [{ name: "what", datatype: "BYTES", shape: [1], data: [text] }];
    const [{ data }] = await call(what("fine"));
    const hangs = call(what("hang"));
    console.log(String(data[0]));
    await hangs;`;
  const flags = ["--conditions=millrace-source", "--import", "tsx", "--input-type=module", "--eval", code];
  const server = spawn(process.execPath, flags, { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number((await once(createInterface({ input: server.stdout }), "line"))[0]);
  expect(isAlive(pid)).toBe(true);
  server.kill("SIGKILL");
  await expect.poll(() => isAlive(pid)).toBe(false);
});

it("what can't be served is told as such when it is opened", async () => {
  await expect(open("unloadable")).rejects.toMatchObject({
    status: 422,
    message: "The model can't be loaded: RuntimeError: the weights are not what they were",
  });
  await expect(open("moody", { startMs: 100 })).rejects.toThrow("it had not loaded the model after 0.1 s");
  const changed = async (file: string, change: (text: string) => string) => {
    const copy = path.join(folder, "made", "changed");
    await rm(copy, { recursive: true, force: true });
    await cp(path.join(folder, "made", "sums"), copy, { recursive: true });
    await writeFile(path.join(copy, file), change(await readFile(path.join(copy, file), "utf8")));
    return open("changed");
  };
  await expect(changed("requirements.txt", () => "mlflow-skinny==0.0.0.1")).rejects.toThrow(
    "The model's environment can't be made: The requirements can't be locked.",
  );
  await expect(changed("requirements.txt", () => "-e ../x")).rejects.toThrow('The model\'s requirements have "-e ../x"');
  await expect(changed("requirements.txt", () => "numpy @ file:///etc/x.whl")).rejects.toThrow("packages of a registry by name are taken");
  await expect(changed("python_env.yaml", () => "python: 3.6.1\ndependencies:\n- -r ../../requirements.txt\n")).rejects.toThrow("which is not within it");
  await expect(changed("python_env.yaml", (text) => text.replace(/python: .*/, "python: 3.99.1"))).rejects.toThrow("Python 3.99 is needed");
  await expect(changed("MLmodel", () => "a: &a [*a, *a]")).rejects.toMatchObject({ status: 422 });
  await expect(changed("MLmodel", () => "flavors: {sklearn: {}}")).rejects.toThrow("names no flavor python_function");
  await expect(changed("MLmodel", (text) => text.replace("float32", "complex64"))).rejects.toThrow("is of type complex64");
  await expect(models.open({ files: [], called: "nothing" })).rejects.toThrow("The model has no file MLmodel");
});
