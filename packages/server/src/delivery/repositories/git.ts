/** Git as a process, for repositories that others write: nothing of theirs is taken for an option or run, and time and size have an end. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { ApiError, invalid, runProcess } from "../../platform/index.js";

const gigabyte = 1024 ** 3;
const limits = { fetchMs: 600_000, lookMs: 60_000, bytes: 2 * gigabyte, refsBytes: 8 * 1024 ** 2, refs: 20_000 };

export interface Source {
  url: string;
  /** For https; goes to git by its environment, where no list of processes shows it. */
  token: string | undefined;
}
export interface Ref {
  name: string;
  commit: string;
}

/** Throws a 400 that says what is taken. Addresses with other transports run whatever they name. */
export function checkUrl(url: string): void {
  if (/[\0\n\r]/.test(url) || url.startsWith("-")) throw invalid("That is no address of a repository.");
  if (url.startsWith("/")) return;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !["https:", "ssh:"].includes(parsed.protocol))
    throw invalid(`"${url.slice(0, 200)}" is no address that is taken: give https://…, ssh://…, or an absolute path on the server's machine.`);
  if (parsed.password !== "" || (parsed.protocol === "https:" && parsed.username !== ""))
    throw invalid("A token does not belong into the address: set it as a secret, and name that with `token`.");
  if (parsed.hostname.startsWith("-") || parsed.username.startsWith("-")) throw invalid("That is no address of a repository.");
}
/** Throws a 400 where it is none: `git check-ref-format`, and no pattern but `*`. */
export function checkRef(what: string, name: string, pattern: RegExp): void {
  if (
    !pattern.test(name) ||
    name.includes("..") ||
    name.includes("//") ||
    name.includes("@{") ||
    name.endsWith(".lock") ||
    name.endsWith("/") ||
    name.endsWith(".")
  )
    throw invalid(`"${name.slice(0, 250)}" is no ${what}.`);
}
export const branchName = /^[A-Za-z0-9_][A-Za-z0-9_./-]*$/;
export const tagPattern = /^[A-Za-z0-9_*][A-Za-z0-9_.*/-]*$/;

/** What the branch and the tags stand at. Tags that are objects of their own are told by the commit that they name. */
export async function remoteRefs(source: Source, { branch, tags }: { branch: string; tags: string }, home: string, signal: AbortSignal): Promise<Ref[]> {
  const lines = await git(["ls-remote", "--", source.url, `refs/heads/${branch}`, `refs/tags/${tags}`, `refs/tags/${tags}^{}`], {
    source,
    home,
    cwd: home,
    timeoutMs: limits.lookMs,
    signal,
  });
  const found = new Map<string, string>();
  for (const line of lines) {
    const [, commit, name, peeled] = /^([0-9a-f]{40}|[0-9a-f]{64})\t(refs\/(?:heads|tags)\/[^\s^]{1,250})(\^\{\})?$/.exec(line) ?? [];
    if (commit === undefined || name === undefined) continue;
    // A pattern matches the ends of names too: only what was meant.
    if (name.startsWith("refs/heads/") ? name !== `refs/heads/${branch}` : !matches(tags, name.slice("refs/tags/".length))) continue;
    if (peeled !== undefined || !found.has(name)) found.set(name, commit);
    if (found.size > limits.refs) throw invalid(`The repository has more than ${limits.refs} tags that match.`);
  }
  return [...found].map(([name, commit]) => ({ name, commit }));
}
function matches(pattern: string, name: string): boolean {
  return new RegExp(`^${pattern.replaceAll(/[.+^${}()|[\]\\?]/g, "\\$&").replaceAll("*", ".*")}$`).test(name);
}

/** The files of a commit, in a repository of its own with nothing but that commit. Throws a 409 where the ref has moved on. */
export async function checkout(source: Source, ref: Ref, folder: string, home: string, signal: AbortSignal): Promise<void> {
  await mkdir(folder, { recursive: true });
  const run = (args: string[]) => git(args, { source, home, cwd: folder, timeoutMs: limits.fetchMs, signal });
  await run(["init", "--quiet", "--template="]);
  // What later looks at the folder goes by the same rules.
  for (const [name, value] of settings) await run(["config", name, value]);
  await run(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", source.url, ref.name]);
  const [commit] = await run(["rev-parse", "FETCH_HEAD^{commit}"]);
  if (commit !== ref.commit) throw new ApiError(409, "MOVED", `${ref.name} stands at ${commit?.slice(0, 12)} by now.`);
  await run(["checkout", "--quiet", "--detach", "--force", ref.commit]);
}

const settings: readonly (readonly [string, string])[] = [
  ["core.hooksPath", "/dev/null"],
  // A link could lead out of the folder: it comes as a file with a path in it.
  ["core.symlinks", "false"],
  ["core.fsmonitor", "false"],
  ["core.protectHFS", "true"],
  ["core.protectNTFS", "true"],
  ["transfer.fsckObjects", "true"],
  ["submodule.recurse", "false"],
  ["fetch.recurseSubmodules", "false"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
];

interface Run {
  source: Source;
  home: string;
  cwd: string;
  timeoutMs: number;
  signal: AbortSignal;
}
/** The lines that it prints. Throws a 409 with what it says where it fails. */
async function git(args: string[], { source, home, cwd, timeoutMs, signal }: Run): Promise<string[]> {
  const out: string[] = [];
  const said: string[] = [];
  const end = await runProcess({
    command: "git",
    args,
    cwd,
    env: environment(source, home),
    timeoutMs,
    signal,
    maxLogBytes: limits.refsBytes,
    folder: { path: cwd, maxBytes: limits.bytes },
    onLine: (stream, line) => void (stream === "stdout" ? out : said).push(line),
  });
  if (end.code === 0 && end.ended === null) return out;
  signal.throwIfAborted();
  const why =
    end.ended === "timeout"
      ? `git took longer than ${timeoutMs / 1_000} s`
      : end.ended === "folder"
        ? `the repository has more than ${limits.bytes / gigabyte} GiB`
        : said
            .filter((line) => line !== "")
            .slice(-5)
            .join(" ");
  throw new ApiError(409, "GIT", `git ${args[0]}: ${(why || `it ended with ${end.code}`).slice(0, 1_000)}`);
}

function environment({ url, token }: Source, home: string): Record<string, string> {
  const transport = url.startsWith("/") ? "file" : url.startsWith("ssh:") ? "ssh" : "https";
  const config = [
    ...settings,
    ["protocol.allow", "never"],
    [`protocol.${transport}.allow`, "always"],
    ["credential.helper", ""],
    // A redirect would be given the token.
    ["http.followRedirects", "false"],
    ...(token === undefined ? [] : [["http.extraHeader", `Authorization: Basic ${Buffer.from(`x-access-token:${token}`).toString("base64")}`]]),
  ];
  return {
    ...Object.fromEntries(
      ["PATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"].flatMap((name) =>
        process.env[name] === undefined ? [] : [[name, process.env[name] ?? ""]],
      ),
    ),
    // Keys and known hosts of ssh are those of the server's user.
    HOME: transport === "ssh" ? (process.env.HOME ?? home) : home,
    GIT_SSH_COMMAND: "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: path.join("/", "bin", "false"),
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_ALLOW_PROTOCOL: transport,
    GIT_LFS_SKIP_SMUDGE: "1",
    GIT_CONFIG_COUNT: String(config.length),
    ...Object.fromEntries(
      config.flatMap(([name = "", value = ""], at) => [
        [`GIT_CONFIG_KEY_${at}`, name],
        [`GIT_CONFIG_VALUE_${at}`, value],
      ]),
    ),
  };
}
