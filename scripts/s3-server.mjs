// Prints the path of versitygw, the S3 server of the tests: that on the PATH, or one built from the Go module proxy into .millrace/tools, once.
// With `--find` it only looks.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const version = "v1.8.0";
const tools = fileURLToPath(new URL("../.millrace/tools/", import.meta.url));
const built = path.join(tools, `versitygw-${version}`);

function found() {
  const folders = (process.env.PATH ?? "").split(path.delimiter).filter((folder) => path.isAbsolute(folder));
  return [built, ...folders.map((folder) => path.join(folder, "versitygw"))].find((file) => existsSync(file));
}

/** Answers why it can't be built, or nothing. */
function build() {
  if (spawnSync("go", ["version"]).status !== 0) return "there is neither versitygw nor Go on the PATH.";
  mkdirSync(tools, { recursive: true });
  const folder = mkdtempSync(path.join(tools, "building-"));
  try {
    process.stderr.write(`Building versitygw ${version}, the S3 server of the tests: minutes, once\n`);
    const { status, stderr } = spawnSync("go", ["install", `github.com/versity/versitygw/cmd/versitygw@${version}`], {
      env: { ...process.env, GOBIN: folder, CGO_ENABLED: "0" },
      encoding: "utf8",
      timeout: 900_000,
    });
    if (status !== 0) return `versitygw could not be built: ${stderr.trim().split("\n").at(-1)}`;
    renameSync(path.join(folder, "versitygw"), built);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Its path; undefined, and said why, where it can't be had. */
export function s3Server({ mayBuild }) {
  const why = found() !== undefined ? undefined : mayBuild ? build() : "versitygw is not built: node scripts/s3-server.mjs";
  if (why === undefined) return found();
  process.stderr.write(`The tests with an S3 server are skipped: ${why}\n`);
  return undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const program = s3Server({ mayBuild: !process.argv.includes("--find") });
  if (program === undefined) process.exitCode = 1;
  else process.stdout.write(`${program}\n`);
}
