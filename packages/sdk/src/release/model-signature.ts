/**
 * Signatures of models as OpenSSF Model Signing 1.0 makes and verifies them: a sigstore bundle with a DSSE envelope, whose statement of in-toto has the
 * digest of every file (sigstore/model-transparency, `model_signing/_signing/signing.py`).
 */
import { createHash } from "node:crypto";
import { isEnvelope, open, type Statement, seal } from "./envelope.js";
import type { SigningKey, VerifyingKey } from "./keys.js";

const predicateType = "https://model_signing/signature/v1.0";
const mediaType = "application/vnd.dev.sigstore.bundle.v0.3+json";

export interface ModelFile {
  path: string;
  /** `sha256:` and 64 hexadecimal digits. */
  digest: string;
}

/** By their names' code points, as Python sorts them: the root's digest depends on it. */
const inOrder = (files: readonly ModelFile[]): ModelFile[] => [...files].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
const hex = ({ digest }: ModelFile): string => digest.replace(/^sha256:/, "");
function rootOf(files: readonly ModelFile[]): string {
  const root = createHash("sha256");
  for (const file of inOrder(files)) root.update(Buffer.from(hex(file), "hex"));
  return root.digest("hex");
}

/** A sigstore bundle about the files of a model. Throws a RangeError where the key is not ECDSA, which is what model-signing takes. */
export function modelSignature(name: string, files: readonly ModelFile[], key: SigningKey) {
  if (key.kind !== "ecdsa") throw new RangeError("Models are signed with ECDSA: make a key with `millrace release key --kind p256`.");
  const statement: Statement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name, digest: { sha256: rootOf(files) } }],
    predicateType,
    predicate: {
      serialization: { method: "files", hash_type: "sha256", allow_symlinks: false, ignore_paths: [] },
      resources: inOrder(files).map((file) => ({ name: file.path, algorithm: "sha256", digest: hex(file) })),
    },
  };
  return {
    mediaType,
    verificationMaterial: { publicKey: { hint: key.id }, tlogEntries: [] },
    // The key is told by the bundle.
    dsseEnvelope: seal(statement, key, ""),
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** The digest of each file that the bundle speaks of, and whose key has signed it. Throws a RangeError that says what is wrong. */
export function digestsOfModel(bundle: unknown, keys: readonly VerifyingKey[]): { files: ModelFile[]; by: VerifyingKey } {
  if (!isRecord(bundle) || bundle.mediaType !== mediaType || !isEnvelope(bundle.dsseEnvelope))
    throw new RangeError("That is no signature of a model: a sigstore bundle with a DSSE envelope is expected.");
  const { statement, by } = open(bundle.dsseEnvelope, keys);
  if (statement.predicateType !== predicateType)
    throw new RangeError(`The signature says "${statement.predicateType}"; of a model it says "${predicateType}".`);
  const { resources } = statement.predicate;
  const files = (Array.isArray(resources) ? resources : []).map((one: unknown): ModelFile => {
    if (!isRecord(one) || typeof one.name !== "string" || one.algorithm !== "sha256" || !/^[0-9a-f]{64}$/.test(String(one.digest)))
      throw new RangeError("The signature speaks of files otherwise than by their SHA-256.");
    return { path: one.name, digest: `sha256:${String(one.digest)}` };
  });
  if (statement.subject.length !== 1 || statement.subject[0]?.digest.sha256 !== rootOf(files))
    throw new RangeError("The signature contradicts itself: its files' digests don't give the model's.");
  return { files, by };
}

/** Whose key has signed exactly these files. Throws a RangeError that says which differ. */
export function verifyModelSignature(bundle: unknown, files: readonly ModelFile[], keys: readonly VerifyingKey[]): VerifyingKey {
  const signed = digestsOfModel(bundle, keys);
  const told = new Map(signed.files.map((file) => [file.path, file.digest]));
  const wrong = files.flatMap(({ path, digest }) => {
    const expected = told.get(path);
    told.delete(path);
    if (expected === digest) return [];
    return [expected === undefined ? `${path} was not there when it was signed` : `${path} was changed`];
  });
  wrong.push(...[...told.keys()].map((path) => `${path} is missing`));
  if (wrong.length > 0)
    throw new RangeError(`These are not the files that were signed: ${wrong.slice(0, 10).join(", ")}${wrong.length > 10 ? " and more" : ""}.`);
  return signed.by;
}
