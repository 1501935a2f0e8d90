import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type Body, invalidValue, nextPage, optional, type Protocol, text } from "../../mlflow/index.js";
import { ApiError, type Http, type Permission } from "../../platform/index.js";
import { type ArtifactFile, artifactPath } from "../artifacts.js";
import type { Tracking } from "../types.js";
import { runId } from "./runs.js";

export function artifactRoutes({ on, scope }: Protocol, tracking: Tracking): void {
  const { artifacts } = tracking;
  /** Entries by paths from the root of the run or model, as MLflow answers them. A folder with very many comes in pages. */
  async function listed(root: string, given: string | undefined, token: string | undefined) {
    const path = storage(root);
    const below = given?.replace(/\/+$/, "") ?? "";
    const { entries, next } = await artifacts.list(below === "" ? path : `${path}/${below}`, { after: fromToken(token) });
    const files = below === "" ? entries : entries.map((entry) => ({ ...entry, path: `${below}/${entry.path}` }));
    return { root_uri: root, files, ...nextPage(next && Buffer.from(next).toString("base64url")) };
  }
  const pageToken = (given: Body) => optional(given, "page_token");
  on("GET", "artifacts/list", "tracking:read", async (given) =>
    listed((await tracking.runInfo(runId(given))).artifact_uri, optional(given, "path"), pageToken(given)),
  );
  on("GET", "logged-models/:model_id/artifacts/directories", "tracking:read", async (given) =>
    listed((await tracking.model(text(given, "model_id"))).artifact_location, optional(given, "artifact_directory_path"), pageToken(given)),
  );

  const hide = { schema: { hide: true } };
  const read = { config: { permission: "tracking:read" as Permission }, ...hide };
  const write = { config: { permission: "tracking:write" as Permission }, bodyLimit: Number.MAX_SAFE_INTEGER, ...hide };
  void scope.register(async (plain) => {
    const raw = plain as Http;
    raw.removeAllContentTypeParsers();
    raw.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    for (const prefix of ["/api", "/ajax-api"]) {
      const base = `${prefix}/2.0/mlflow-artifacts/artifacts`;
      raw.get(base, read, async (request) => ({ files: (await artifacts.list(optional(request.query as Body, "path") ?? "")).entries }));
      raw.put(`${base}/*`, write, async (request) => {
        const body = request.body as typeof request.raw | undefined | null;
        await artifacts.put(wildcard(request), body ?? request.raw);
        return {};
      });
      raw.get(`${base}/*`, read, async (request, reply) => send(request, reply, await artifacts.find(wildcard(request))));
      raw.delete(`${base}/*`, write, async (request) => {
        await artifacts.remove(wildcard(request));
        return {};
      });
    }
    raw.get("/get-artifact", read, async (request, reply) => {
      const given = request.query as Body;
      const { artifact_uri: root } = await tracking.runInfo(runId(given));
      return send(request, reply, await artifacts.find(`${storage(root)}/${text(given, "path")}`));
    });
  });

  /** A browser shows none of it: an artifact is whatever a client has put there. */
  async function send(request: FastifyRequest, reply: FastifyReply, file: ArtifactFile): Promise<FastifyReply> {
    const { headers, method } = request;
    const tag = `"${file.digest.replace("sha256:", "")}"`;
    void reply
      .type("application/octet-stream")
      .header("etag", tag)
      .header("accept-ranges", "bytes")
      .header("x-content-type-options", "nosniff")
      .header("content-disposition", attachment(file.path));
    if (matches(headers["if-none-match"], tag)) return reply.code(304).send();
    // A part of what has changed meanwhile would not fit to what the client has.
    const range = headers["if-range"] === undefined || headers["if-range"] === tag ? rangeOf(headers.range, file.size) : undefined;
    if (range === "unsatisfiable") {
      void reply.header("content-range", `bytes */${file.size}`);
      throw new ApiError(416, "INVALID_PARAMETER_VALUE", `The file has ${file.size} bytes.`);
    }
    if (range !== undefined) void reply.code(206).header("content-range", `bytes ${range.start}-${range.end}/${file.size}`);
    void reply.header("content-length", range === undefined ? file.size : range.end - range.start + 1);
    // Of another kind of nothing the length would be told as 0.
    return reply.send(method === "HEAD" ? Readable.from([]) : await artifacts.read(file, range));
  }
}

const wildcard = (request: FastifyRequest): string => (request.params as { "*": string })["*"];
function fromToken(token: string | undefined): string | undefined {
  if (token === undefined || token === "") return undefined;
  const after = Buffer.from(token, "base64url").toString();
  if (Buffer.from(after).toString("base64url") !== token) throw invalidValue("Invalid page_token: pass on the next_page_token of the last answer.");
  return after;
}
export function storage(uri: string): string {
  const path = artifactPath(uri);
  if (path === undefined) throw invalidValue(`The artifacts at '${uri}' are not kept by this server.`);
  return path;
}
/** One range of bytes; several at once are answered as the whole. */
function rangeOf(header: string | undefined, size: number): { start: number; end: number } | "unsatisfiable" | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) return undefined;
  const [from, to] = [match[1] ?? "", match[2] ?? ""];
  if (from !== "" && to !== "" && Number(from) > Number(to)) return undefined;
  const start = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1);
  return start > end ? "unsatisfiable" : { start, end };
}
const matches = (header: string | undefined, tag: string): boolean =>
  (header?.split(",") ?? []).some((one) => one.trim() === "*" || one.trim().replace(/^W\//, "") === tag);

/** A name for the file that is saved, of the last part of its path. */
export function attachment(path: string): string {
  const name = path.split("/").at(-1) ?? "file";
  const plain = name.replaceAll(/[^a-zA-Z0-9._-]/g, "_");
  const encoded = encodeURIComponent(name).replaceAll(/['()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
  return plain === name ? `attachment; filename="${plain}"` : `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
