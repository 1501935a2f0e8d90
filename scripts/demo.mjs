// Sets up what the demo needs, then plays examples/flights: a year of real flights through the whole loop.
import { spawn } from "node:child_process";
import path from "node:path";
import { root, setup } from "./setup.mjs";

try {
  setup();
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
const replay = path.join(root, "examples/flights/replay/main.ts");
const child = spawn(process.execPath, ["--conditions=millrace-source", "--import", "tsx", replay, ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.once("exit", (code, signal) => process.exit(code ?? (signal === null ? 1 : 130)));
