import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { everyNode, type NodeSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportOf } from "./bundle.js";
import { compileProject } from "./compile.js";
import { importsOf } from "./python.js";

const sdk = fileURLToPath(new URL("../../../sdk/src/index.ts", import.meta.url));
const tsconfig = { compilerOptions: { target: "es2023", module: "nodenext", paths: { "@millrace/sdk": [sdk] } } };
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-code-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(name: string, files: Record<string, string>): Promise<string> {
  const project = path.join(folder, name);
  for (const [file, text] of Object.entries({ "package.json": '{ "type": "module" }', "tsconfig.json": JSON.stringify(tsconfig), ...files })) {
    await mkdir(path.dirname(path.join(project, file)), { recursive: true });
    await writeFile(path.join(project, file), text);
  }
  return project;
}
async function codeOf(
  project: string,
): Promise<{ code: Record<string, string[] | undefined>; nodes: NodeSpec[]; digests: Record<string, string>; bytes: Record<string, string> }> {
  const { spec, upload } = await compileProject(project);
  const nodes = spec.pipelines.flatMap((one) => everyNode(one.nodes));
  const digests = Object.fromEntries(spec.files.map((file) => [file.path, file.digest]));
  const bytes: Record<string, string> = {};
  const client = {
    projects: {
      async upload(digest: string, sent: unknown) {
        bytes[digest] = sent instanceof Uint8Array ? Buffer.from(sent).toString() : "";
        return { digest, size: 0 };
      },
    },
  };
  await upload(client, { missing: Object.values(digests) });
  return { code: Object.fromEntries(nodes.map((node) => [node.id, "code" in node ? node.code : undefined])), nodes, digests, bytes };
}

test("imports of Python are read in every form that the language has", () => {
  const source = `import os, lib.tables as t
from . import near
from ..up.deep import (one,  # a comment
    two as three,
)
from lib \\
    import more
def f():
    import inner.late; x = 1
m = importlib.import_module("by.name")
text = "no import here"
`;
  expect(importsOf(source).map(({ module, names }) => [module, ...names].join(" "))).toEqual([
    ". near",
    "..up.deep one two",
    "lib more",
    "os",
    "lib.tables",
    "inner.late",
    "by.name",
  ]);
});

test("the code of a step is its script, what that imports, and the files that it names", async () => {
  const project = await write("python", {
    "millrace.ts": `import { command, File, pipeline, project, python } from "@millrace/sdk";
const train = python({ script: "steps/train.py", files: ["sql/*.sql"] });
const call = python({ script: "pkg.models.fit:train" });
const dbt = command({ command: ["dbt", "run"] });
const sh = command({ command: ["bash", "run.sh"], name: "sh" });
const py = command({ command: ["python", "steps/train.py", "--config=conf/a.json"], name: "py", out: { f: File } });
export const p = pipeline({ name: "p" }, () => { train({}); call({}); dbt({}); sh({}); py({}); });
export default project({ name: "python", definitions: [p] });`,
    "steps/train.py": "import common\nfrom helpers.io import read\nimport pandas\nopen('settings.yaml')\n",
    "steps/common.py": "",
    "steps/settings.yaml": "",
    "steps/unused.py": "",
    "helpers/__init__.py": "from . import base",
    "helpers/base.py": "",
    "helpers/io.py": "from .deep import x",
    "helpers/deep/__init__.py": "",
    "helpers/deep/x.py": "",
    "helpers/other.py": "",
    "pkg/__init__.py": "",
    "pkg/models/__init__.py": "",
    "pkg/models/fit.py": "from ..shared import a\nfrom helpers import other",
    "pkg/shared.py": "",
    "sql/a.sql": "",
    "conf/a.json": "",
    "conf/b.json": "",
    "run.sh": "cat conf/b.json",
  });
  const { code } = await codeOf(project);
  const helpers = ["helpers/__init__.py", "helpers/base.py", "helpers/deep/__init__.py", "helpers/deep/x.py", "helpers/io.py"];
  expect(code.train).toEqual([...helpers, "sql/a.sql", "steps/common.py", "steps/settings.yaml", "steps/train.py"]);
  expect(code.train_2).toEqual([
    "helpers/__init__.py",
    "helpers/base.py",
    "helpers/other.py",
    "pkg/__init__.py",
    "pkg/models/__init__.py",
    "pkg/models/fit.py",
    "pkg/shared.py",
  ]);
  // What it reads is its own business: any file.
  expect(code.dbt).toBe(undefined);
  expect(code.sh).toEqual(["conf/b.json", "run.sh"]);
  expect(code.py).toEqual(["conf/a.json", ...helpers, "steps/common.py", "steps/settings.yaml", "steps/train.py"]);
});

const steps = (extra: string) => `import { dataset, int, json, pipeline, step, Table, table, float64 } from "@millrace/sdk";
import { double } from "./lib.js";
import { unused } from "./unused.js";
const data = dataset({ name: "d" });
export const a = step({ name: "a", in: { n: int() }, out: { v: json<number>() }, run: ({ params }) => ({ v: double(params.n) }) });
const b = step({ name: "b", in: { rows: table({ km: float64() }) }, out: { rows: table({ km: float64() }) }, run: async ({ inputs }) => ({ rows: await inputs.rows.rows() }) });
const made = ["c", "d"].map((name) => step({ name, run: ({ log }) => log(name) }));
export const p = pipeline({ name: "p" }, () => { a({ n: 1 }); b({ rows: data.upTo("latest") }); for (const one of made) one({}); unused(); });
${extra}`;
const entry = `import { project } from "@millrace/sdk";
import * as all from "./steps.js";
export default project({ name: "typescript", definitions: [all] });`;

