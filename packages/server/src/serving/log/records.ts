/** What a file of a spool holds: lines of JSON, a row each, and packed lines with their bytes behind them. */
import { createReadStream } from "node:fs";
import { type PackedLine, packedStart } from "./packed.js";

export interface Records {
  plain(line: string): void | Promise<void>;
  packed(line: PackedLine, bytes: Buffer): void | Promise<void>;
}
/** What a machine left that failed while the disk did not have all yet. What comes before `at` is whole. */
export class BrokenRecord extends Error {
  constructor(readonly at: number) {
    super(`the record at byte ${at} is broken`);
  }
}
const lineEnd = 0x0a;
const readBytes = 1024 ** 2;
const startBytes = Buffer.from(packedStart);

/** Answers where the last whole record ends. What is behind it was being written when a process ended, and acknowledged to nobody. Throws a BrokenRecord. */
export async function readRecords(file: string, records: Records): Promise<number> {
  let begun: Buffer = Buffer.alloc(0);
  let whole = 0;
  for await (const part of createReadStream(file, { highWaterMark: readBytes })) {
    const bytes: Buffer = begun.length === 0 ? part : Buffer.concat([begun, part]);
    let at = 0;
    for (let end = bytes.indexOf(lineEnd); end >= 0; end = bytes.indexOf(lineEnd, at)) {
      const isPacked = bytes.compare(startBytes, 0, startBytes.length, at, Math.min(end, at + startBytes.length)) === 0;
      let told: void | Promise<void>;
      if (isPacked) {
        const line = lineOf(bytes.toString("utf8", at, end));
        const from = end + 1;
        if (line !== undefined && from + line.bytes >= bytes.length) break;
        if (line === undefined || bytes[from + line.bytes] !== lineEnd) throw new BrokenRecord(whole + at);
        told = records.packed(line, bytes.subarray(from, from + line.bytes));
        at = from + line.bytes + 1;
      } else {
        told = end > at ? records.plain(bytes.toString("utf8", at, end)) : undefined;
        at = end + 1;
      }
      if (told !== undefined) await told;
    }
    whole += at;
    begun = bytes.subarray(at);
  }
  return whole;
}

function lineOf(text: string): PackedLine | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether there are packed lines, among others that may be there too; where there are none, what a line takes. */
export async function lookOver(file: string): Promise<{ isPacked: boolean; lineBytes: number }> {
  const sought = `\n${packedStart}`;
  // What comes before the first line, and after the part before.
  let end = "\n";
  let bytes = 0;
  let lines = 0;
  for await (const part of createReadStream(file, { encoding: "latin1", highWaterMark: readBytes })) {
    const text = `${end}${part}`;
    if (text.includes(sought)) return { isPacked: true, lineBytes: 0 };
    bytes += part.length;
    for (let at = part.indexOf("\n"); at >= 0; at = part.indexOf("\n", at + 1)) lines++;
    end = text.slice(1 - sought.length);
  }
  return { isPacked: false, lineBytes: bytes / Math.max(1, lines) };
}
