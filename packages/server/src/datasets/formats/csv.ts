import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { identifier, literal } from "../../platform/index.js";
import { ContentError, type CsvFormat, isZipped, longestLine, mostColumns, type SourceFile } from "./types.js";

/** The columns of a file of CSV: those of its first line, or those that the format names. */
export async function csvColumns(file: SourceFile, format: CsvFormat): Promise<string[]> {
  const first = (await firstRecords(file, format, format.skip ?? 0)) ?? [];
  if (first.length === 0) throw new ContentError(`${file.name} is empty: not even the names of columns are there.`);
  if (format.header === false) {
    const names = format.columns ?? first.map((_, i) => `column${i}`);
    if (names.length !== first.length)
      throw new ContentError(`${file.name}, line ${1 + (format.skip ?? 0)}: it has ${first.length} values, and ${names.length} columns are named.`);
    return names;
  }
  const line = 1 + (format.skip ?? 0);
  if (first.length > mostColumns) throw new ContentError(`${file.name}, line ${line}: more than ${mostColumns} columns.`);
  const seen = new Set<string>();
  for (const name of first) {
    if (name === "") throw new ContentError(`${file.name}, line ${line}: column ${first.indexOf(name) + 1} has no name.`);
    if (seen.has(name.toLowerCase())) throw new ContentError(`${file.name}, line ${line}: the column "${name}" is there twice.`);
    seen.add(name.toLowerCase());
  }
  return first;
}

/** `read_csv` over one file with these types. A timestamp without a zone is read in the connection's time zone. */
export function csvSource(file: SourceFile, format: CsvFormat, columns: readonly { name: string; type: string }[]): string {
  const options = [
    "auto_detect = false",
    `header = ${format.header !== false}`,
    `delim = ${literal(format.delimiter ?? ",")}`,
    `quote = ${literal(format.quote ?? '"')}`,
    `escape = ${literal(format.escape ?? format.quote ?? '"')}`,
    "strict_mode = true",
    `nullstr = [${(format.nulls ?? [""]).map(literal).join(", ")}]`,
    // Nothing between two delimiters is no value; a quoted nothing is the empty text.
    "allow_quoted_nulls = false",
    `max_line_size = ${longestLine}`,
    `decimal_separator = ${literal(format.decimal ?? ".")}`,
    `compression = ${literal(isZipped(file) ? "gzip" : "none")}`,
    `columns = {${columns.map(({ name, type }) => `${identifier(name)}: ${literal(type)}`).join(", ")}}`,
  ];
  if (format.skip !== undefined) options.push(`skip = ${format.skip}`);
  if (format.encoding !== undefined) options.push(`encoding = ${literal(format.encoding)}`);
  if (format.dateFormat !== undefined) options.push(`dateformat = ${literal(format.dateFormat)}`);
  if (format.timestampFormat !== undefined) options.push(`timestampformat = ${literal(format.timestampFormat)}`);
  return `read_csv(${literal(file.path)}, ${options.join(", ")})`;
}

/** DuckDB's words about a line, in ours. Undefined where it speaks of something else. */
export function csvError(file: SourceFile, said: string): string | undefined {
  const line = /CSV Error on Line: (\d+)/.exec(said)?.[1];
  if (line === undefined) return undefined;
  const place = `${file.name}, line ${Number(line).toLocaleString("en")}`;
  const [, column, value, type] = /Error when converting column "([^\n]*)"\. Could not convert string "([^\n]*)" to '?([A-Z ]+)'?/.exec(said) ?? [];
  if (column !== undefined) return `${place}: the column "${column}" has ${JSON.stringify((value ?? "").slice(0, 100))}, which is no ${typeName(type ?? "")}.`;
  if (said.includes("unterminated quote")) return `${place}: a quote is opened and not closed as it must be. A quote within quotes is written twice.`;
  const [, expected, found] = /Expected Number of Columns: (\d+) Found: (\d+)/.exec(said) ?? [];
  if (expected !== undefined) return `${place}: it has ${found} values, and there are ${expected} columns.`;
  if (/unicode|not utf-8/i.test(said)) return `${place}: its text is not UTF-8. Say the encoding: latin-1 or utf-16.`;
  if (/maximum line size|max_line_size/i.test(said)) return `${place}: the line is longer than ${longestLine / 1024 ** 2} MiB, or a quote is not closed.`;
  const why =
    said.split("\n").find((text, i) => i > 0 && text.trim() !== "" && !text.startsWith("Original Line") && !text.includes("Possible")) ?? "it can't be read";
  return `${place}: ${why.trim()}`;
}
const typeName = (type: string) =>
  type === "BIGINT"
    ? "whole number"
    : type === "DOUBLE"
      ? "number"
      : type === "BOOLEAN"
        ? "true or false"
        : type.startsWith("TIMESTAMP")
          ? "time"
          : type === "DATE"
            ? "date"
            : type.toLowerCase();

/** The first record after `skip` lines: only the header is read here, so at most a megabyte of it. */
async function firstRecords(file: SourceFile, format: CsvFormat, skip: number): Promise<string[] | undefined> {
  const encoding = { "utf-8": "utf-8", "latin-1": "latin1", "utf-16": "utf-16le" }[format.encoding ?? "utf-8"];
  const raw = createReadStream(file.path);
  const source: Readable = isZipped(file) ? raw.pipe(createGunzip()) : raw;
  raw.on("error", (error) => source.destroy(error));
  const decoder = new TextDecoder(encoding);
  let text = "";
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      text += decoder.decode(chunk, { stream: true });
      const record = recordOf(text, format, skip);
      if (record !== undefined) return record;
      if (text.length > 1024 ** 2) throw new ContentError(`${file.name}: the first line is longer than a megabyte, or a quote in it is not closed.`);
    }
  } catch (error) {
    if (error instanceof ContentError) throw error;
    throw new ContentError(`${file.name} can't be unpacked: ${error instanceof Error ? error.message : String(error)}.`);
  } finally {
    raw.destroy();
    source.destroy();
  }
  return recordOf(`${text}\n`, format, skip);
}

/** Undefined where the record does not end in the text. */
function recordOf(text: string, format: CsvFormat, skip: number): string[] | undefined {
  let at = text.startsWith("\uFEFF") ? 1 : 0;
  for (let line = 0; line < skip; line++) {
    const end = text.indexOf("\n", at);
    if (end < 0) return undefined;
    at = end + 1;
  }
  const [delimiter, quote] = [format.delimiter ?? ",", format.quote ?? '"'];
  const escapes = format.escape ?? quote;
  const values: string[] = [];
  let value = "";
  let quoted = false;
  for (; at < text.length; at++) {
    const char = text[at];
    if (quoted) {
      if (char === escapes && text[at + 1] === quote) value += text[++at];
      else if (char === quote) quoted = false;
      else value += char;
    } else if (quote !== "" && char === quote && value === "") quoted = true;
    else if (text.startsWith(delimiter, at)) {
      values.push(value);
      value = "";
      at += delimiter.length - 1;
    } else if (char === "\n" || char === "\r") {
      if (values.length === 0 && value === "") continue;
      return [...values, value];
    } else value += char;
  }
  return undefined;
}
