import { readPublicKey, verifyModelSignature, verifyReleaseSignature } from "@millrace/sdk/release";
import type { Candidate, GateOf, Verdict } from "./types.js";

/** By one of the keys that the gate names. */
export function signedBy({ keys: pems }: GateOf<"signed">, candidate: Candidate): Verdict {
  const keys = pems.map(readPublicKey);
  const signatures = candidate.kind === "release" ? candidate.release.signatures : candidate.signatures;
  let why = "It is not signed.";
  for (const { signature, addedBy } of signatures) {
    try {
      const by =
        candidate.kind === "release"
          ? verifyReleaseSignature(signature, candidate.release.digest, keys)
          : verifyModelSignature(signature, candidate.version.files, keys);
      return { passed: true, message: `The key ${by.id.slice(0, 12)} has signed it; ${addedBy} brought the signature.` };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      why = error.message;
    }
  }
  return { passed: false, message: why };
}
