/** What the command ends with. */
export const exit = { ok: 0, failed: 1, usage: 2, refused: 3, cancelled: 4 } as const;
export type Exit = (typeof exit)[keyof typeof exit];

/** An error for the person at the terminal: what was wrong and what to do. Nothing else of it is shown. */
export class CliError extends Error {
  override readonly name = "CliError";
  constructor(
    message: string,
    readonly code: Exit = exit.failed,
  ) {
    super(message);
  }
}

/** Nobody answers where the server is to be, or what it answered broke off. */
export class Unreachable extends CliError {}

export function exitCode(error: unknown): number {
  if (error instanceof CliError) return error.code;
  if (named(error, "CommanderError") && "exitCode" in error) return error.exitCode === 0 ? exit.ok : exit.usage;
  // What the server kept in quarantine, as what a check here refuses.
  if (named(error, "ApiError") && "code" in error && error.code === "REFUSED") return exit.refused;
  return exit.failed;
}

/** A line for what was thrown; empty where it was told already. */
export function explain(error: unknown): string {
  if (named(error, "CommanderError")) return "";
  if (!(error instanceof Error)) return String(error);
  const system = systemError(error);
  return system ?? error.message;
}

function named(error: unknown, name: string): error is Error {
  return error instanceof Error && error.constructor.name === name;
}

/** The operating system's errors, in the words of what was tried. `fetch` wraps them as causes. */
function systemError(error: Error): string | undefined {
  const { code, path } = codeOf(error) ?? codeOf(error.cause) ?? {};
  const where = path === undefined ? "" : ` ${path}`;
  switch (code) {
    case "EACCES":
    case "EPERM":
      return `There is no permission for${where === "" ? " that" : where}.`;
    case "EROFS":
      return `The file system of${where} is read-only.`;
    case "ENOSPC":
      return "There is no space left on the disk.";
    case "ENOENT":
      return `There is no${where === "" ? " such file" : where}.`;
    case "ENOTDIR":
      return `A folder is expected${where === "" ? "" : ` at${where}`}.`;
    default:
      return undefined;
  }
}

export function codeOf(error: unknown): { code: string; path?: string } | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  return { code: error.code, ...("path" in error && typeof error.path === "string" ? { path: error.path } : {}) };
}
