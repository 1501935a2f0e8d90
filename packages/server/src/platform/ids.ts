import { randomBytes } from "node:crypto";

/** 32 hexadecimal digits, ordered by the real time at which they were made (the layout of a version 7 UUID, RFC 9562, without dashes). */
export function newId(): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = 0x70 | ((bytes[6] as number) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f);
  return bytes.toString("hex");
}
