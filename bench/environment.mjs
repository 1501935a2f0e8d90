/** Python environments of what Millrace is measured beside: made once each, below .millrace/bench. */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Answers the folder with the environment's programs, as `python`. */
export function environment(name, requirements) {
  const folder = path.join(root, ".millrace/bench", name);
  const bin = path.join(folder, "bin");
  const whole = path.join(folder, "whole");
  if (existsSync(whole)) return bin;
  process.stderr.write(`Installing ${name}\n`);
  rmSync(folder, { recursive: true, force: true });
  for (const [command, args] of [
    ["python3", ["-m", "venv", folder]],
    [path.join(bin, "python"), ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]],
  ]) {
    const { status } = spawnSync(command, args, { stdio: ["ignore", 2, 2] });
    if (status !== 0) throw new Error(`${name} could not be installed: ${command} ${args.join(" ")} failed.`);
  }
  writeFileSync(whole, "");
  return bin;
}
