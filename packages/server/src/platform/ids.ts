import { randomUUID } from "node:crypto";

/** 32 hexadecimal digits, ordered by the real time at which they were made (the layout of a version 7 UUID, RFC 9562, without dashes). */
export function newId(): string {
  // It keeps random bytes ahead, which asking for some does not.
  const random = randomUUID();
  return `${Date.now().toString(16).padStart(12, "0")}7${random.slice(15, 18)}${random.slice(19, 23)}${random.slice(24)}`;
}
