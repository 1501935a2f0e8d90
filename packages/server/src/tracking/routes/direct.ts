/** Ways past the server: addresses at which a client sends files to the store itself and takes them from there. */
import type { Protocol } from "../../mlflow/index.js";
import { ApiError, type Permission } from "../../platform/index.js";
import type { Tracking } from "../types.js";

export function directRoutes({ on, scope }: Protocol, _tracking: Tracking): void {
  // Clients know these by their beginnings, and then go through the server.
  const unsupported = (what: string) => async (): Promise<never> => {
    throw new ApiError(
      501,
      "NOT_IMPLEMENTED",
      `${what} is not supported for the current artifact repository: it is a folder of the server. Send and take files through the server.`,
    );
  };
  const download = unsupported("Presigned download");
  const read = { config: { permission: "tracking:read" as Permission }, schema: { hide: true } };
  const write = { config: { permission: "tracking:write" as Permission }, schema: { hide: true } };
  for (const prefix of ["/api", "/ajax-api"]) {
    scope.post(`${prefix}/2.0/mlflow-artifacts/mpu/*`, write, unsupported("Multipart upload"));
    scope.get(`${prefix}/2.0/mlflow-artifacts/presigned/*`, read, download);
  }
  on("POST", "artifacts/presigned-upload-url", "tracking:write", unsupported("Presigned upload"));
  on("POST", "artifacts/presigned-download-url", "tracking:read", download);
}

/** A name for the file that is saved, of the last part of its path. */
export function attachment(path: string): string {
  const name = path.split("/").at(-1) ?? "file";
  const plain = name.replaceAll(/[^a-zA-Z0-9._-]/g, "_");
  const encoded = encodeURIComponent(name).replaceAll(/['()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
  return plain === name ? `attachment; filename="${plain}"` : `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
