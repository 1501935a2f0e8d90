import { createHash } from "node:crypto";
import type { Plan, ProjectVersion } from "@millrace/sdk/api";
import { canonical } from "@millrace/sdk/release";
import type { ProjectSpec } from "@millrace/sdk/spec";
import { ApiError, conflict, type Digest, invalid, notFound, type Platform } from "../platform/index.js";
import { changes, definitionsOf } from "./plan.js";
import {
  allDefinitions,
  type DefinitionRow,
  deleteDefinition,
  findVersion,
  insertVersion,
  lockApplies,
  newestVersions,
  stamp,
  type VersionRow,
  writeDefinition,
} from "./store.js";
import type { Definition, DefinitionKind, ProjectSource, Projects } from "./types.js";

/** For how long `get` answers from memory without asking whether another process applied something. */
const trustMs = 100;
/** The same of `glance`, which asks beside when it is older than this. */
const glanceMs = 1_000;
const renewMs = 300;
const versionsKept = 20;

export function createProjects(platform: Platform): Projects {
  const { db } = platform;
  const versions = new Map<string, ProjectSource & ProjectVersion>();
  let known: { stamp: string; definitions: Map<string, DefinitionRow> } | undefined;
  let checkedAt = Number.NEGATIVE_INFINITY;
  let loading: Promise<Map<string, DefinitionRow>> | undefined;
  const reviewers: Parameters<Projects["review"]>[0][] = [];
  async function reviewed(spec: ProjectSpec, act: "plan" | "apply"): Promise<{ notes?: string[] }> {
    const notes = (await Promise.all(reviewers.map((review) => review(spec, act)))).flat();
    return notes.length === 0 ? {} : { notes };
  }

  /** The definitions as of now. The stamp is read first: what is committed in between is read again next time. */
  async function load(): Promise<Map<string, DefinitionRow>> {
    const began = performance.now();
    const newest = await stamp(db);
    if (known?.stamp !== newest) {
      const rows = await allDefinitions(db);
      known = { stamp: newest, definitions: new Map(rows.map((row) => [`${row.kind}/${row.name}`, row])) };
    }
    checkedAt = began;
    return known.definitions;
  }
  async function recent(): Promise<Map<string, DefinitionRow>> {
    if (known !== undefined && performance.now() - checkedAt < trustMs) return known.definitions;
    loading ??= load().finally(() => {
      loading = undefined;
    });
    return loading;
  }

  async function get<K extends DefinitionKind>(kind: K, name: string): Promise<Definition<K> | undefined> {
    const key = `${kind}/${name}`;
    const row = (await recent()).get(key) ?? (await load()).get(key);
    return row === undefined ? undefined : toDefinition(kind, row);
  }

  async function missingFiles(spec: ProjectSpec): Promise<Digest[]> {
    const digests = [...new Set(spec.files.map((file) => file.digest as Digest))];
    const missing: Digest[] = [];
    for (const digest of digests) if ((await platform.objects.renew(digest)) === undefined) missing.push(digest);
    return missing;
  }

  function planned(rows: Iterable<DefinitionRow>, spec: ProjectSpec): Plan["changes"] {
    const own: DefinitionRow[] = [];
    const owners = new Map<string, string>();
    for (const row of rows) {
      owners.set(`${row.kind}/${row.name}`, row.project);
      if (row.project === spec.name) own.push(row);
    }
    const wanted = definitionsOf(spec);
    const taken = wanted.flatMap((one) => {
      const owner = owners.get(`${one.kind}/${one.name}`);
      return owner === undefined || owner === spec.name ? [] : [`the ${one.kind.replace("_", " ")} "${one.name}" belongs to the project "${owner}"`];
    });
    if (taken.length > 0) throw conflict(`Names are unique on a server: ${taken.join("; ")}. Choose other names.`);
    return changes(own, wanted);
  }

  return {
    get,
    glance(kind, name) {
      const age = performance.now() - checkedAt;
      if (known === undefined || age > glanceMs) return get(kind, name);
      if (age > renewMs) void recent().catch((error) => platform.log.warn({ error }, "definitions are not known as they are now"));
      const row = known.definitions.get(`${kind}/${name}`);
      return row === undefined ? undefined : toDefinition(kind, row);
    },
    async require(kind, name) {
      const found = await get(kind, name);
      if (found === undefined) throw notFound(kind.replace("_", " "), name);
      return found;
    },
    async list(kind) {
      const found: Definition<typeof kind>[] = [];
      for (const row of (await load()).values()) if (row.kind === kind) found.push(toDefinition(kind, row));
      return found;
    },
    async current(project) {
      const row = await findVersion(db, project, "newest");
      if (row === undefined) throw notFound("project", project);
      return toSource(row);
    },
    async version(project, version) {
      // It never changes, and steps ask for it again and again.
      const name = `${project}/${version}`;
      const known = versions.get(name);
      if (known !== undefined) return known;
      const row = await findVersion(db, project, version);
      if (row === undefined) throw notFound("project version", name);
      const found = { ...toSource(row), ...toVersion(row) };
      versions.set(name, found);
      for (const oldest of versions.keys()) {
        if (versions.size <= versionsKept) break;
        versions.delete(oldest);
      }
      return found;
    },
    async diff(project, version) {
      const row = await findVersion(db, project, version);
      if (row === undefined) throw notFound("project version", `${project}/${version}`);
      return row.spec.source?.diff ?? "";
    },
    async projects() {
      return (await newestVersions(db)).map(toVersion);
    },
    review: (reviewer) => void reviewers.push(reviewer),
    async plan(spec) {
      checkDocument(spec);
      const notes = await reviewed(spec, "plan");
      return { project: spec.name, changes: planned((await load()).values(), spec), missing: await missingFiles(spec), ...notes };
    },
    async apply(sent, by) {
      checkDocument(sent);
      const spec: ProjectSpec = { ...sent, files: [...sent.files].sort((a, b) => (a.path < b.path ? -1 : 1)) };
      const missing = await missingFiles(spec);
      if (missing.length > 0) {
        throw new ApiError(409, "FILES_MISSING", `${missing.length} of the project's files are not on the server. Upload them, then apply again.`, { missing });
      }
      const notes = await reviewed(spec, "apply");
      const digest = `sha256:${createHash("sha256").update(canonical(spec)).digest("hex")}`;
      const result = await db.transaction().execute(async (transaction) => {
        await lockApplies(transaction);
        const plan = { project: spec.name, changes: planned(await allDefinitions(transaction), spec), missing: [], ...notes };
        const before = await findVersion(transaction, spec.name, "newest");
        if (before?.digest === digest) return { ...plan, ...toVersion(before) };
        const row: VersionRow = {
          project: spec.name,
          version: (before?.version ?? 0) + 1,
          digest,
          spec,
          commit: spec.source?.commit ?? null,
          dirty: spec.source?.dirty ?? false,
          applied_at: platform.clock.now(),
          applied_by: by,
        };
        await insertVersion(transaction, row);
        const actions = new Map(plan.changes.map((change) => [`${change.kind}/${change.name}`, change.action]));
        for (const one of definitionsOf(spec)) {
          await writeDefinition(transaction, spec.name, row.version, one, actions.get(`${one.kind}/${one.name}`) !== "unchanged");
        }
        for (const change of plan.changes) {
          if (change.action === "delete") await deleteDefinition(transaction, change.kind as DefinitionKind, change.name);
        }
        await platform.events.append(transaction, "project.applied", spec.name, { version: row.version });
        return { ...plan, ...toVersion(row) };
      });
      checkedAt = Number.NEGATIVE_INFINITY;
      return result;
    },
  };
}

