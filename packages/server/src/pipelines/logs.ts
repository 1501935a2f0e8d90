/** What steps say, line by line: chunks of lines in PostgreSQL, so that every process shows them, also while they are written. */
import type { LogPage } from "@millrace/sdk/api";
import { sql } from "kysely";
import type { Platform } from "../platform/index.js";

const megabyte = 1024 ** 2;
/** Of one attempt. */
const largestLog = 4 * megabyte;
const longestLine = 16 * 1024;
const linesAChunk = 500;
const linesAPage = 1_000;
/** How far what is shown may lag behind what was said. */
const flushMs = 150;
/** What may wait for a database that does not answer. */
const mostWaiting = 20_000;

export interface StepLog {
  write(stream: string, text: string): void;
  /** What is shown as *** from now on. */
  mask(values: string[]): void;
  /** Resolves when everything is kept. */
  close(): Promise<void>;
}
interface Line {
  at: string;
  stream: string;
  text: string;
}

export function openStepLog({ db, clock, log }: Pick<Platform, "db" | "clock" | "log">, runId: string, step: string, attempt: number): StepLog {
  // Of the first attempt nothing is there before.
  let next: number | undefined = attempt === 1 ? 0 : undefined;
  let masked: string[] = [];
  let waiting: Line[] = [];
  let bytes = 0;
  let cut = false;
  let timer: NodeJS.Timeout | undefined;
  let flushed: Promise<void> = Promise.resolve();

  async function flush(): Promise<void> {
    if (waiting.length > 0 && next === undefined) {
      const { rows } = await sql<{ next: number }>`
        select coalesce(max(first + count), 0)::int as next from pipeline_log where run = ${runId} and step = ${step}`.execute(db);
      next = rows[0]?.next ?? 0;
    }
    while (waiting.length > 0) {
      const first = next ?? 0;
      const lines = waiting.slice(0, linesAChunk);
      // What an attempt says that was superseded belongs to nobody.
      await sql`
        insert into pipeline_log (run, step, first, count, lines)
        select run, id, ${first}, ${lines.length}, ${JSON.stringify(lines)} from pipeline_step
        where run = ${runId} and id = ${step} and attempt = ${attempt}
        on conflict (run, step, first) do nothing`.execute(db);
      next = first + lines.length;
      waiting = waiting.slice(lines.length);
    }
  }
  function schedule(): void {
    if (timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      flushed = flushed.then(flush).catch((error) => {
        log.warn({ error, run: runId, step }, "lines of a step's log could not be kept yet");
        if (waiting.length <= mostWaiting) schedule();
      });
    }, flushMs);
  }
  function append(stream: string, text: string): void {
    bytes += Buffer.byteLength(text) + 60;
    waiting.push({ at: clock.now().toISOString(), stream, text });
    schedule();
  }

  return {
    write(stream, text) {
      for (let line of text.split("\n")) {
        if (cut) return;
        for (const value of masked) if (line.includes(value)) line = line.replaceAll(value, "***");
        append(stream, line.length > longestLine ? `${line.slice(0, longestLine)} [the line goes on]` : line);
        if (bytes < largestLog && waiting.length < mostWaiting) continue;
        cut = true;
        append("millrace", `The log is cut here: a step keeps ${largestLog / megabyte} MB.`);
      }
    },
    mask(values) {
      // Each line of one that has several is as secret as the whole.
      masked = values
        .flatMap((value) => value.split("\n"))
        .filter((value) => value.trim().length > 0)
        .sort((a, b) => b.length - a.length);
    },
    async close() {
      clearTimeout(timer);
      timer = undefined;
      flushed = flushed.then(flush).catch((error) => log.warn({ error, run: runId, step }, "the end of a step's log could not be kept"));
      await flushed;
    },
  };
}

/** The lines from number `from` on, of all attempts one after the other. */
export async function readStepLog({ db }: Platform, runId: string, step: string, from: number): Promise<Omit<LogPage, "done">> {
  const { rows } = await sql<{ first: number; lines: string }>`
    select first, lines from pipeline_log where run = ${runId} and step = ${step} and first + count > ${from}
    order by first limit ${linesAPage}`.execute(db);
  const lines: LogPage["lines"] = [];
  for (const chunk of rows) {
    for (const [index, line] of (JSON.parse(chunk.lines) as Line[]).entries()) {
      if (chunk.first + index >= from && lines.length < linesAPage) lines.push({ n: chunk.first + index, ...line });
    }
  }
  return { lines, next: (lines.at(-1)?.n ?? from - 1) + 1 };
}
