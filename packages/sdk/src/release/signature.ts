import { isEnvelope, open, type Statement, seal } from "./envelope.js";
import type { SigningKey, VerifyingKey } from "./keys.js";
import type { ReleaseParts } from "./manifest.js";

const predicateType = "https://millrace/release/v1";

/** A DSSE envelope about the manifest's digest. */
export function signRelease({ digest, manifest }: Pick<ReleaseParts, "digest" | "manifest">, key: SigningKey) {
  const { commit, document, sbom } = manifest;
  const statement: Statement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: manifest.project, digest: { sha256: digest.replace(/^sha256:/, "") } }],
    predicateType,
    predicate: { commit, document, sbom },
  };
  return seal(statement, key, key.id);
}

/** Which of the keys has signed the release of this digest. Throws a RangeError that says what is wrong where none has. */
export function verifyReleaseSignature(envelope: unknown, digest: string, keys: readonly VerifyingKey[]): VerifyingKey {
  if (!isEnvelope(envelope)) throw new RangeError("That is no signature: a DSSE envelope is expected.");
  const { statement, by } = open(envelope, keys);
  if (statement.predicateType !== predicateType)
    throw new RangeError(`The signature says "${statement.predicateType}"; of a release it says "${predicateType}".`);
  const [subject, another] = statement.subject;
  if (another !== undefined || `sha256:${subject?.digest.sha256}` !== digest)
    throw new RangeError(`The signature is of the release sha256:${subject?.digest.sha256}, not of ${digest}.`);
  return by;
}
