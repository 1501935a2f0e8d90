/** The folders of this package's own code, whose frames are not where a user defines something. A built file may be told as its source. */
const code = import.meta.url.slice(0, import.meta.url.lastIndexOf("/define/"));
const root = code.slice(0, code.lastIndexOf("/") + 1);
const isOwn = (url: string) => (url.startsWith(`${root}src/`) || url.startsWith(`${root}dist/`)) && !url.endsWith(".test.ts");

/** `path:line` of the caller outside this package, or undefined where the engine gives no stack. */
export function here(): string | undefined {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = 40;
  const stack = new Error().stack ?? "";
  Error.stackTraceLimit = before;
  for (const line of stack.split("\n").slice(1)) {
    const frame = /((?:file:\/\/)?\/[^()\n]*?|[A-Za-z]:[\\/][^()\n]*?):(\d+):\d+\)?$/.exec(line.trim());
    if (frame?.[1] === undefined || line.includes("node:internal")) continue;
    const file = frame[1].split("?")[0] ?? frame[1];
    const url = file.startsWith("file:") ? file : `file://${file}`;
    if (isOwn(url)) continue;
    return `${decodeURI(url.slice("file://".length))}:${frame[2]}`;
  }
  return undefined;
}

/** Keys of `value` that are given. Definitions leave out what was not said. */
export function given<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };
}
