import { type Static, Type } from "@sinclair/typebox";
import { Digest, EnvironmentSpec, Name } from "../spec.js";
import { Json, Nullable, PageQuery, Time } from "./common.js";
import { EvaluationReport, GateResult } from "./evaluation.js";
import { SecretName } from "./secrets.js";

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

// ------------------------------------------------------------------------------------------- environments and promotions

export const PromotionState = Type.Union([
  /** Its gates are looked at. */
  Type.Literal("checking"),
  /** They passed: approvals, the end of a freeze, a window or another promotion is waited for. */
  Type.Literal("waiting"),
  Type.Literal("deploying"),
  Type.Literal("deployed"),
  /** A gate or a person said no. */
  Type.Literal("refused"),
  Type.Literal("failed"),
  /** Another one was asked for that takes its place. */
  Type.Literal("superseded"),
  Type.Literal("cancelled"),
]);
export type PromotionState = Static<typeof PromotionState>;
export const Promotion = Type.Object({
  id: Type.String(),
  project: Type.String(),
  environment: Type.String(),
  kind: Type.Union([Type.Literal("release"), Type.Literal("model")]),
  release: Nullable(Digest),
  model: Nullable(Type.String()),
  version: Nullable(Type.Integer()),
  /** Back to what was there before: its gates passed then. */
  rollback: Type.Boolean(),
  state: PromotionState,
  /** What it waits for, or how it ended. */
  message: Nullable(Type.String()),
  /** Why it was asked for. */
  reason: Nullable(Type.String()),
  /** Who may not approve it. */
  authors: Type.Array(Type.String()),
  approvedBy: Type.Array(Type.String()),
  requestedBy: Type.String(),
  requestedAt: Time,
  finishedAt: Nullable(Time),
});
export type Promotion = Static<typeof Promotion>;
/** One thing that was decided, and by what. What was decided is never changed. */
export const Decision = Type.Object({
  at: Time,
  /** A user, or `millrace`. */
  by: Type.String(),
  kind: Type.Union([
    Type.Literal("requested"),
    Type.Literal("gate"),
    Type.Literal("approved"),
    Type.Literal("rejected"),
    /** All that was waited for is there. */
    Type.Literal("released"),
    Type.Literal("deployed"),
    Type.Literal("refused"),
    Type.Literal("failed"),
    Type.Literal("superseded"),
    Type.Literal("cancelled"),
  ]),
  /** Which gate. */
  gate: Nullable(Type.String()),
  passed: Nullable(Type.Boolean()),
  message: Type.String(),
  /** What it was decided by: objects of the store. */
  evidence: Type.Array(Type.Object({ what: Type.String(), digest: Digest })),
});
export type Decision = Static<typeof Decision>;
export const PromotionDetail = Type.Intersect([Promotion, Type.Object({ decisions: Type.Array(Decision) })]);
export type PromotionDetail = Static<typeof PromotionDetail>;
/** Of a release, or of a model's version. */
export const PromotionStart = Type.Object(
  {
    environment: Name,
    release: Type.Optional(Type.String({ pattern: "^sha256:[0-9a-f]{6,64}$" })),
    model: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    version: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_000_000_000 })),
    /** Whose environment, where a model is of several projects. */
    project: Type.Optional(Name),
    reason: Type.Optional(Type.String({ maxLength: 1_000 })),
  },
  { additionalProperties: false },
);
export type PromotionStart = Static<typeof PromotionStart>;
export const PromotionQuery = Type.Object({
  ...PageQuery.properties,
  project: Type.Optional(Name),
  environment: Type.Optional(Name),
  /** `open` for all that are not over. */
  state: Type.Optional(Type.Union([PromotionState, Type.Literal("open")])),
});
export const PromotionAnswer = Type.Object({ comment: Type.Optional(Type.String({ maxLength: 1_000 })) }, { additionalProperties: false });
export const RollbackStart = Type.Object(
  {
    /** The model that goes back; without it, the project's release. */
    model: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    reason: Type.String({ minLength: 1, maxLength: 1_000 }),
  },
  { additionalProperties: false },
);
export type RollbackStart = Static<typeof RollbackStart>;

