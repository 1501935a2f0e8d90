/** Keys for signatures: Ed25519, or ECDSA on a NIST curve, as PEM. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";

export interface VerifyingKey {
  /** The SHA-256 of the public key's PEM, in hexadecimal digits: by it a signature says whose it is. */
  id: string;
  kind: "ed25519" | "ecdsa";
  pem: string;
  verify(bytes: Uint8Array, signature: Uint8Array): boolean;
}
export interface SigningKey extends VerifyingKey {
  sign(bytes: Uint8Array): Buffer;
}

/** ECDSA by P-256 is what OpenSSF Model Signing takes. */
export function makeKey(kind: "ed25519" | "p256"): { privatePem: string; publicPem: string } {
  const { privateKey, publicKey } = kind === "ed25519" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privatePem: String(privateKey.export({ type: "pkcs8", format: "pem" })), publicPem: String(publicKey.export({ type: "spki", format: "pem" })) };
}

/** Throws a RangeError that says what is taken where the text is no such key. */
export function readPrivateKey(pem: string, passphrase?: string): SigningKey {
  const key = parsed("private key", () => createPrivateKey(passphrase === undefined ? pem : { key: pem, passphrase }));
  const hash = hashOf(key);
  return { ...verifying(createPublicKey(key)), sign: (bytes) => sign(hash, bytes, key) };
}
/** Throws a RangeError that says what is taken where the text is no such key. */
export function readPublicKey(pem: string): VerifyingKey {
  // A private key has a public part: who gives one away by mistake is told.
  if (pem.includes("PRIVATE KEY")) throw new RangeError("That is a private key. Give the public one, which may be known to all.");
  return verifying(parsed("public key", () => createPublicKey(pem)));
}
/** The public part of a key, which may be known to all. */
export const publicKeyOf = (key: SigningKey): VerifyingKey => readPublicKey(key.pem);

function verifying(key: KeyObject): VerifyingKey {
  const hash = hashOf(key);
  const pem = String(key.export({ type: "spki", format: "pem" }));
  const id = createHash("sha256").update(pem).digest("hex");
  return { id, kind: hash === null ? "ed25519" : "ecdsa", pem, verify: (bytes, signature) => verify(hash, bytes, key, signature) };
}

function parsed(what: string, read: () => KeyObject): KeyObject {
  try {
    return read();
  } catch {
    throw new RangeError(`That is no ${what}: it is PEM text, as \`millrace release key\` writes it.`);
  }
}

/** What is signed with a key of its kind; null where the kind has a hash of its own. */
function hashOf(key: KeyObject): "sha256" | "sha384" | "sha512" | null {
  if (key.asymmetricKeyType === "ed25519") return null;
  const hash = { prime256v1: "sha256", secp384r1: "sha384", secp521r1: "sha512" } as const;
  const curve = key.asymmetricKeyType === "ec" ? key.asymmetricKeyDetails?.namedCurve : undefined;
  if (curve === "prime256v1" || curve === "secp384r1" || curve === "secp521r1") return hash[curve];
  throw new RangeError("The key is of another kind than is taken: Ed25519, or ECDSA on P-256, P-384 or P-521.");
}
