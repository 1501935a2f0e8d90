import { checkProject, formProblem } from "@millrace/sdk";
import type { Release, ReleaseCheckStart, ReleaseDetail, ReleaseManifest, ReleaseStart, Signature } from "@millrace/sdk/api";
import { canonical, readManifest, releasedDocument, sha256 } from "@millrace/sdk/release";
import { ProjectSpec } from "@millrace/sdk/spec";
import { Value } from "@sinclair/typebox/value";
import { ApiError, conflict, type Digest, invalid, notFound, type Platform } from "../platform/index.js";
import type { Registry } from "../registry/index.js";
import {
  addAuthors,
  checksOf,
  findRelease,
  findReleases,
  insertCheck,
  insertRelease,
  insertSignature,
  listReleases,
  type ReleaseRow,
  releasedProjects,
  signaturesOf,
  toRelease,
} from "./release-store.js";

const megabyte = 1024 ** 2;
const largest = { manifest: 4 * megabyte, document: 16 * megabyte, sbom: 16 * megabyte, signature: megabyte };
const mostSignatures = 100;

export interface Releases {
  /** Makes a release known whose parts are in the object store. Known already, it stays as it is. Throws a 409 that names what is missing. */
  add(start: ReleaseStart, by: string): Promise<Release>;
  list(query: { project?: string; limit?: number; after?: string }): Promise<{ items: Release[]; next?: string }>;
  /** Those that have one. */
  projects(): Promise<string[]>;
  /** By its digest, or by a beginning that no other has. Throws a 404 where there is none. */
  release(digest: string): Promise<ReleaseDetail>;
  sign(digest: string, signature: Record<string, unknown>, by: string): Promise<Release>;
  check(digest: string, check: ReleaseCheckStart, by: string): Promise<ReleaseDetail>;
  /** The project's document, whole. */
  document(release: ReleaseDetail): Promise<ProjectSpec>;
  modelSignatures(model: string, version: number): Promise<Signature[]>;
  signModel(model: string, version: number, signature: Record<string, unknown>, by: string): Promise<Signature[]>;
}

