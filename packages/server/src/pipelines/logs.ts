/** What steps say, line by line: JSON lines in `runs/<run>/<step>-<attempt>.log` of the data folder. */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import type { LogPage } from "@millrace/sdk/api";

const megabyte = 1024 ** 2;
const largestLog = 10 * megabyte;
const longestLine = 16 * 1024;
const linesAPage = 1_000;

export interface StepLog {
  write(stream: string, text: string): void;
  close(): Promise<void>;
}

/** Steps' names are definitions' names, and run ids are made here: both are safe as names of files. */
const folderOf = (dataDir: string, runId: string): string => path.join(dataDir, "runs", runId);

export async function openStepLog(dataDir: string, runId: string, step: string, attempt: number): Promise<StepLog> {
  const folder = folderOf(dataDir, runId);
  await mkdir(folder, { recursive: true });
  const file = createWriteStream(path.join(folder, `${step}-${attempt}.log`), { flags: "w", mode: 0o640 });
  // A full disk costs lines of the log, not the step.
  file.on("error", () => {});
  let bytes = 0;
  let cut = false;
  const append = (stream: string, text: string) => {
    // Readers take these two for the end of a line as well.
    const line = `${JSON.stringify({ at: new Date().toISOString(), stream, text }).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029")}\n`;
    bytes += Buffer.byteLength(line);
    file.write(line);
  };
  return {
    write(stream, text) {
      if (cut) return;
      for (const line of text.split("\n")) append(stream, line.length > longestLine ? `${line.slice(0, longestLine)} [the line goes on]` : line);
      if (bytes > largestLog) {
        cut = true;
        append("millrace", `The log is cut here: a step keeps ${largestLog / megabyte} MB.`);
      }
    },
    close: () => new Promise((resolve) => file.end(() => resolve())),
  };
}

/** The lines from number `from` on, of all attempts one after the other. */
export async function readStepLog(dataDir: string, runId: string, step: string, from: number): Promise<Omit<LogPage, "done">> {
  const folder = folderOf(dataDir, runId);
  const attempts = (await readdir(folder).catch(() => []))
    .flatMap((name) => {
      const number = name.startsWith(`${step}-`) ? /^([0-9]+)\.log$/.exec(name.slice(step.length + 1))?.[1] : undefined;
      return number === undefined ? [] : [{ name, number: Number(number) }];
    })
    .sort((a, b) => a.number - b.number);
  const lines: LogPage["lines"] = [];
  let n = 0;
  for (const [index, { name }] of attempts.entries()) {
    for await (const text of createInterface({ input: createReadStream(path.join(folder, name)), crlfDelay: Number.POSITIVE_INFINITY })) {
      const line = n < from ? undefined : parse(text);
      // The last line of all may be about to be written; one that a crash cut off keeps its number.
      if (n >= from && line === undefined && index === attempts.length - 1) continue;
      if (line !== undefined) lines.push({ n, ...line });
      n += 1;
      if (lines.length === linesAPage) return { lines, next: n };
    }
  }
  return { lines, next: Math.max(n, from) };
}

function parse(text: string): { at: string; stream: string; text: string } | undefined {
  try {
    return JSON.parse(text) as { at: string; stream: string; text: string };
  } catch {
    return undefined;
  }
}
