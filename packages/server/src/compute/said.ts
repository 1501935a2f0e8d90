/** What a process says: for the log, for the progress, and for the one line that tells why it failed. */
import type { Job, JobEnd, Watch } from "./backend.js";

const linesKept = 30;
const longestError = 2_000;

export interface Report {
  error?: string;
  usage?: { peakMemoryBytes: number; cpuSeconds: number };
}
export interface Said {
  onLine(stream: "stdout" | "stderr", text: string): void;
  /** A line of JSON that the process, or `millrace` in it, reports. What is no such line is dropped. */
  onReport(text: string): void;
  lastLines(): string[];
  report: Report;
  mask(text: string): string;
}

export function listen(job: Pick<Job, "secretValues">, watch: Watch, shown: (text: string) => string = (text) => text): Said {
  const last = { stdout: [] as string[], stderr: [] as string[] };
  const report: Report = {};
  // The longest first, where one is within another; each line of one that has several.
  const secrets = [...new Set(job.secretValues.flatMap((secret) => [secret, ...secret.split(/\r?\n/)]))]
    .filter((secret) => secret.length >= 3)
    .sort((a, b) => b.length - a.length);
  const mask = (text: string) => secrets.reduce((masked, secret) => masked.replaceAll(secret, "***"), text);
  return {
    report,
    mask,
    onLine(stream, said) {
      const text = mask(shown(said));
      const lines = last[stream];
      if (text.trim() !== "") lines.push(text);
      if (lines.length > linesKept) lines.shift();
      watch.onLine(stream, text);
    },
    onReport(text) {
      const told = parsed(text);
      if (told.progress !== undefined) watch.onProgress(told.progress);
      if (told.metrics !== undefined) watch.onMetrics?.(told.metrics);
      if (told.error !== undefined) report.error = mask(shown(told.error)).slice(0, longestError);
      if (told.usage !== undefined) report.usage = told.usage;
    },
    lastLines: () => (last.stderr.length > 0 ? last.stderr : last.stdout),
  };
}

interface Told extends Report {
  progress?: { done?: number; total?: number; message?: string };
  metrics?: Record<string, number>;
}
/** Users' code writes here too: what is not of the right type is left out. */
function parsed(text: string): Told {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return {};
  }
  const { progress, metrics, error, usage } = fields(value);
  const { done, total, message } = fields(progress);
  const { peakMemoryBytes, cpuSeconds } = fields(usage);
  const numbers = Object.entries(fields(metrics)).flatMap(([name, one]): [string, number][] => (isNumber(one) ? [[name, one]] : []));
  return {
    ...(progress === undefined
      ? {}
      : {
          progress: {
            ...(isNumber(done) ? { done } : {}),
            ...(isNumber(total) ? { total } : {}),
            ...(typeof message === "string" ? { message: message.slice(0, 500) } : {}),
          },
        }),
    ...(numbers.length === 0 ? {} : { metrics: Object.fromEntries(numbers.slice(0, 1_000)) }),
    ...(typeof error === "string" ? { error } : {}),
    ...(isNumber(peakMemoryBytes) && isNumber(cpuSeconds) ? { usage: { peakMemoryBytes, cpuSeconds } } : {}),
  };
}
const fields = (value: unknown): Record<string, unknown> => (typeof value === "object" && value !== null ? { ...value } : {});
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

/** What people call the step's program. */
export function programName(job: Pick<Job, "command">): string {
  const [program = "the step", , step, script] = job.command;
  return program === "{python}" && step === "{step}" && script !== undefined ? script : (program.split("/").at(-1) ?? program);
}

/** Python's, Node's and CUDA's ways to say so. */
const memoryError = /(^|[.\w])(MemoryError|OutOfMemoryError)\b|JavaScript heap out of memory|Cannot allocate memory/;

/** How a process that came to an end of its own, or by a limit, ended. */
export function judge(
  job: Job,
  ended: {
    code: number | null;
    signal: string | null;
    ended: "timeout" | "memory" | "folder" | null;
    killedForMemory: boolean;
    peakMemoryBytes: number;
    folderBytes: number;
  },
  said: Pick<Said, "lastLines" | "report">,
): Pick<JobEnd, "outcome" | "message"> {
  const name = programName(job);
  const limit = job.resources.memoryBytes;
  if (ended.ended === "timeout")
    return { outcome: "timed_out", message: `${name} ran for longer than its timeout of ${duration(job.timeoutMs)}, and was ended.` };
  if (ended.ended === "memory" && limit !== undefined)
    return {
      outcome: "out_of_memory",
      message: `${name} used ${size(ended.peakMemoryBytes)} of memory: more than its limit of ${size(limit)}, and was ended.`,
    };
  if (ended.ended === "folder")
    return {
      outcome: "failed",
      message: `${name} filled its folder with more than ${size(ended.folderBytes)}, which is the limit (MILLRACE_STEP_DISK), and was ended.`,
    };
  if (ended.killedForMemory)
    return {
      outcome: "out_of_memory",
      message: `${name} was killed by the system, which had no memory left; it had used ${size(ended.peakMemoryBytes)}. Give the step less to do at a time, or a machine with more.`,
    };
  if (ended.code === 0) return { outcome: "succeeded", message: null };
  const reason = (said.report.error ?? said.lastLines().at(-1))?.split("\n")[0];
  if (reason !== undefined && memoryError.test(reason))
    return { outcome: "out_of_memory", message: `${name} ran out of memory: ${reason} (it had used ${size(ended.peakMemoryBytes)})` };
  const how = ended.signal === null ? `ended with code ${ended.code}` : `was killed by ${ended.signal}`;
  return { outcome: "failed", message: reason === undefined ? `${name} ${how}, and said nothing.` : `${name} ${how}: ${reason}` };
}

export function size(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 || Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}
const duration = (ms: number): string => (ms < 120_000 ? `${ms / 1_000} s` : `${(ms / 60_000).toFixed(ms % 60_000 === 0 ? 0 : 1)} min`);
