import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile, isProject } from "./index.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const sdk = path.join(root, "packages/sdk/src");
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-readme-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("the pipelines of the README type-check and compile to a document that can be applied", async () => {
  const text = await readFile(path.join(sdk, "../README.md"), "utf8");
  const blocks = [...text.slice(text.indexOf("## Pipelines"), text.indexOf("## The document")).matchAll(/```ts\n([\s\S]*?)```/g)].map(
    (match) => match[1] ?? "",
  );
  expect(blocks.length).toBe(4);
  await writeFile(path.join(folder, "package.json"), '{ "type": "module" }');
  await writeFile(path.join(folder, "millrace.ts"), blocks.join("\n"));
  const compilerOptions = {
    target: "es2023",
    module: "nodenext",
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: true,
    noUnusedLocals: false,
    types: [],
    paths: { "@millrace/sdk": [path.join(root, "packages/sdk/dist/index.d.ts")] },
  };
  await writeFile(path.join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  const said = await new Promise<string>((resolve) => execFile(path.join(root, "node_modules/.bin/tsc"), ["-p", folder], (_error, stdout) => resolve(stdout)));
  expect(said).toBe("");

  await writeFile(path.join(folder, "run.ts"), blocks.join("\n").replace('"@millrace/sdk"', JSON.stringify(path.join(sdk, "index.ts"))));
  const module: { default: unknown } = await import(path.join(folder, "run.ts"));
  if (!isProject(module.default)) throw new Error("The README exports no project.");
  const { pipelines } = compile(module.default, { folder });
  expect(pipelines.find((one) => one.name === "blended")?.nodes.map((node) => node.id)).toEqual([
    "prepared.read_trips",
    "prepared.clean",
    "champion_trips",
    "fit",
    "weigh",
    "train_large",
    "partitions_trips",
    "each",
    "blend",
    "choose",
    "choose_2",
    "wait",
    "approval",
    "report",
  ]);
});
