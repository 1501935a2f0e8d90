import { ApiError } from "../platform/index.js";

/** Errors by the codes that MLflow's clients know. */
export const invalidValue = (message: string): ApiError => new ApiError(400, "INVALID_PARAMETER_VALUE", message);
export const exists = (message: string): ApiError => new ApiError(400, "RESOURCE_ALREADY_EXISTS", message);
export const missing = (message: string): ApiError => new ApiError(404, "RESOURCE_DOES_NOT_EXIST", message);
export const wrongState = (message: string): ApiError => new ApiError(400, "INVALID_STATE", message);

const codes: Record<string, string> = {
  INVALID: "INVALID_PARAMETER_VALUE",
  NOT_FOUND: "RESOURCE_DOES_NOT_EXIST",
  CONFLICT: "RESOURCE_CONFLICT",
  UNAUTHENTICATED: "UNAUTHENTICATED",
  FORBIDDEN: "PERMISSION_DENIED",
  TOO_LARGE: "INVALID_PARAMETER_VALUE",
  INTERNAL: "INTERNAL_ERROR",
  UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
};
export const codeFor = (code: string): string => codes[code] ?? code;

/** Whether PostgreSQL refused a row because there is one with its key. */
export const isDuplicate = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "23505";
