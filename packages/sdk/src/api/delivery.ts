import { type Static, Type } from "@sinclair/typebox";
import { Digest, Name } from "../spec/common.js";
import { Json, Nullable, PageQuery, Time } from "./common.js";

const File = Type.Object({ path: Type.String({ maxLength: 1_000 }), digest: Digest, size: Type.Integer({ minimum: 0 }) }, { additionalProperties: false });

/** What a release is made of. Its bytes are canonical JSON (keys in order, nothing between them), and their digest is the release's name. */
export const ReleaseManifest = Type.Object(
  {
    format: Type.Literal("millrace-release/v1"),
    project: Name,
    commit: Type.String({ pattern: "^([0-9a-f]{40}|[0-9a-f]{64})$" }),
    /** Of the project's document, canonical, without what is of one machine. */
    document: Digest,
    /** CycloneDX 1.6, JSON. */
    sbom: Digest,
    /** The project's code, with its lock files. */
    files: Type.Array(File, { maxItems: 10_000 }),
  },
  { additionalProperties: false },
);
export type ReleaseManifest = Static<typeof ReleaseManifest>;

export const Release = Type.Object({
  /** The digest of its manifest. */
  digest: Digest,
  project: Type.String(),
  commit: Type.String(),
  /** Whoever made it known to the server, and the authors of its commit. */
  authors: Type.Array(Type.String()),
  createdBy: Type.String(),
  createdAt: Time,
  /** Ids of the keys that have signed it. */
  signedBy: Type.Array(Type.String()),
});
export type Release = Static<typeof Release>;

/** A signature as it was sent: a DSSE envelope, or of a model a sigstore bundle around one. */
export const Signature = Type.Object({ key: Type.String(), signature: Json, addedBy: Type.String(), addedAt: Time });
export type Signature = Static<typeof Signature>;
/** What a check of a release found: by `millrace check`, or by whatever a team checks with. */
export const ReleaseCheck = Type.Object({
  passed: Type.Boolean(),
  summary: Type.String(),
  /** Of the report. */
  report: Nullable(Digest),
  addedBy: Type.String(),
  addedAt: Time,
});
export type ReleaseCheck = Static<typeof ReleaseCheck>;
export const ReleaseDetail = Type.Intersect([
  Release,
  Type.Object({ manifest: ReleaseManifest, signatures: Type.Array(Signature), checks: Type.Array(ReleaseCheck) }),
]);
export type ReleaseDetail = Static<typeof ReleaseDetail>;

/** The manifest, the document, the SBOM and the files are objects that were sent before. */
export const ReleaseStart = Type.Object(
  {
    digest: Digest,
    /** Of the commit, as `anna@example.org`: who may not approve it. */
    authors: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 300 }), { maxItems: 100 })),
    signatures: Type.Optional(Type.Array(Type.Record(Type.String(), Json), { maxItems: 10 })),
  },
  { additionalProperties: false },
);
export type ReleaseStart = Static<typeof ReleaseStart>;
export const SignatureStart = Type.Object({ signature: Type.Record(Type.String(), Json) }, { additionalProperties: false });
export type SignatureStart = Static<typeof SignatureStart>;
export const ReleaseCheckStart = Type.Object(
  { passed: Type.Boolean(), summary: Type.String({ maxLength: 2_000 }), report: Type.Optional(Digest) },
  { additionalProperties: false },
);
export type ReleaseCheckStart = Static<typeof ReleaseCheckStart>;
export const ReleaseQuery = Type.Object({ ...PageQuery.properties, project: Type.Optional(Name) });
