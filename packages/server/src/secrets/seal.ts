/** AES-256-GCM with a key that is not in the database: of MILLRACE_SECRETS_KEY, else of a file in the data folder. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { StartError } from "../platform/index.js";

export interface Seal {
  close(name: string, value: string): Buffer;
  open(name: string, sealed: Buffer): string;
}

const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

export async function openSeal(file: string): Promise<Seal> {
  const key = keyOf(process.env.MILLRACE_SECRETS_KEY) ?? (await keyIn(file));
  return {
    close(name, value) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      // Another secret's text in its place is no secret of this name.
      cipher.setAAD(Buffer.from(name));
      return Buffer.concat([nonce, cipher.update(value, "utf8"), cipher.final(), cipher.getAuthTag()]);
    },
    open(name, sealed) {
      try {
        const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, nonceBytes));
        decipher.setAAD(Buffer.from(name));
        decipher.setAuthTag(sealed.subarray(-tagBytes));
        return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, -tagBytes)), decipher.final()]).toString("utf8");
      } catch {
        throw new Error(
          `The secret ${name} was set with another key than this process has. Give all processes the same MILLRACE_SECRETS_KEY, or set it again.`,
        );
      }
    },
  };
}

function keyOf(text: string | undefined): Buffer | undefined {
  if (text === undefined || text === "") return undefined;
  const key = Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? "hex" : "base64");
  if (key.length !== keyBytes)
    throw new StartError(`MILLRACE_SECRETS_KEY is to be ${keyBytes} bytes as hex or base64, as \`openssl rand -hex ${keyBytes}\` gives them.`);
  return key;
}

/** Made by whoever is first; all that start at once have the same. */
async function keyIn(file: string): Promise<Buffer> {
  const read = () => readFile(file, "utf8").catch(() => undefined);
  const known = await read();
  if (known !== undefined) return keyOf(known.trim()) ?? randomBytes(keyBytes);
  await mkdir(path.dirname(file), { recursive: true });
  const made = `${file}.${randomBytes(8).toString("hex")}`;
  await writeFile(made, randomBytes(keyBytes).toString("hex"), { mode: 0o600, flush: true });
  await link(made, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await rm(made, { force: true });
  const key = keyOf((await read())?.trim());
  if (key === undefined) throw new Error("The key of secrets can't be read.");
  return key;
}
