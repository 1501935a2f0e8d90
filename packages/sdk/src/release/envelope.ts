/** Statements in envelopes: in-toto's Statement v1 (in-toto/attestation, spec/v1) in DSSE (secure-systems-lab/dsse, protocol.md and envelope.md). */
import type { SigningKey, VerifyingKey } from "./keys.js";

export interface Statement {
  _type: "https://in-toto.io/Statement/v1";
  subject: { name: string; digest: { sha256: string } }[];
  predicateType: string;
  predicate: Record<string, unknown>;
}
export interface Envelope {
  payloadType: string;
  /** Base64. */
  payload: string;
  signatures: { keyid: string; sig: string }[];
}
const payloadType = "application/vnd.in-toto+json";

export function seal(statement: Statement, key: SigningKey, keyid: string): Envelope {
  const payload = Buffer.from(JSON.stringify(statement));
  return { payloadType, payload: payload.toString("base64"), signatures: [{ keyid, sig: key.sign(authenticated(payload)).toString("base64") }] };
}

/** The statement, where one of the keys has signed it. Throws a RangeError that says what is wrong where none has. */
export function open(envelope: Envelope, keys: readonly VerifyingKey[]): { statement: Statement; by: VerifyingKey } {
  if (envelope.payloadType !== payloadType) throw new RangeError(`The signature is of "${envelope.payloadType}"; a statement of in-toto is expected.`);
  const payload = Buffer.from(envelope.payload, "base64");
  const bytes = authenticated(payload);
  const by = keys.find((key) => envelope.signatures.some(({ sig }) => verifies(key, bytes, Buffer.from(sig, "base64"))));
  if (by === undefined) throw new RangeError("The signature is by none of the keys that are trusted, or what it is of was changed.");
  return { statement: statementOf(payload), by };
}

/** The pre-authentication encoding: what is signed. */
function authenticated(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]);
}
function verifies(key: VerifyingKey, bytes: Buffer, signature: Buffer): boolean {
  try {
    return key.verify(bytes, signature);
  } catch {
    return false;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
function isStatement(value: unknown): value is Statement {
  if (!isRecord(value) || value._type !== "https://in-toto.io/Statement/v1" || typeof value.predicateType !== "string") return false;
  const subjects = value.subject;
  const named = (one: unknown) => isRecord(one) && typeof one.name === "string" && isRecord(one.digest) && typeof one.digest.sha256 === "string";
  return Array.isArray(subjects) && subjects.every(named) && isRecord(value.predicate);
}
function statementOf(payload: Buffer): Statement {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString("utf8"));
  } catch {
    value = undefined;
  }
  if (!isStatement(value)) throw new RangeError("What is signed is no statement of in-toto, version 1.");
  return value;
}

/** A value that is to be an envelope. */
export function isEnvelope(value: unknown): value is Envelope {
  if (!isRecord(value) || typeof value.payloadType !== "string" || typeof value.payload !== "string" || !Array.isArray(value.signatures)) return false;
  return value.signatures.every((one) => isRecord(one) && typeof one.sig === "string");
}
