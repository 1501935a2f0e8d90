/** An error for the person who asked: what was wrong and what would be right. Anything else that is thrown is ours, and answers 500. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    readonly status: 400 | 401 | 403 | 404 | 409 | 411 | 412 | 413 | 415 | 416 | 422 | 429 | 499 | 501 | 503 | 504 | 507,
    /** Stable, upper case: clients decide by it. */
    readonly code: string,
    message: string,
    readonly details?: unknown,
  ) {
    super(message);
  }
}

export const invalid = (message: string, details?: unknown): ApiError => new ApiError(400, "INVALID", message, details);
export const notFound = (what: string, name: string): ApiError => new ApiError(404, "NOT_FOUND", `There is no ${what} "${name}".`);
export const conflict = (message: string, details?: unknown): ApiError => new ApiError(409, "CONFLICT", message, details);

/** For what names something that may be gone by now: undefined in place of a 404. */
export async function orNone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** Why the server can't start, for whoever starts it: the message says what to do. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** The operating system's refusal to write to the data folder, told as one; any other error as it is. */
export function dataFolderError(error: unknown, folder: string): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const choose = "Choose another with --data-dir.";
  switch (code) {
    case "EACCES":
    case "EPERM":
      return new StartError(`The data folder ${folder} can't be written: this user may not. ${choose}`);
    case "EROFS":
      return new StartError(`The data folder ${folder} can't be written: its file system is read-only. ${choose}`);
    case "ENOSPC":
    case "EDQUOT":
      return new StartError(`There is no space left for the data folder ${folder}. Free some, then start again.`);
    case "ENOTDIR":
    case "EEXIST":
      return new StartError(`The data folder ${folder} is no folder. ${choose}`);
    case "ENOENT":
      return new StartError(`The data folder ${folder} can't be made there. ${choose}`);
    default:
      return error;
  }
}
