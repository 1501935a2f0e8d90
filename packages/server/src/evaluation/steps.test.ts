import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Artifact, EvaluationReport } from "@millrace/sdk/api";
import type { FeatureServiceSpec, GateSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createInference, fit } from "../inference/index.js";
import type { StepContext } from "../pipelines/step.js";
import { type DuckDb, literal, notFound, type ObjectStore, openDuckDb, openFolderStore } from "../platform/index.js";
import type { Definition, DefinitionKind, Projects } from "../projects/index.js";
import { createEvaluation, type RegisteredVersion, type ScorerSource, type VersionRegistry } from "./index.js";

let folder: string;
let objects: ObjectStore;
let duckdb: DuckDb;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  objects = await openFolderStore(path.join(folder, "objects"));
  duckdb = openDuckDb({ memoryMb: 500, threads: 2, spillFolder: path.join(folder, "spill") });
});
afterAll(async () => {
  await duckdb.close();
  await rm(folder, { recursive: true, force: true });
});

const service: FeatureServiceSpec = {
  name: "inputs",
  request: [{ name: "x", type: "float64" }],
  timestamp: "at",
  views: [],
  compute: [],
  features: [
    { name: "x", type: "float64" },
    { name: "carrier", type: "string" },
  ],
};
const definitions: Pick<Projects, "require"> = {
  async require<K extends DefinitionKind>(kind: K, name: string): Promise<Definition<K>> {
    const found: Definition<DefinitionKind> = { kind: "feature_service", name: "inputs", project: "test", projectVersion: 1, spec: service };
    if (!isKind(found, kind)) throw notFound(kind, name);
    return found;
  },
};
function isKind<K extends DefinitionKind>(definition: Definition<DefinitionKind>, kind: K): definition is Definition<K> {
  return definition.kind === kind;
}

/** A model of a test is a file with the number that its predictions are x to the power of. */
const fakeInference: ScorerSource = {
  async open(source) {
    if (!("onnx" in source)) throw new Error("a model of a test is a file");
    const power = Number(await readFile(source.onnx, "utf8"));
    return {
      ...{ platform: "onnxruntime_onnx", batches: true, bytes: 0 },
      inputs: [
        { name: "x", datatype: "FP64", shape: [-1] },
        { name: "carrier", datatype: "BYTES", shape: [-1] },
      ],
      outputs: [{ name: "probability", datatype: "FP64", shape: [-1] }],
      async run(inputs) {
        const x = inputs.find(({ name }) => name === "x")?.data ?? [];
        return [
          {
            name: "probability",
            datatype: "FP64",
            shape: [x.length],
            data: Float64Array.from({ length: x.length }, (_, row) => Math.abs(Number(x[row])) ** power),
          },
        ];
      },
      async close() {},
    };
  },
  async openModel(source, features) {
    return fit(await fakeInference.open(source), features);
  },
};

function fakeRegistry(): VersionRegistry & { versions: RegisteredVersion[]; aliases: Map<string, number> } {
  const versions: RegisteredVersion[] = [];
  const aliases = new Map<string, number>();
  return {
    versions,
    aliases,
    byAlias: async (_model, alias) => versions.find((v) => v.version === aliases.get(alias)),
    byDigest: async (_model, digest) => versions.find((v) => v.digest === digest),
    async register(version) {
      versions.push({ ...version, version: versions.length + 1 });
      return { version: versions.length };
    },
    async setAlias(_model, alias, version) {
      aliases.set(alias, version);
    },
  };
}

async function table(sql: string): Promise<Artifact> {
  const file = path.join(folder, "table.parquet");
  await duckdb.use((connection) => connection.run(`copy (${sql}) to ${literal(file)} (format parquet)`));
  const stored = await objects.putFile(file);
  return { type: "table", digest: stored.digest, files: [{ path: "0.parquet", ...stored }], meta: {} };
}
async function model(power: number, parity?: Artifact): Promise<Artifact> {
  const stored = await objects.put(Buffer.from(String(power)));
  const files = [{ path: "model.onnx", ...stored }];
  const sample = parity?.files[0];
  return { type: "model", digest: stored.digest, files: sample === undefined ? files : [...files, { ...sample, path: "parity.parquet" }], meta: {} };
}
const context = {
  runId: "run1",
  project: "test",
  projectVersion: 1,
  params: {},
  trackingRunId: null,
  workDir: "",
  log: () => {},
  signal: new AbortController().signal,
};
const evaluateNode: StepContext<"evaluate">["node"] = {
  id: "evaluate",
  kind: "evaluate",
  inputs: {},
  outputs: [{ name: "report", type: "report" }],
  config: { label: "late", service: "inputs", slices: ["carrier"], against: { model: "delay", alias: "champion" } },
};
const registerNode = (gates: GateSpec[]): StepContext<"register">["node"] => ({
  id: "register",
  kind: "register",
  inputs: {},
  outputs: [{ name: "version", type: "model_version" }],
  config: { model: "delay", service: "inputs", alias: "challenger", gates },
});