test("a bundle holds a step with what it uses, wherever it is made, and changes with that alone", async () => {
  const files = {
    "millrace.ts": entry,
    "lib.ts": "export const double = (n: number): number => n * 2;\nexport const triple = (n: number) => n * 3;",
    "unused.ts": "export const unused = () => 'never used by a step';",
  };
  const first = await codeOf(await write("one", { ...files, "steps.ts": steps("") }));
  expect(first.code.a).toEqual([".millrace/steps/steps.a.mjs"]);
  expect(Object.keys(first.digests).filter((one) => one.endsWith(".mjs"))).toEqual(["a", "b", "c", "d"].map((name) => `.millrace/steps/steps.${name}.mjs`));
  const text = first.bytes[first.digests[".millrace/steps/steps.a.mjs"] ?? ""] ?? "";
  expect(text).toContain("n * 2");
  for (const other of ["n * 3", "never used", "dataset", "pipeline", folder]) expect(text).not.toContain(other);

  // Another folder, another pipeline beside it, another change in the library: the step is the same.
  const second = await codeOf(
    await write("two", {
      ...files,
      "lib.ts": files["lib.ts"].replace("n * 3", "n * 4"),
      "steps.ts": steps("export const q = pipeline({ name: 'q' }, () => a({ n: 2 }));"),
    }),
  );
  const bundle = (of: { digests: Record<string, string> }, name: string) => of.digests[`.millrace/steps/steps.${name}.mjs`];
  expect(bundle(second, "a")).toBe(bundle(first, "a"));
  expect(bundle(second, "b")).toBe(bundle(first, "b"));
  const third = await codeOf(await write("three", { ...files, "lib.ts": files["lib.ts"].replace("n * 2", "n + n"), "steps.ts": steps("") }));
  expect(bundle(third, "a")).not.toBe(bundle(first, "a"));
  expect(bundle(third, "b")).toBe(bundle(first, "b"));

  // They are loaded as the runner does.
  for (const name of ["a", "b", "c", "d"]) {
    const file = path.join(folder, `${name}.mjs`);
    await writeFile(file, first.bytes[bundle(first, name) ?? ""] ?? "");
    const script = `const { step } = await import(${JSON.stringify(pathToFileURL(file).href)}); console.log(JSON.stringify([step.name, step.out, typeof step.run, step.name === "a" && step.run({ params: { n: 4 } })]))`;
    const [said, out, run, result] = JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }));
    expect([said, run]).toEqual([name, "function"]);
    if (name === "a") expect(result).toEqual({ v: 8 });
    if (name === "b") expect(out).toEqual({ rows: { kind: "table", columns: { km: { type: "float64" } } } });
  }
});

test("a transform of an inference graph is bundled where it stands, and the graph says in which file it is", async () => {
  const graphs = `import { inferenceGraph, sequence, transform } from "@millrace/sdk";
import { double } from "./lib.js";
const twice = transform({ name: "twice", in: { x: "FP64" }, out: { y: "FP64" }, run: ({ x }) => ({ y: x.map((one) => double(Number(one))) }) });
export const graph = inferenceGraph({ name: "graph", node: sequence(twice, ...["more"].map((name) => transform({ name, in: { y: "FP64" }, out: { z: "INT64" }, run: ({ y }) => ({ z: y.map(() => 1n) }) }))) });`;
  const found = await codeOf(
    await write("graphs", {
      "millrace.ts": `import { project } from "@millrace/sdk";\nimport * as graphs from "./graphs.js";\nexport default project({ name: "graphs", definitions: [graphs] });`,
      "lib.ts": "export const double = (n: number): number => n * 2;",
      "graphs.ts": graphs,
    }),
  );
  for (const [name, given, expected] of [
    ["twice", { x: [1, 2.5] }, { y: [2, 5] }],
    ["more", { y: [1] }, { z: ["1n"] }],
  ] as const) {
    const digest = found.digests[`.millrace/transforms/graphs.${name}.mjs`] ?? "";
    const file = path.join(folder, `${name}.mjs`);
    await writeFile(file, found.bytes[digest] ?? "");
    const script = `const { transform } = await import(${JSON.stringify(pathToFileURL(file).href)}); console.log(JSON.stringify(transform.run(${JSON.stringify(given)}), (_, value) => typeof value === "bigint" ? value + "n" : value))`;
    expect(JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }))).toEqual(expected);
  }
});

test("the name of a step's export is found in its line, or by the step's own name", () => {
  const source = `export const clean = step({
  name: "x",
});
const other: TypeScriptStep<A, B> = sdk.step<A>({ name: 'y' });
  const inner = step({ name: "z" });
export default step({ name: "w" });`;
  expect(exportOf(source, 1, "x")).toEqual({ name: "clean", exported: true });
  expect(exportOf(source, 99, "x")).toEqual({ name: "clean", exported: true });
  expect(exportOf(source, 4, "y")).toEqual({ name: "other", exported: false });
  expect(exportOf(source, 99, "y")).toEqual({ name: "other", exported: false });
  expect(exportOf(source, 6, "w")).toEqual({ name: "default", exported: true });
  expect(exportOf(source, 99, "q")).toBe(undefined);
});
