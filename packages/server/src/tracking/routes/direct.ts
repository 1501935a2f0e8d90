/** Ways past the server: addresses at which a client sends files to the store itself and takes them from there. */
import type { FastifyRequest } from "fastify";
import { asBody, type Body, invalidValue, list, optional, optionalNumber, type Protocol, text } from "../../mlflow/index.js";
import { ApiError, type Digest, type Permission } from "../../platform/index.js";
import type { Tracking } from "../types.js";
import type { Uploads } from "../uploads.js";
import { attachment, storage } from "./artifacts.js";
import { runId } from "./runs.js";

/** MLflow's own. */
const seconds = { upload: 900, download: 300, most: 604_800 };

export function directRoutes({ on, scope }: Protocol, tracking: Tracking): void {
  const { artifacts } = tracking;
  /** Clients know the answer by its beginning, and then go through the server. */
  function uploads(what: string): Uploads {
    if (artifacts.uploads !== undefined) return artifacts.uploads;
    throw new ApiError(501, "NOT_IMPLEMENTED", `${what} is not supported for the current artifact repository: send and take files through the server.`);
  }
  const read = { config: { permission: "tracking:read" as Permission }, schema: { hide: true } };
  const write = { config: { permission: "tracking:write" as Permission }, schema: { hide: true }, bodyLimit: 8 * 1024 * 1024 };
  const multipart = "Multipart upload";
  const presigned = "Presigned download";

  for (const prefix of ["/api", "/ajax-api"]) {
    const base = `${prefix}/2.0/mlflow-artifacts`;
    scope.post(`${base}/mpu/create/*`, write, async (request) => {
      const to = uploads(multipart);
      const { path, given } = target(request);
      artifacts.checkWritable(path);
      const { id, addresses } = await to.begin(path, optionalNumber(given, "num_parts") ?? 1);
      return { upload_id: id, credentials: addresses.map((url, at) => ({ url, part_number: at + 1, headers: {} })) };
    });
    scope.post(`${base}/mpu/complete/*`, write, async (request) => {
      const to = uploads(multipart);
      const { path, given } = target(request);
      const parts = list(given, "parts").map((part) => ({ number: optionalNumber(part, "part_number") ?? 0, tag: text(part, "etag") }));
      if (parts.length === 0) throw invalidValue("Missing value for required parameter 'parts'.");
      await to.complete(path, text(given, "upload_id"), parts);
      return {};
    });
    scope.post(`${base}/mpu/abort/*`, write, async (request) => {
      const to = uploads(multipart);
      const { path, given } = target(request);
      await to.abort(path, text(given, "upload_id"));
      return {};
    });
    scope.get(`${base}/presigned/*`, read, async (request) => {
      const from = uploads(presigned);
      const { url, size } = await download(from, (request.params as { "*": string })["*"], seconds.download);
      return { url, headers: {}, file_size: size };
    });
  }
  on("POST", "artifacts/presigned-upload-url", "tracking:write", async (given) => {
    const to = uploads("Presigned upload");
    const [run, model] = [optional(given, "run_id") ?? "", optional(given, "model_id") ?? ""];
    if ((run === "") === (model === "")) throw invalidValue("Exactly one of run_id and model_id must be provided.");
    const root = run === "" ? (await tracking.model(model)).artifact_location : (await tracking.runInfo(run)).artifact_uri;
    const path = `${storage(root)}/${text(given, "path")}`;
    artifacts.checkWritable(path);
    return { presigned_url: await to.address(path, lasting(given, seconds.upload)), headers: {} };
  });
  on("POST", "artifacts/presigned-download-url", "tracking:read", async (given) => {
    const from = uploads(presigned);
    const { artifact_uri: root } = await tracking.runInfo(runId(given));
    const { url, size } = await download(from, `${storage(root)}/${text(given, "path")}`, lasting(given, seconds.download));
    return { presigned_url: url, headers: {}, file_size: size };
  });

  async function download(from: Uploads, path: string, lasts: number): Promise<{ url: string; size: number }> {
    const file = await artifacts.find(path);
    return { url: await from.downloadAddress(file.digest as Digest, lasts, attachment(path)), size: file.size };
  }
}

/** Clients tell the folder in the address, and in the body the path of the file on their machine, of which the name counts. */
function target(request: FastifyRequest): { path: string; given: Body } {
  const given = asBody(request.body);
  const folder = (request.params as { "*": string })["*"];
  const name = text(given, "path").split(/[\\/]/).at(-1) ?? "";
  return { path: folder === "" ? name : `${folder}/${name}`, given };
}
function lasting(given: Body, usual: number): number {
  const asked = optionalNumber(given, "expiration") ?? usual;
  if (asked < 1 || asked > seconds.most) throw invalidValue(`expiration must be between 1 and ${seconds.most} seconds (got ${asked}).`);
  return asked;
}