/** A release or a model's version that is in an environment. */
export const Held = Type.Object({
  kind: Promotion.properties.kind,
  release: Nullable(Digest),
  model: Nullable(Type.String()),
  version: Nullable(Type.Integer()),
  since: Time,
  promotion: Type.String(),
});
export type Held = Static<typeof Held>;
export const Environment = Type.Object({
  project: Type.String(),
  name: Type.String(),
  spec: EnvironmentSpec,
  /** Whether the project defines it, or has it because it defines none. */
  defined: Type.Boolean(),
  /** Whether it is what this server serves: what comes here is applied, and answers. */
  serves: Type.Boolean(),
  /** Why nothing comes here now, where that is so: a freeze, or no window. */
  closed: Nullable(Type.String()),
  holds: Type.Array(Held),
});
export type Environment = Static<typeof Environment>;

/** What another server that is an environment is asked for. */
export const ReleaseDeploy = Type.Object({ reason: Type.String({ maxLength: 2_000 }) }, { additionalProperties: false });
export type ReleaseDeploy = Static<typeof ReleaseDeploy>;
export const VersionDeploy = Type.Object(
  {
    model: Type.String({ minLength: 1, maxLength: 256 }),
    /** Where it comes from, as `https://dev.example/shade/3`: asked for again, it is the same version. */
    origin: Type.String({ minLength: 1, maxLength: 2_000 }),
    digest: Digest,
    /** Objects that were sent before. */
    files: Type.Array(File, { minItems: 1, maxItems: 10_000 }),
    service: Nullable(Type.String({ maxLength: 256 })),
    metrics: Type.Record(Type.String(), Type.Number()),
    gates: Type.Array(GateResult),
    report: Nullable(EvaluationReport),
    signatures: Type.Array(Type.Record(Type.String(), Json), { maxItems: 100 }),
    /** All traffic at once, as where it goes back to an earlier version. */
    atOnce: Type.Boolean(),
  },
  { additionalProperties: false },
);
export type VersionDeploy = Static<typeof VersionDeploy>;
export const Deployed = Type.Object({ message: Type.String(), done: Type.Boolean() });
export type Deployed = Static<typeof Deployed>;

// --------------------------------------------------------------------------------------------------- watched repositories

export const RepositoryStart = Type.Object(
  {
    /** `https://…`, `ssh://…`, or a path on the server's machine. */
    url: Type.String({ minLength: 1, maxLength: 2_000 }),
    /** Where the project is in it; default its top. */
    folder: Type.Optional(Type.String({ maxLength: 1_000 })),
    /** Default `main`. A push to it is released. */
    branch: Type.Optional(Type.String({ minLength: 1, maxLength: 250 })),
    /** Which tags are released, as `v*`, which is the default. */
    tags: Type.Optional(Type.String({ minLength: 1, maxLength: 250 })),
    /** How often it is looked at; default 60, and 0 for only when its webhook says so. */
    pollSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400 })),
    /** The secret that signs what its webhook sends. */
    webhookSecret: Type.Optional(SecretName),
    /** The secret with a token for reading it over https. */
    token: Type.Optional(SecretName),
    /** Whether each commit is checked first by `millrace check`; default yes. */
    check: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
export type RepositoryStart = Static<typeof RepositoryStart>;
export const Repository = Type.Object({
  name: Name,
  url: Type.String(),
  folder: Type.String(),
  branch: Type.String(),
  tags: Type.String(),
  pollSeconds: Type.Integer(),
  webhookSecret: Nullable(SecretName),
  token: Nullable(SecretName),
  check: Type.Boolean(),
  /** Whose releases come from it, once there was one: then no other project's do. */
  project: Nullable(Type.String()),
  lookedAt: Nullable(Time),
  /** Why the last look failed. */
  problem: Nullable(Type.String()),
  createdBy: Type.String(),
});
export type Repository = Static<typeof Repository>;
/** What became of a commit that came to a branch or under a tag. */
export const Build = Type.Object({
  id: Type.String(),
  repository: Type.String(),
  /** `refs/heads/main`, `refs/tags/v1.2.0`. */
  ref: Type.String(),
  commit: Type.String(),
  state: Type.Union([
    Type.Literal("waiting"),
    Type.Literal("building"),
    Type.Literal("released"),
    Type.Literal("failed"),
    /** A newer commit came before its turn. */
    Type.Literal("superseded"),
    /** It was there before the repository was watched. */
    Type.Literal("known"),
  ]),
  message: Nullable(Type.String()),
  release: Nullable(Digest),
  /** What was said while it was built. */
  log: Nullable(Digest),
  foundAt: Time,
  finishedAt: Nullable(Time),
});
export type Build = Static<typeof Build>;
/** With which this server signs what it releases by itself. */
export const DeliveryKey = Type.Object({ id: Type.String(), pem: Type.String() });
export type DeliveryKey = Static<typeof DeliveryKey>;
