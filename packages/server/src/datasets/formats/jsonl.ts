import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { identifier, literal } from "../../platform/index.js";
import { ContentError, isZipped, longestLine, type SourceFile } from "./types.js";

/** Deeper than people nest, and far from where a parser that calls itself ends. */
const deepest = 64;

/**
 * Refuses what DuckDB's reader must not see: nesting without end, lines without end, lines that hold no object. It looks at bytes alone, so that it keeps up
 * with the disk and its memory does not grow.
 */
export async function checkJsonLines(file: SourceFile): Promise<void> {
  const raw = createReadStream(file.path, { highWaterMark: 512 * 1024 });
  const source: Readable = isZipped(file) ? raw.pipe(createGunzip()) : raw;
  raw.on("error", (error) => source.destroy(error));
  const scan = scanner(file.name);
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) scan(chunk);
    scan(Buffer.from("\n"));
  } catch (error) {
    if (error instanceof ContentError) throw error;
    throw new ContentError(`${file.name} can't be unpacked: ${error instanceof Error ? error.message : String(error)}.`);
  } finally {
    raw.destroy();
    source.destroy();
  }
}

function scanner(name: string): (chunk: Buffer) => void {
  let [line, length, depth] = [1, 0, 0];
  let [inText, escaped, begun] = [false, false, false];
  const fail = (what: string): never => {
    throw new ContentError(`${name}, line ${line.toLocaleString("en")}: ${what}`);
  };
  return (chunk) => {
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      if (byte === 0x0a) {
        if (inText) fail("a text is not closed by a quote at the line's end.");
        if (depth !== 0) fail("an object or list is not closed at the line's end: write one object a line.");
        line++;
        length = 0;
        begun = false;
        continue;
      }
      if (++length > longestLine) fail(`the line is longer than ${longestLine / 1024 ** 2} MiB.`);
      if (inText) {
        if (escaped) escaped = false;
        else if (byte === 0x5c) escaped = true;
        else if (byte === 0x22) inText = false;
        continue;
      }
      if (!begun) {
        // Spaces, and the mark of the byte order that some programs write.
        if (byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === 0xef || byte === 0xbb || byte === 0xbf) continue;
        if (byte !== 0x7b) fail("it holds no JSON object: write one object a line.");
        begun = true;
      }
      if (byte === 0x22) inText = true;
      else if (byte === 0x7b || byte === 0x5b) {
        if (++depth > deepest) fail(`it is nested more than ${deepest} deep.`);
      } else if (byte === 0x7d || byte === 0x5d) {
        if (--depth < 0) fail("a bracket is closed that was not opened.");
      }
    }
  };
}

/** `read_json` over one file with these types; without them, with those that all of its rows have. */
export function jsonSource(file: SourceFile, columns?: readonly { name: string; type: string }[]): string {
  const options = [
    "format = 'newline_delimited'",
    `maximum_object_size = ${longestLine * 2}`,
    `compression = ${literal(isZipped(file) ? "gzip" : "uncompressed")}`,
    ...(columns === undefined
      ? ["sample_size = -1", "maximum_depth = 2", "convert_strings_to_integers = false"]
      : [`columns = {${columns.map(({ name, type }) => `${identifier(name)}: ${literal(type)}`).join(", ")}}`]),
  ];
  return `read_json(${literal(file.path)}, ${options.join(", ")})`;
}

/** DuckDB's words about a line, in ours. */
export function jsonError(file: SourceFile, said: string): string | undefined {
  const [, line] = /in line (\d+)/.exec(said) ?? [];
  if (line === undefined) return undefined;
  const place = `${file.name}, line ${Number(line).toLocaleString("en")}`;
  const malformed = /at byte (\d+) in line \d+: ([^\n.]*)/.exec(said);
  if (malformed !== null) return `${place}, byte ${malformed[1]}: it is no JSON: ${malformed[2]}.`;
  const why = /in line \d+: ([^\n]*)/.exec(said)?.[1] ?? "it can't be read";
  return `${place}: ${why.trim().replace(/\.?$/, ".")}`;
}
