/** From a commit of a watched repository to a release: checked out, checked and compiled in processes that know nothing of the server. */
import { createReadStream } from "node:fs";
import { lstat, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { readManifest, type SigningKey, sha256, signRelease } from "@millrace/sdk/release";
import { stepEnvironment } from "../../compute/index.js";
import { ApiError, conflict, type Digest, invalid, type Platform, runProcess } from "../../platform/index.js";
import type { Releases } from "../releases.js";
import { checkout, type Ref, type Source } from "./git.js";

export interface Commit {
  source: Source;
  ref: Ref;
  /** Of the project, within the repository. */
  folder: string;
  check: boolean;
  /** Of another project nothing is released; undefined before there was one. */
  project: string | undefined;
}
export interface Built {
  project: string;
  release: string;
}
const megabyte = 1024 ** 2;
const limits = {
  checkMs: 3_600_000,
  compileMs: 600_000,
  installMs: 600_000,
  memoryBytes: 8 * 1024 * megabyte,
  folderBytes: 10 * 1024 * megabyte,
  logBytes: 4 * megabyte,
  file: 100 * megabyte,
  manifest: 4 * megabyte,
};

/** Throws an ApiError that says why where the commit gives no release. What is said on the way goes to `tell`. */
export async function buildCommit(
  { config, objects }: Pick<Platform, "config" | "objects">,
  on: { releases: Releases; key: () => Promise<SigningKey>; by: string },
  { source, ref, folder, check, project }: Commit,
  tell: (line: string) => void,
  signal: AbortSignal,
): Promise<Built> {
  const { command } = config;
  if (command === undefined) throw conflict("This server does not know how `millrace` is run, which builds releases: start it with `millrace up`.");
  const place = path.join(config.dataDir, "builds");
  await mkdir(place, { recursive: true });
  const work = await mkdtemp(path.join(place, "build-"));
  try {
    const [sources, home, out] = ["source", "home", "release"].map((name) => path.join(work, name));
    if (sources === undefined || home === undefined || out === undefined) throw new Error("a build has three folders");
    await mkdir(home);
    await checkout(source, ref, sources, home, signal);
    const root = await inside(sources, folder);
    await offerSdk(work);
    if (await isFile(path.join(root, "package-lock.json")))
      await run("npm ci", ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], root, limits.installMs);
    let checked: { passed: boolean; summary: string; report: Digest } | undefined;
    if (check) {
      const report = path.join(work, "check.xml");
      const code = await run("millrace check", [...command, "check", root, "--junit", report], root, limits.checkMs, true);
      if (code !== 0)
        throw conflict(
          `millrace check ended with ${code}: ${code === 3 ? "what came out is not what is asked of it" : "something is broken"}. The build's log says what.`,
        );
      checked = { passed: true, summary: "millrace check passed", report: await keep(report) };
    }
    await run("millrace release", [...command, "release", root, "--no-sign", "--output", out], root, limits.compileMs);
    return await take(out, await authorsOf(sources), checked);
  } finally {
    await rm(work, { recursive: true, force: true });
  }

  /** Answers its code where `anyEnd` says that it may be any. */
  async function run(what: string, [name = "", ...args]: string[], cwd: string, timeoutMs: number, anyEnd = false): Promise<number> {
    tell(`$ ${what}`);
    let last = "";
    const end = await runProcess({
      ...{ command: name, args, cwd, timeoutMs, signal },
      env: environment(work),
      memoryBytes: limits.memoryBytes,
      folder: { path: work, maxBytes: limits.folderBytes },
      maxLogBytes: limits.logBytes,
      onLine(_stream, line) {
        if (line !== "") last = line;
        tell(line);
      },
    });
    signal.throwIfAborted();
    if (end.ended === "timeout") throw conflict(`${what} took longer than ${timeoutMs / 60_000} minutes.`);
    if (end.ended !== null || end.killedForMemory) throw conflict(`${what} was ended: it took more ${end.ended === "folder" ? "disk" : "memory"} than it may.`);
    if (end.code !== 0 && !anyEnd) throw conflict(`${what} ended with ${end.code}: ${last.slice(0, 1_000)}`);
    return end.code ?? -1;
  }

  async function keep(file: string): Promise<Digest> {
    return (await objects.put(await readSome(file, limits.file))).digest;
  }

  /** What a process wrote is what a stranger sent: each file is what its name says, and the release is checked as any other. */
  async function take(written: string, authors: string[], checked: { passed: boolean; summary: string; report: Digest } | undefined): Promise<Built> {
    const bytes = await readSome(path.join(written, "manifest.json"), limits.manifest);
    const manifest = orInvalid(() => readManifest(bytes));
    if (manifest.commit !== ref.commit) throw conflict(`What was released is of the commit ${manifest.commit}, not of ${ref.commit}.`);
    if (project !== undefined && manifest.project !== project)
      throw conflict(`The repository is of the project "${project}", and this commit is of "${manifest.project}". Watch it under another name.`);
    for (const digest of new Set([manifest.document, manifest.sbom, ...manifest.files.map((file) => file.digest)])) {
      const file = path.join(written, "objects", digest.slice("sha256:".length));
      if (!(await isFile(file))) throw invalid(`The release lacks ${digest}.`);
      await objects.put(createReadStream(file), { expect: digest as Digest, maxBytes: limits.file });
    }
    const { digest } = await objects.put(bytes);
    const signature = signRelease({ digest: sha256(bytes), manifest }, await on.key());
    await on.releases.add({ digest, authors, signatures: [{ ...signature }] }, on.by);
    if (checked !== undefined) await on.releases.check(digest, checked, on.by);
    return { project: manifest.project, release: digest };
  }

  /** As git tells them: any text, which is compared and shown and nothing else. */
  async function authorsOf(sources: string): Promise<string[]> {
    const lines: string[] = [];
    await runProcess({
      ...{ command: "git", args: ["log", "-1", "--format=%ae%n%ce"], cwd: sources, timeoutMs: 20_000, signal, maxLogBytes: 10_000 },
      env: { ...environment(work), GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null" },
      onLine: (stream, line) => void (stream === "stdout" && line !== "" ? lines.push(line.slice(0, 300)) : undefined),
    });
    return [...new Set(lines)].slice(0, 10);
  }
}

/** That of steps, which knows no address and no secret of the server. Environments are kept from one build to the next. */
function environment(work: string): Record<string, string> {
  const { MILLRACE_ENVIRONMENTS: shared = path.join(path.dirname(work), "environments") } = process.env;
  return { ...stepEnvironment(), MILLRACE_ENVIRONMENTS: shared, TMPDIR: work, CI: "true", NO_COLOR: "1" };
}

/** The project's folder, which is in the repository also after following links. */
async function inside(sources: string, folder: string): Promise<string> {
  const root = await realpath(sources);
  const place = await realpath(path.join(root, folder)).catch(() => undefined);
  const within = place !== undefined && (place === root || place.startsWith(root + path.sep));
  if (!within || !(await lstat(place)).isDirectory()) throw conflict(`The repository has no folder "${folder}".`);
  return place;
}

/** A project in a repository of its own finds the SDK above it as it is built, where it has installed none. */
async function offerSdk(work: string): Promise<void> {
  const dist = path.dirname(createRequire(import.meta.url).resolve("@millrace/sdk"));
  const place = path.join(work, "node_modules", "@millrace", "sdk");
  await mkdir(place, { recursive: true });
  const parts = ["index", "spec", "api", "client", "duration", "release"].map((name) => {
    const file = `./dist/${name}`;
    return [name === "index" ? "." : `./${name}`, { types: `${file}.d.ts`, default: `${file}.js` }];
  });
  await writeFile(path.join(place, "package.json"), JSON.stringify({ name: "@millrace/sdk", type: "module", exports: Object.fromEntries(parts) }));
  await symlink(dist, path.join(place, "dist"));
}

async function isFile(file: string): Promise<boolean> {
  return (await lstat(file).catch(() => undefined))?.isFile() === true;
}
async function readSome(file: string, maxBytes: number): Promise<Buffer> {
  const found = await lstat(file).catch(() => undefined);
  if (found?.isFile() !== true) throw conflict(`${path.basename(file)} was not written.`);
  if (found.size > maxBytes) throw conflict(`${path.basename(file)} has ${found.size} bytes, more than the ${maxBytes} that it may have.`);
  return readFile(file);
}
function orInvalid<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) throw new ApiError(400, "INVALID", error.message);
    throw error;
  }
}
