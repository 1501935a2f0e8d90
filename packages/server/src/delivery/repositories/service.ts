/** Watched git repositories: what is new is found, checked, released, and asked to come where the project's environments say. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { Build, DeliveryKey, Repository, RepositoryStart } from "@millrace/sdk/api";
import { makeKey, readPrivateKey, type SigningKey } from "@millrace/sdk/release";
import { ApiError, invalid, newId, notFound, openKeeper, type Platform } from "../../platform/index.js";
import type { Secrets } from "../../secrets/index.js";
import type { Environments } from "../environments.js";
import { type Promotions, platformName } from "../promotions.js";
import type { Releases } from "../releases.js";
import { buildCommit } from "./build.js";
import { branchName, checkRef, checkUrl, remoteRefs, type Source, tagPattern } from "./git.js";
import {
  askFor,
  type BuildRow,
  beginBuild,
  beginLook,
  claimProject,
  deleteRepository,
  deliveryKey,
  dueRepositories,
  endBuild,
  findBuild,
  findRepository,
  hasBuilds,
  insertBuild,
  listBuilds,
  listRepositories,
  openBuilds,
  type RepositoryRow,
  setProblem,
  toBuild,
  toRepository,
  writeRepository,
} from "./store.js";

export interface Repositories {
  /** Watches it from now on, or changes how. Tags that are there already are known; the branch's commit is built. */
  set(name: string, start: RepositoryStart, by: string): Promise<Repository>;
  list(): Promise<Repository[]>;
  get(name: string): Promise<Repository>;
  delete(name: string): Promise<void>;
  /** Looks soon. */
  look(name: string): Promise<void>;
  /** A webhook's message; throws a 401 where it is not signed by the repository's secret. */
  hear(name: string, headers: Readonly<Record<string, unknown>>, body: Buffer): Promise<void>;
  builds(name: string, page: { limit?: number; after?: string }): Promise<{ items: Build[]; next?: string }>;
  key(): Promise<DeliveryKey>;
  launch(): void;
  stop(): Promise<void>;
}
const keyName = "the key of releases";
const logBytes = 8 * 1024 ** 2;

