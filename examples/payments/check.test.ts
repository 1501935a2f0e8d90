/** The project passes its own check, as CI runs it. */
import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const project = fileURLToPath(new URL(".", import.meta.url));
const checkout = path.join(project, "../..");

test("millrace check has nothing to say against it", { timeout: 600_000 }, async () => {
  // Made once for all tests and runs of this checkout, as the requirements are locked.
  const env = { ...process.env, MILLRACE_ENVIRONMENTS: path.join(checkout, ".millrace", "environments") };
  const said = await new Promise<{ code: number; stdout: string; stderr: string }>((resolve) =>
    execFile(path.join(checkout, "bin/millrace"), ["check", project, "--json"], { env, maxBuffer: 32 * 1024 ** 2 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    ),
  );
  expect(said.code, said.stderr).toBe(0);
  const { cases }: { cases: { name: string; state: string }[] } = JSON.parse(said.stdout);
  for (const name of ["types", "definitions", "npm test"]) expect(cases.find((one) => one.name === name)).toMatchObject({ state: "passed" });
  expect(cases.filter(({ name }) => name.startsWith("learns 10 rows")).map(({ state }) => state)).toContain("passed");
});