test("a candidate is evaluated with its slices and parity, refused or registered, and becomes the first champion", async () => {
  const registry = fakeRegistry();
  const { evaluate, register } = createEvaluation({ objects, duckdb }, { projects: definitions, registry, inference: fakeInference }).stepKinds;
  // 20,000 rows, more than two batches: x in (0, 1), late where x > 0.5, one row without a label.
  const rows = await table(
    "select (i + 0.5) / 20000 as x, case i % 4 when 0 then 'AA' else 'UA' end as carrier, case when i = 7 then null else x > 0.5 end as late from range(20000) t(i)",
  );
  const parity = await table("select 0.5::double as x, 'AA' as carrier, 0.500001::double as prediction");
  const candidate = await model(1, parity);
  const evaluated = await evaluate.run({ ...context, node: evaluateNode, inputs: { model: candidate, rows } });
  const report = await readReport(evaluated.outputs.report);
  expect(report.candidate).toMatchObject({ rows: 19_999, positives: 10_000, auc: 1 });
  expect(report.slices.map((s) => [s.value, s.candidate.rows])).toEqual([
    ["UA", 14_999],
    ["AA", 5_000],
  ]);
  expect(report.parity?.rows).toBe(1);
  expect(report.parity?.maxDifference).toBeCloseTo(1e-6, 12);
  expect(report.latency.p99Ms).toBeGreaterThanOrEqual(report.latency.p50Ms);
  expect(evaluated.metrics).toMatchObject({ auc: 1 });

  const inputs = { model: candidate, report: artifact(evaluated.outputs.report) };
  const strict = await register.run({ ...context, node: registerNode([{ kind: "same_as_trained", within: 1e-7 }]), inputs });
  expect(strict.refused).toContain("differs from the trained one by at most 0.000001; asked is within 1e-7");
  expect(registry.versions).toEqual([]);

  const passing = registerNode([{ kind: "better", metric: "auc", by: 0.001 }]);
  expect((await register.run({ ...context, node: passing, inputs })).modelVersion).toBe("delay/1");
  expect(Object.fromEntries(registry.aliases)).toEqual({ champion: 1, challenger: 1 });

  // The same model again: no new version, and the aliases stay.
  registry.aliases.delete("challenger");
  expect((await register.run({ ...context, runId: "run2", node: passing, inputs })).modelVersion).toBe("delay/1");
  expect(registry.versions).toHaveLength(1);
  expect(Object.fromEntries(registry.aliases)).toEqual({ champion: 1 });

  // A later candidate is measured beside the champion on the same rows.
  const second = await evaluate.run({ ...context, node: evaluateNode, inputs: { model: await model(2), rows } });
  const beside = await readReport(second.outputs.report);
  expect(beside).toMatchObject({ championVersion: "delay/1", champion: { auc: 1 }, parity: null });
  expect(beside.candidate.log_loss).toBeGreaterThan(beside.champion?.log_loss ?? Number.POSITIVE_INFINITY);
  expect(await evaluate.identity?.({ ...context, node: evaluateNode, inputs: {} })).toMatchObject({ champion: { digest: candidate.digest } });
});

test("rows that lack a feature, labels that are no labels and predictions that are none are named", async () => {
  const { evaluate } = createEvaluation({ objects, duckdb }, { projects: definitions, registry: fakeRegistry(), inference: fakeInference }).stepKinds;
  const run = async (power: number, sql: string) =>
    evaluate.run({ ...context, node: evaluateNode, inputs: { model: await model(power), rows: await table(sql) } });
  await expect(run(1, "select 'AA' as carrier, 1 as late")).rejects.toThrow("The rows to evaluate the candidate on have no column x. They have carrier, late.");
  await expect(run(1, "select 0.5 as x, 'AA' as carrier, 2 as late")).rejects.toThrow("The label late has the value 2");
  await expect(run(1, "select 3.0 as x, 'AA' as carrier, 1 as late")).rejects.toThrow("is 3, which is no probability");
  const noModel = { ...(await model(1)), files: [] };
  const rows = await table("select 1 as x");
  await expect(evaluate.run({ ...context, node: evaluateNode, inputs: { model: noModel, rows } })).rejects.toThrow("needs a file model.onnx");
});

function artifact(output: Artifact | undefined): Artifact {
  if (output === undefined) throw new Error("The step gave no such output.");
  return output;
}
async function readReport(output: Artifact | undefined): Promise<EvaluationReport> {
  const digest = artifact(output).files[0]?.digest ?? "";
  return JSON.parse(await readFile(await objects.localPath(`sha256:${digest.slice(7)}`), "utf8"));
}

