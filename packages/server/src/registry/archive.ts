/** A version's files as one tar archive, for clients that fetch a model by one address, as KServe's do. */
import { Readable } from "node:stream";
import { type Digest, invalid, type ObjectStore } from "../platform/index.js";

interface File {
  path: string;
  digest: string;
  size: number;
}
const block = 512;

/** In the form of POSIX.1-1988 (ustar). Throws a 400 where a path is too long for it. */
export function archiveOf(objects: Pick<ObjectStore, "read">, files: readonly File[]): { size: number; content: Readable } {
  const heads = files.map((file) => headOf(file));
  const size = files.reduce((sum, file) => sum + block + padded(file.size), 2 * block);
  async function* content(): AsyncGenerator<Buffer> {
    for (const [at, file] of files.entries()) {
      yield heads[at] ?? Buffer.alloc(0);
      for await (const part of await objects.read(file.digest as Digest)) yield part;
      const rest = padded(file.size) - file.size;
      if (rest > 0) yield Buffer.alloc(rest);
    }
    yield Buffer.alloc(2 * block);
  }
  return { size, content: Readable.from(content()) };
}

const padded = (size: number): number => Math.ceil(size / block) * block;

function headOf({ path, size }: File): Buffer {
  const [prefix, name] = split(path);
  const head = Buffer.alloc(block);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, "0")}\0`;
  const fields: [at: number, text: string][] = [
    ...([
      [0, name],
      [100, octal(0o644, 8)],
      [108, octal(0, 8)],
      [116, octal(0, 8)],
      [124, octal(size, 12)],
      [136, octal(0, 12)],
    ] as const),
    ...([
      [148, "        "],
      [156, "0"],
      [257, "ustar\0"],
      [263, "00"],
      [345, prefix],
    ] as const),
  ].map(([at, text]) => [at, text]);
  for (const [at, text] of fields) head.write(text, at, "utf8");
  // Of the whole head, with blanks in the sum's own place.
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return head;
}

/** The name has 100 bytes at most; what does not fit is before a slash, with 155. */
function split(path: string): [prefix: string, name: string] {
  const fits = (text: string, most: number) => Buffer.byteLength(text) <= most;
  if (fits(path, 100)) return ["", path];
  for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1))
    if (fits(path.slice(0, at), 155) && fits(path.slice(at + 1), 100)) return [path.slice(0, at), path.slice(at + 1)];
  throw invalid(`The path "${path.slice(0, 300)}" is too long for an archive.`);
}