export function createReleases({ db, objects, clock, events }: Pick<Platform, "db" | "objects" | "clock" | "events">, on: { registry: Registry }): Releases {
  async function bytesOf(what: keyof typeof largest, digest: string): Promise<Buffer> {
    const found = await objects.stat(digest as Digest);
    if (found === undefined) throw missingParts([digest]);
    if (found.size > largest[what]) throw invalid(`The ${what} has ${found.size} bytes; it may have ${largest[what]}.`);
    const parts: Buffer[] = [];
    for await (const part of await objects.read(digest as Digest)) parts.push(part);
    return Buffer.concat(parts);
  }
  const missingParts = (missing: string[]) =>
    new ApiError(409, "FILES_MISSING", `${missing.length} parts of the release are not on the server. Upload them, then make it known again.`, { missing });

  async function documentOf(manifest: ReleaseManifest): Promise<ProjectSpec> {
    const bytes = await bytesOf("document", manifest.document);
    const document = jsonOf("document", bytes);
    if (!Value.Check(ProjectSpec, document)) throw invalid(`The document is not well formed: ${formProblem(document) ?? "it is of another form"}.`);
    return document;
  }

  /** A release is whole, and what its document says is what its manifest says. */
  async function checkParts(manifest: ReleaseManifest): Promise<void> {
    const digests = [...new Set([manifest.document, manifest.sbom, ...manifest.files.map((file) => file.digest)])];
    const missing: string[] = [];
    for (const digest of digests) if ((await objects.renew(digest as Digest)) === undefined) missing.push(digest);
    if (missing.length > 0) throw missingParts(missing);
    const document = await documentOf(manifest);
    if (document.name !== manifest.project) throw invalid(`The document is of the project "${document.name}", the manifest says "${manifest.project}".`);
    if (canonical(document.files) !== canonical(manifest.files)) throw invalid("The manifest lists other files than the document.");
    if (canonical(releasedDocument(document, manifest.commit)) !== canonical(document))
      throw invalid("The document of a release has an empty folder, and the manifest's commit without changes.");
    const problems = checkProject(document);
    if (problems.length > 0) {
      const told = problems.slice(0, 20).map(({ at, message }) => (at === undefined ? message : `${at}: ${message}`));
      throw invalid(`The project can't be released. ${told.join("; ")}`, { problems });
    }
    const sbom = jsonOf("SBOM", await bytesOf("sbom", manifest.sbom));
    if (typeof sbom !== "object" || sbom === null || !("bomFormat" in sbom) || sbom.bomFormat !== "CycloneDX")
      throw invalid("The SBOM is no CycloneDX in JSON.");
  }

  async function require(digest: string): Promise<ReleaseRow> {
    const [found, another] = /^sha256:[0-9a-f]{64}$/.test(digest) ? [await findRelease(db, digest)] : await findReleases(db, digest);
    if (another !== undefined) throw invalid(`Several releases begin with ${digest}: give more digits.`);
    if (found === undefined) throw notFound("release", digest);
    return found;
  }
  const detailed = async (row: ReleaseRow): Promise<ReleaseDetail> => ({
    ...toRelease(row),
    manifest: row.manifest,
    signatures: await signaturesOf(db, row.digest),
    checks: await checksOf(db, row.digest),
  });

  async function addSignature(
    transaction: Parameters<typeof insertSignature>[0],
    subject: string,
    signature: Record<string, unknown>,
    by: string,
  ): Promise<void> {
    const text = canonical(signature);
    if (text.length > largest.signature) throw invalid(`A signature may have ${largest.signature} bytes.`);
    if ((await signaturesOf(transaction, subject)).length >= mostSignatures) throw conflict(`There are ${mostSignatures} signatures of ${subject} already.`);
    await insertSignature(transaction, subject, sha256(text), { key: keyOf(signature), signature, added_by: by, added_at: clock.now() });
  }

  return {
    async add({ digest, authors = [], signatures = [] }, by) {
      const bytes = await bytesOf("manifest", digest);
      const manifest = orInvalid(() => readManifest(bytes));
      await checkParts(manifest);
      await objects.renew(digest as Digest);
      const all = [...new Set([by, ...authors])];
      await db.transaction().execute(async (transaction) => {
        const row = { digest, project: manifest.project, manifest, authors: all, created_by: by, created_at: clock.now() };
        const made = await insertRelease(transaction, row);
        if (made) await events.append(transaction, "release.created", manifest.project, { release: digest, commit: manifest.commit, by });
        else await addAuthors(transaction, digest, all);
        for (const signature of signatures) await addSignature(transaction, digest, signature, by);
      });
      return toRelease(await require(digest));
    },
    async list({ project, limit = 100, after }) {
      const rows = await listReleases(db, { project, limit, after });
      const last = rows.at(-1);
      return { items: rows.map(toRelease), ...(last !== undefined && rows.length === limit ? { next: last.digest } : {}) };
    },
    projects: () => releasedProjects(db),
    release: async (digest) => detailed(await require(digest)),
    async sign(digest, signature, by) {
      const row = await require(digest);
      await db.transaction().execute((transaction) => addSignature(transaction, row.digest, signature, by));
      return toRelease(await require(row.digest));
    },
    async check(digest, { passed, summary, report }, by) {
      const row = await require(digest);
      if (report !== undefined && (await objects.renew(report as Digest)) === undefined) throw missingParts([report]);
      await db.transaction().execute(async (transaction) => {
        await insertCheck(transaction, row.digest, { passed, summary, report: report ?? null, added_by: by, added_at: clock.now() });
        await events.append(transaction, "release.checked", row.project, { release: row.digest, passed, summary, by });
      });
      return detailed(row);
    },
    document: (release) => documentOf(release.manifest),
    async modelSignatures(model, version) {
      await on.registry.registered(model, version);
      return signaturesOf(db, `${model}/${version}`);
    },
    async signModel(model, version, signature, by) {
      await on.registry.registered(model, version);
      await db.transaction().execute((transaction) => addSignature(transaction, `${model}/${version}`, signature, by));
      return signaturesOf(db, `${model}/${version}`);
    },
  };
}

/** What a signature says about whose it is. Only who trusts a key can tell whether that is true. */
function keyOf(signature: Record<string, unknown>): string {
  const text = JSON.stringify(signature);
  const key = /"keyid":"([^"\\]{1,200})"/.exec(text)?.[1] ?? /"hint":"([^"\\]{1,200})"/.exec(text)?.[1];
  if (key === undefined) throw invalid("A signature says whose key has made it: in `keyid` of a DSSE envelope, or in `hint` of a sigstore bundle.");
  return key;
}
function jsonOf(what: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw invalid(`The ${what} is no JSON.`);
  }
}
function orInvalid<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) throw invalid(error.message);
    throw error;
  }
}