test("a model's answers to many rows are a column more, in the rows' order; a column that is there or missing is told", async () => {
  const { predict } = createEvaluation({ objects, duckdb }, { projects: definitions, registry: fakeRegistry(), inference: fakeInference }).stepKinds;
  const node = (config: { service: string; column: string }): StepContext<"predict">["node"] => ({
    ...{ id: "predict", kind: "predict", inputs: {}, outputs: [{ name: "rows", type: "table" as const }], config },
  });
  const workDir = await mkdtemp(path.join(folder, "work-"));
  // Several batches, and rows whose order no column tells.
  const rows = await table("select (range * 7919 % 30011)::double / 30011 as x, 'UA' as carrier, range as n from range(30000)");
  const made = await predict.run({ ...context, workDir, node: node({ service: "inputs", column: "odds" }), inputs: { rows, model: await model(2) } });
  expect(made.outputs.rows?.meta).toMatchObject({ rows: 30_000, service: "inputs" });
  const [file] = made.outputs.rows?.files ?? [];
  const at = await objects.localPath(file?.digest as `sha256:${string}`);
  const [found] = await duckdb.rows<{ n: number; wrong: number; ordered: boolean }>(`
    select count(*) as n, count(*) filter (abs(odds - x * x) > 1e-12) as wrong, bool_and(n = position) as ordered
    from (select *, row_number() over () - 1 as position from read_parquet(${literal(at)}))`);
  expect(found).toEqual({ n: 30_000, wrong: 0, ordered: true });

  const given = { rows, model: await model(2) };
  await expect(predict.run({ ...context, workDir, node: node({ service: "inputs", column: "n" }), inputs: given })).rejects.toThrow(
    'have a column "n" already',
  );
  const without = { ...given, rows: await table("select 1.0 as x") };
  await expect(predict.run({ ...context, workDir, node: node({ service: "inputs", column: "odds" }), inputs: without })).rejects.toThrow('no column "carrier"');
});

test("a model's own outputs become columns, of columns by its inputs' names or of several side by side", async () => {
  const { predict } = createEvaluation({ objects, duckdb }, { projects: definitions, registry: fakeRegistry(), inference: createInference() }).stepKinds;
  const workDir = await mkdtemp(path.join(folder, "work-"));
  const fixture = async (name: string): Promise<Artifact> => {
    const { digest, size } = await objects.put(await readFile(new URL(`../inference/fixtures/${name}.onnx`, import.meta.url)));
    return { type: "model", digest, files: [{ path: "model.onnx", digest, size }], meta: { version: 4 } };
  };
  const node = (config: StepContext<"predict">["node"]["config"]): StepContext<"predict">["node"] => ({
    ...{ id: "predict", kind: "predict", inputs: {}, outputs: [{ name: "rows", type: "table" as const }], config },
  });
  const read = async (made: { outputs: Record<string, Artifact> }, sql: string) =>
    duckdb.rows<Record<string, unknown>>(
      sql.replace("$rows", `read_parquet(${literal(await objects.localPath(made.outputs.rows?.files[0]?.digest as `sha256:${string}`))})`),
    );

  const rows = await table("select range as n, (range % 7)::double as a, -(range % 5)::integer as b from range(10000)");
  const matrix = { rows, model: await fixture("matrix") };
  const made = await predict.run({ ...context, workDir, node: node({ inputs: { X: ["a", "b"] } }), inputs: matrix });
  expect(made.outputs.rows?.meta).toMatchObject({
    rows: 10_000,
    model: 4,
    columns: expect.arrayContaining([
      { name: "probabilities", type: "FLOAT[]" },
      { name: "label", type: "BIGINT" },
    ]),
  });
  const [found] = await read(
    made,
    "select count(*) as n, count(*) filter (label <> (a + b > 0)::int or abs(probabilities[2] - 1 / (1 + exp(-2 * (a + b)))) > 1e-6) as wrong from $rows",
  );
  expect(found).toEqual({ n: 10_000, wrong: 0 });

  // Of every datatype, with lists, and columns whose types only convert.
  const every = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "fp16", "fp32", "fp64", "bytes"];
  const lists = await table(`select ${every.map((name) => (name === "bytes" ? "['a', null] as bytes" : `[0, 1] as ${name}`)).join(", ")}`);
  const same = await predict.run({ ...context, workDir, node: node({}), inputs: { rows: lists, model: await fixture("datatypes") } });
  expect(await read(same, `select ${every.map((name) => `same_${name} = ${name === "bytes" ? "['a', '']" : name} as ${name}`).join(", ")} from $rows`)).toEqual(
    [Object.fromEntries(every.map((name) => [name, true]))],
  );

  await expect(predict.run({ ...context, workDir, node: node({}), inputs: matrix })).rejects.toThrow(
    'no column "X". They have n, a, b. Say which are the model\'s "X" with `inputs`.',
  );
  await expect(predict.run({ ...context, workDir, node: node({ inputs: { X: ["a", "b", "n"] } }), inputs: matrix })).rejects.toThrow(
    '3 values for the model\'s "X", which takes [-1, 2]',
  );
  await expect(predict.run({ ...context, workDir, node: node({ inputs: { Y: "a" } }), inputs: matrix })).rejects.toThrow('no input "Y". It takes X.');
});
