/** The `millrace` command. */
import { exitCode, explain } from "./errors.js";
import { program } from "./program.js";

try {
  await program().parseAsync(process.argv);
} catch (error) {
  const said = explain(error);
  if (said !== "") process.stderr.write(`${said}\n`);
  process.exitCode = exitCode(error);
}
