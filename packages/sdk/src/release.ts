/** Releases of projects, and signatures of them and of models: for whoever makes or verifies one, in Node. */
export { canonical } from "./canonical.js";
export { makeKey, publicKeyOf, readPrivateKey, readPublicKey, type SigningKey, type VerifyingKey } from "./release/keys.js";
export { type ReleaseParts, readManifest, releasedDocument, releaseOf, sha256 } from "./release/manifest.js";
export { digestsOfModel, modelSignature, verifyModelSignature } from "./release/model-signature.js";
export { signRelease, verifyReleaseSignature } from "./release/signature.js";
