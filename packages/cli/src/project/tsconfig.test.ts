import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { definitionsOf } from "./compile.js";
import { sdkTypes, tsconfigOf } from "./tsconfig.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-tsconfig-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function project(name: string, tsconfig: string): Promise<string> {
  const place = path.join(folder, name);
  await mkdir(place);
  await writeFile(path.join(place, "package.json"), '{ "type": "module" }');
  await writeFile(path.join(place, "tsconfig.json"), tsconfig);
  await writeFile(path.join(place, "names.ts"), 'export const orders = "orders";\n');
  const entry =
    'import { dataset, project } from "@millrace/sdk";\nimport { orders } from "~names";\nexport default project({ name: "moved", definitions: [dataset({ name: orders })] });\n';
  await writeFile(path.join(place, "millrace.ts"), entry);
  return place;
}

test("a project that points to an SDK of another machine is read with that of the command, and its other paths hold", async () => {
  const place = await project(
    "moved",
    `{ "compilerOptions": { "module": "nodenext", // as of then
      "paths": { "@millrace/sdk": ["../../home/anna/millrace/packages/sdk/dist/index.d.ts"], "~names": ["./names.ts"] }, } }`,
  );
  expect(tsconfigOf(place)).toBe(path.join(place, ".millrace/tsconfig.json"));
  const written: unknown = JSON.parse(await readFile(path.join(place, ".millrace/tsconfig.json"), "utf8"));
  expect(written).toEqual({
    extends: "../tsconfig.json",
    compilerOptions: { paths: { "@millrace/sdk": [sdkTypes], "~names": [path.join(place, "names.ts")] } },
  });
  expect((await definitionsOf(place)).datasets).toMatchObject([{ name: "orders" }]);
});

test("one whose SDK is there is read as it says", async () => {
  const place = await project(
    "here",
    JSON.stringify({ compilerOptions: { module: "nodenext", paths: { "@millrace/sdk": [sdkTypes], "~names": ["./names.ts"] } } }),
  );
  expect(tsconfigOf(place)).toBe(path.join(place, "tsconfig.json"));
});