/** What the form of the document does not say: paths stay inside the project, names of a kind stand once. */
function checkDocument(spec: ProjectSpec): void {
  const paths = new Set<string>();
  for (const { path } of spec.files) {
    const parts = path.split("/");
    if (path.includes("\\") || path.includes("\0") || parts.some((part) => part === "" || part === "." || part === "..")) {
      throw invalid(`"${path}" is no path inside the project: write it relative to the project's folder, with "/", without "." and "..".`);
    }
    if (paths.has(path)) throw invalid(`The file "${path}" is listed twice.`);
    paths.add(path);
  }
  const names = new Set<string>();
  for (const { kind, name } of definitionsOf(spec)) {
    const key = `${kind}/${name}`;
    if (names.has(key)) throw invalid(`The ${kind.replace("_", " ")} "${name}" is defined twice.`);
    names.add(key);
  }
}

function toDefinition<K extends DefinitionKind>(kind: K, row: DefinitionRow): Definition<K> {
  // The document was checked against the form of its kind when it was applied.
  return { kind, name: row.name, spec: row.spec as Definition<K>["spec"], project: row.project, projectVersion: row.project_version };
}

function toSource(row: VersionRow): ProjectSource {
  return { version: row.version, files: row.spec.files, folder: row.spec.folder, commit: row.commit, dirty: row.dirty };
}

function toVersion(row: Omit<VersionRow, "spec">): ProjectVersion {
  return {
    project: row.project,
    version: row.version,
    digest: row.digest,
    commit: row.commit,
    dirty: row.dirty,
    appliedAt: row.applied_at.toISOString(),
    appliedBy: row.applied_by,
  };
}
