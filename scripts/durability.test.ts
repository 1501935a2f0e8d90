import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

// `npm run durability` is the long form, of 100 kills.
test("what was acknowledged is there, once, after the server and PostgreSQL were killed among eight writers", { timeout: 180_000 }, async () => {
  const script = fileURLToPath(new URL("durability.mjs", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script, "--kills", "4"]);
  const result = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { kills: number; acknowledged: number; lost: number; doubled: number };
  expect(result).toMatchObject({ kills: 4, lost: 0, doubled: 0 });
  expect(result.acknowledged).toBeGreaterThan(100);
});
