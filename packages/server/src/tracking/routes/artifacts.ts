import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type Body, invalidValue, optional, type Protocol, text } from "../../mlflow/index.js";
import { ApiError, type Http, type Permission } from "../../platform/index.js";
import { type ArtifactEntry, type ArtifactFile, artifactPath } from "../artifacts.js";
import type { Tracking } from "../types.js";
import { attachment, directRoutes } from "./direct.js";
import { runId } from "./runs.js";

export function artifactRoutes({ on, scope }: Protocol, tracking: Tracking): void {
  const { artifacts } = tracking;
  /** Entries by paths from the root of the run or model, as MLflow answers them. */
  async function listed(root: string, given: string | undefined): Promise<{ root_uri: string; files: ArtifactEntry[] }> {
    const path = storage(root);
    const below = given?.replace(/\/+$/, "");
    if (below === undefined || below === "") return { root_uri: root, files: await artifacts.list(path) };
    const entries = await artifacts.list(`${path}/${below}`);
    return { root_uri: root, files: entries.map((entry) => ({ ...entry, path: `${below}/${entry.path}` })) };
  }
  on("GET", "artifacts/list", "tracking:read", async (given) => listed((await tracking.runInfo(runId(given))).artifact_uri, optional(given, "path")));
  on("GET", "logged-models/:model_id/artifacts/directories", "tracking:read", async (given) =>
    listed((await tracking.model(text(given, "model_id"))).artifact_location, optional(given, "artifact_directory_path")),
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
      raw.get(base, read, async (request) => ({ files: await artifacts.list(optional(request.query as Body, "path") ?? "") }));
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
  directRoutes({ on, scope }, tracking);

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
function storage(uri: string): string {
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