export function createRepositories(
  platform: Pick<Platform, "db" | "locks" | "events" | "clock" | "log" | "config" | "objects">,
  on: { secrets: Secrets; releases: Releases; environments: Environments; promotions: Promotions },
): Repositories {
  const { db, events, clock, config, objects } = platform;
  const stopping = new AbortController();
  // Each holds a connection for as long as it takes, and a build takes what the machine has.
  const looks = openKeeper(platform, "repository", () => dueRepositories(db), look, 2);
  const builds = openKeeper(platform, "build", () => openBuilds(db), build, 1);

  async function key(): Promise<SigningKey> {
    const sealed = await deliveryKey(db, async () => on.secrets.seal(keyName, makeKey("ed25519").privatePem));
    return readPrivateKey(await on.secrets.open(keyName, sealed));
  }
  async function require(name: string): Promise<RepositoryRow> {
    const row = await findRepository(db, name);
    if (row === undefined) throw notFound("repository", name);
    return row;
  }
  async function sourceOf({ url, token }: RepositoryRow): Promise<Source> {
    const value = token === null ? undefined : (await on.secrets.read([token]))[token];
    if (token !== null && value === undefined) throw new ApiError(409, "CONFLICT", `The secret ${token} is not set: millrace secret set ${token}`);
    return { url, token: value };
  }

  // ---------------------------------------------------------------------------------------------------- what is new

  async function look(name: string): Promise<void> {
    const row = await findRepository(db, name);
    if (row === undefined) return;
    await beginLook(db, name);
    try {
      const home = path.join(config.dataDir, "builds", "home");
      await mkdir(home, { recursive: true });
      const refs = await remoteRefs(await sourceOf(row), row, home, stopping.signal);
      const branch = `refs/heads/${row.branch}`;
      const first = !(await hasBuilds(db, name));
      await db.transaction().execute(async (transaction) => {
        // The branch first: what is tagged has come to it, as a rule.
        for (const { name: ref, commit } of [...refs].sort((a, b) => Number(b.name === branch) - Number(a.name === branch))) {
          const state = first && ref !== branch ? "known" : "waiting";
          const made = await insertBuild(transaction, { id: newId(), repository: name, ref, commit, state, found_at: clock.now() });
          if (made && state === "waiting") await events.append(transaction, "repository.changed", name, { repository: name, ref, commit });
        }
      });
      await setProblem(db, name, refs.some((ref) => ref.name === branch) ? null : `There is no branch "${row.branch}".`);
    } catch (error) {
      if (stopping.signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      await setProblem(db, name, error.message);
    }
    builds.wake();
  }

  // ----------------------------------------------------------------------------------------------------- what it gives

  async function build(id: string): Promise<void> {
    const row = await findBuild(db, id);
    if (row === undefined || stopping.signal.aborted || !(await beginBuild(db, id))) return;
    const repository = await require(row.repository);
    const lines: string[] = [];
    let size = 0;
    const tell = (line: string) => {
      size += line.length + 1;
      if (size <= logBytes) lines.push(line);
    };
    const log = async () => (await objects.put(Buffer.from(`${lines.join("\n")}\n`))).digest;
    try {
      const commit = {
        ...{ source: await sourceOf(repository), ref: { name: row.ref, commit: row.commit }, folder: repository.folder, check: repository.checked },
        project: repository.project ?? undefined,
      };
      const made = await buildCommit(platform, { releases: on.releases, key, by: platformName }, commit, tell, stopping.signal);
      if (!(await claimProject(db, repository.name, made.project)))
        throw new ApiError(409, "CONFLICT", `The repository is of another project than "${made.project}" by now.`);
      await askForPromotions(row, made.project, made.release);
      await end(row, { state: "released", message: null, release: made.release, log: await log() });
    } catch (error) {
      // Whoever comes next builds it again.
      if (stopping.signal.aborted) return;
      // It was its turn: what failed by the machine would fail again, and all others wait.
      const known = error instanceof ApiError ? error : undefined;
      if (known === undefined) platform.log.error({ error, repository: repository.name, commit: row.commit }, "a commit could not be built");
      const message = known?.message ?? "It could not be built here. The server's log says why.";
      await end(row, { state: known?.code === "MOVED" ? "superseded" : "failed", message, release: null, log: await log() });
    }
  }
  async function askForPromotions({ id, ref, commit }: BuildRow, project: string, release: string): Promise<void> {
    const wanted = ref.startsWith("refs/tags/") ? "tag" : "push";
    for (const spec of await on.environments.of(project)) {
      if (spec.on !== wanted) continue;
      const reason = `${ref.replace(/^refs\/(heads|tags)\//, "")} stands at ${commit.slice(0, 12)}`;
      await on.promotions.follow({ project, environment: spec.name, kind: "release", name: project, release, version: null, content: release }, id, reason);
    }
  }
  async function end(row: BuildRow, ended: Pick<BuildRow, "state" | "message" | "release" | "log">): Promise<void> {
    await db.transaction().execute(async (transaction) => {
      if (!(await endBuild(transaction, row.id, ended, clock.now()))) return;
      const { repository, ref, commit } = row;
      await events.append(transaction, `repository.${ended.state}`, repository, { repository, ref, commit, release: ended.release, message: ended.message });
    });
  }

  return {
    async set(name, start, by) {
      const { url, folder = "", branch = "main", tags = "v*", pollSeconds = 60, webhookSecret = null, token = null, check = true } = start;
      checkUrl(url);
      checkRef("branch", branch, branchName);
      checkRef("pattern of tags", tags, tagPattern);
      if (folder !== "" && (folder.includes("\\") || folder.includes("\0") || folder.split("/").some((part) => part === "" || part === "." || part === "..")))
        throw invalid(`"${folder}" is no folder of a repository: write it relative, with "/", without "." and "..".`);
      if (token !== null && !url.startsWith("https:")) throw invalid("A token is for an address with https.");
      await writeRepository(db, {
        ...{ name, url, folder, branch, tags, poll_seconds: pollSeconds, webhook_secret: webhookSecret, token, checked: check, created_by: by },
      });
      looks.wake();
      return toRepository(await require(name));
    },
    list: async () => (await listRepositories(db)).map(toRepository),
    get: async (name) => toRepository(await require(name)),
    async delete(name) {
      if (!(await deleteRepository(db, name))) throw notFound("repository", name);
    },
    async look(name) {
      if (!(await askFor(db, name))) throw notFound("repository", name);
      looks.wake();
    },
    async hear(name, headers, body) {
      const row = await findRepository(db, name);
      const secret = row === undefined || row.webhook_secret === null ? undefined : (await on.secrets.read([row.webhook_secret]))[row.webhook_secret];
      if (secret === undefined || !isSigned(secret, headers, body))
        throw new ApiError(401, "UNAUTHENTICATED", "The message is not signed with the secret of a watched repository.");
      // What it says is not looked at: what is there is.
      await askFor(db, name);
      looks.wake();
    },
    async builds(name, { limit: most = 100, after }) {
      await require(name);
      const rows = await listBuilds(db, name, { limit: most, after });
      const last = rows.at(-1);
      return { items: rows.map(toBuild), ...(last !== undefined && rows.length === most ? { next: last.id } : {}) };
    },
    async key() {
      const { id, pem } = await key();
      return { id, pem };
    },
    launch() {
      looks.start();
      builds.start();
    },
    async stop() {
      stopping.abort(new Error("The server stops."));
      await looks.stop();
      await builds.stop();
    },
  };
}

/** As GitHub, Gitea and Forgejo sign (an HMAC of the body), or as GitLab does (the secret itself). */
function isSigned(secret: string, headers: Readonly<Record<string, unknown>>, body: Buffer): boolean {
  const text = (name: string): string | undefined => (typeof headers[name] === "string" ? headers[name] : undefined);
  const mac = createHmac("sha256", secret).update(body).digest("hex");
  const told = text("x-hub-signature-256") ?? text("x-gitea-signature");
  if (told !== undefined) return isEqual(told.replace(/^sha256=/, ""), mac);
  const token = text("x-gitlab-token");
  return token !== undefined && isEqual(token, secret);
}
function isEqual(told: string, expected: string): boolean {
  const [a, b] = [Buffer.from(told), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
