/** What a release is: a list of digests, whose own digest is the release's name. */
import { createHash } from "node:crypto";
import { Value } from "@sinclair/typebox/value";
import { ReleaseManifest } from "../api/delivery.js";
import { canonical } from "../canonical.js";
import type { ProjectSpec } from "../spec.js";

export interface ReleaseParts {
  /** `sha256:` and the digest of the manifest's bytes: the release's name. */
  digest: string;
  manifest: ReleaseManifest;
  /** Canonical JSON. */
  bytes: Uint8Array<ArrayBuffer>;
  /** The project's document as it is released, as canonical JSON. */
  document: Uint8Array<ArrayBuffer>;
}

export const sha256 = (bytes: string | Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** The same for the same commit, whoever makes it and wherever: it has no time, no folder, no branch. Throws a RangeError without a commit, or with changes. */
export function releaseOf(spec: ProjectSpec, sbom: Uint8Array): ReleaseParts {
  const { commit, dirty } = spec.source ?? { dirty: false };
  if (commit === undefined) throw new RangeError("A release is of a commit, and the folder is in no git repository with one.");
  if (dirty) throw new RangeError("A release is of a commit, and files of the folder differ from it. Commit them, or leave them out with .gitignore.");
  const document = Buffer.from(canonical(releasedDocument(spec, commit)));
  const manifest: ReleaseManifest = {
    format: "millrace-release/v1",
    project: spec.name,
    commit,
    document: sha256(document),
    sbom: sha256(sbom),
    files: spec.files.map(({ path, digest, size }) => ({ path, digest, size })).sort((a, b) => (a.path < b.path ? -1 : 1)),
  };
  const bytes = Buffer.from(canonical(manifest));
  return { digest: sha256(bytes), manifest, bytes, document };
}

/** The document without what is of one machine. */
export function releasedDocument(spec: ProjectSpec, commit: string): ProjectSpec {
  const files = [...spec.files].sort((a, b) => (a.path < b.path ? -1 : 1));
  return { ...spec, files, folder: "", source: { commit, dirty: false } };
}

/** Throws a RangeError where the bytes are no manifest in its canonical form. */
export function readManifest(bytes: Uint8Array): ReleaseManifest {
  const text = Buffer.from(bytes).toString("utf8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (!Value.Check(ReleaseManifest, value)) throw new RangeError("That is no manifest of a release.");
  if (canonical(value) !== text) throw new RangeError("The manifest is not in its canonical form: keys in order, nothing between them.");
  return value;
}
