/**
 * Runs what the pages say, in their order, each page against a server and a folder of its own. The language of a fenced block is followed by what is
 * done with it:
 *
 *     sh run              its lines are commands, and each ends well; `cd` holds for the blocks that follow
 *     sh run exit=1       the last one ends with this code
 *     sh run retry        again until it ends well: what it needs is still to come
 *     sh run until=TEXT   it goes on until it is ended; it is, when it has said TEXT
 *     python run          is run by a Python that has the `millrace` helper, pandas and pyarrow
 *     python run lock=…   by one that has the packages of this lock file of the checkout
 *     ts file=PATH        is written there, relative to where commands run
 *
 * In a command, <run>, <backfill>, <sweep>, <release> and <promotion> are the newest one, http://127.0.0.1:4600 is the server of the page, and 127.0.0.1:8001 is where it speaks gRPC. Both `millrace` and
 * `bin/millrace` are found, and `examples` beside the folder that a page makes, as in a checkout.
 */
import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { startServer } from "@millrace/server";
import { describe, expect, test } from "vitest";
import { clientPython } from "../packages/server/src/tracking/testing.js";

const root = fileURLToPath(new URL("..", import.meta.url));
/** Of the project that `millrace init` makes: whose environment the pages' pipelines need anyway. */
const lock = path.join(root, "packages/cli/template/requirements.lock");
const main = path.join(root, "packages/cli/src/main.ts");
const loader = import.meta.resolve("tsx");
const command = [process.execPath, "--conditions=millrace-source", "--import", loader, main];
const pages = ["README.md", ...(await readdir(path.join(root, "docs"))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)];

interface Block {
  line: number;
  language: string;
  words: string[];
  text: string;
}
async function blocksOf(page: string): Promise<Block[]> {
  const source = await readFile(path.join(root, page), "utf8");
  const blocks = [...source.matchAll(/^```(\w+) ([^\n]+)\n(.*?)^```$/gms)].map((found) => ({
    line: source.slice(0, found.index).split("\n").length,
    language: found[1] ?? "",
    words: (found[2] ?? "").trim().split(/\s+/),
    text: found[3] ?? "",
  }));
  return blocks.filter(({ words }) => words[0] === "run" || words[0]?.startsWith("file="));
}

const marked = (await Promise.all(pages.map(async (page) => ({ page, blocks: await blocksOf(page) })))).filter(({ blocks }) => blocks.length > 0);

describe.each(marked)("$page", ({ page, blocks }) => {
  test("does what it says", { timeout: 600_000 }, async () => {
    // Within the checkout, so that what a page runs with Node finds its packages.
    await mkdir(path.join(root, ".millrace"), { recursive: true });
    const folder = await mkdtemp(path.join(root, ".millrace", "docs-"));
    const dataDir = await mkdtemp(path.join(tmpdir(), "millrace-docs-"));
    process.env.MILLRACE_ENVIRONMENTS = path.join(root, ".millrace", "environments");
    const server = await startServer({ host: "127.0.0.1", port: 0, dataDir, clock: { kind: "system" }, logLevel: "error", grpcPort: 0, command });
    try {
      await play(page, blocks, folder, server);
    } finally {
      await server.stop();
      for (const one of [folder, dataDir]) await rm(one, { recursive: true, force: true });
    }
  });
});

async function play(page: string, blocks: readonly Block[], folder: string, { url, grpc = "" }: { url: string; grpc?: string }): Promise<void> {
  const bin = path.join(folder, "bin");
  await mkdir(bin);
  await writeFile(path.join(bin, "millrace"), `#!/bin/sh\nexec "${process.execPath}" --conditions=millrace-source --import "${loader}" "${main}" "$@"\n`);
  const newest = `fetch("${url}/api/v1/" + process.argv[1] + "?limit=1").then((answer) => answer.json()).then(({ items }) => console.log(items[0].digest ?? items[0].id))`;
  await writeFile(path.join(bin, "newest"), `#!/bin/sh\nexec "${process.execPath}" -e '${newest}' "$@"\n`);
  for (const name of ["millrace", "newest"]) await chmod(path.join(bin, name), 0o755);
  await symlink(path.join(root, "examples"), path.join(folder, "examples"));
  const env = {
    ...process.env,
    ...{ PATH: `${bin}:${process.env.PATH}`, MILLRACE_URL: url, PYTHONPATH: path.join(root, "python"), MILLRACE_CACHE: path.join(folder, ".cache") },
  };
  let cwd = folder;
  for (const { line, language, words, text: written } of blocks) {
    const text = written.replaceAll("http://127.0.0.1:4600", url).replaceAll("127.0.0.1:8001", grpc).replaceAll("127.0.0.1:4600", new URL(url).host);
    const place = `${page}:${line}`;
    const [first = "", ...rest] = words;
    if (first.startsWith("file=")) {
      const file = path.join(cwd, first.slice("file=".length));
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, text);
      continue;
    }
    const option = (name: string) => rest.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
    const packages = option("lock");
    const commands =
      language === "python"
        ? `"${await clientPython(packages === undefined ? lock : path.join(root, packages), path.join(folder, ".python"))}" - <<'END'\n${text}\nEND`
        : text.replaceAll(/<(run|backfill|sweep|release|promotion)>/g, "$(newest $1s)");
    for (let tries = 1; ; tries++) {
      const done = await shell(commands, { cwd, env, until: option("until") });
      const wanted = Number(option("exit") ?? 0);
      if (done.code !== wanted && rest.includes("retry") && tries < 20) continue;
      expect(done.code, `${place} ended with ${done.code}:\n${done.said}`).toBe(wanted);
      cwd = done.cwd;
      break;
    }
  }
  await typeChecks(path.join(cwd, "tsconfig.json"));
}

interface Done {
  code: number | null;
  said: string;
  cwd: string;
}
function shell(commands: string, { cwd, env, until }: { cwd: string; env: NodeJS.ProcessEnv; until: string | undefined }): Promise<Done> {
  const script = until === undefined ? `set -e\n${commands}\nprintf '\\nin %s' "$PWD"` : `exec ${commands}`;
  return new Promise((resolve, reject) => {
    const child = spawn("bash", ["-c", script], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    const heard = (chunk: Buffer) => {
      said += chunk.toString();
      if (until !== undefined && said.includes(until)) child.kill("SIGINT");
    };
    child.stdout.on("data", heard);
    child.stderr.on("data", heard);
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, said, cwd: /\nin (\/[^\n]*)$/.exec(said)?.[1] ?? cwd }));
  });
}

/** What the pages define compiles, where they made a project. */
async function typeChecks(config: string): Promise<void> {
  if (!(await readFile(config, "utf8").catch(() => ""))) return;
  const said = await shell(`"${path.join(root, "node_modules/.bin/tsc")}" -p "${config}"`, { cwd: root, env: process.env, until: undefined });
  expect(said.code, said.said).toBe(0);
}
