/** An error for the person who asked: what was wrong and what would be right. Anything else that is thrown is ours, and answers 500. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    readonly status: 400 | 401 | 403 | 404 | 409 | 411 | 412 | 413 | 415 | 416 | 422 | 429 | 501 | 503 | 507,
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
