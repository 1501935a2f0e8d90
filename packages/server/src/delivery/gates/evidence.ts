import type { Decision } from "@millrace/sdk/api";
import type { ObjectStore } from "../../platform/index.js";

/** Keeps what was found, so that it can be looked at for as long as what was decided by it is known. */
export async function keepEvidence(objects: ObjectStore, what: string, found: unknown): Promise<Decision["evidence"][number]> {
  const { digest } = await objects.put(Buffer.from(`${JSON.stringify(found, null, 1)}\n`));
  return { what, digest };
}
