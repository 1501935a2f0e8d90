import { Model, ModelVersion, ModelVersionDetail, Page, PageQuery } from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { type Digest, type Http, invalid, notFound, type ObjectStore } from "../platform/index.js";
import { archiveOf } from "./archive.js";
import type { Registry } from "./types.js";

export function registryRoutes(app: Http, registry: Registry, objects: ObjectStore): void {
  const read = { config: { permission: "models:read" as const } };
  const tags = ["models"];
  const ByName = Type.Object({ name: Type.String({ maxLength: 256 }) });
  const ByVersion = Type.Object({ ...ByName.properties, version: Type.Integer({ minimum: 1, maximum: 2_000_000_000 }) });

  app.get("/api/v1/models", { ...read, schema: { tags, response: { 200: Page(Model) } } }, async () => ({ items: await registry.models() }));
  app.get("/api/v1/models/:name", { ...read, schema: { tags, params: ByName, response: { 200: Model } } }, async ({ params }) => registry.model(params.name));
  const VersionsQuery = Type.Object({ ...PageQuery.properties, after: Type.Optional(Type.String({ pattern: "^[0-9]{1,9}$" })) });
  app.get(
    "/api/v1/models/:name/versions",
    { ...read, schema: { tags, params: ByName, querystring: VersionsQuery, response: { 200: Page(ModelVersion) } } },
    async ({ params, query }) => {
      const limit = query.limit ?? 100;
      const items = await registry.versions(params.name, { limit, ...(query.after === undefined ? {} : { before: Number(query.after) }) });
      const last = items.at(-1);
      return { items, ...(last !== undefined && items.length === limit ? { next: String(last.version) } : {}) };
    },
  );
  app.get(
    "/api/v1/models/:name/versions/:version",
    { ...read, schema: { tags, params: ByVersion, response: { 200: ModelVersionDetail } } },
    async ({ params }) => registry.version(params.name, params.version),
  );
  app.get("/api/v1/models/:name/versions/:version/files/*", { ...read, schema: { tags, params: ByVersion } }, async (request, reply) => {
    const wanted = (request.params as { "*"?: string })["*"] ?? "";
    const { files } = await registry.registered(request.params.name, request.params.version);
    const file = files.find((f) => f.path === wanted);
    if (file === undefined) throw notFound("file of this version", wanted);
    const name = (wanted.split("/").at(-1) ?? "file").replaceAll(/[^a-zA-Z0-9._-]/g, "_");
    return reply
      .type("application/octet-stream")
      .header("content-length", file.size)
      .header("content-disposition", `attachment; filename="${name}"`)
      .send(await objects.read(file.digest as Digest));
  });
  // The address ends as the archive's name does: by that clients know what it is.
  app.get(
    "/api/v1/models/:name/versions/:version/archive.tar",
    { ...read, schema: { tags, params: ByVersion, querystring: Type.Object({ triton: Type.Optional(Name) }) } },
    async ({ params, query }, reply) => {
      const { files } = await registry.registered(params.name, params.version);
      const { size, content } = archiveOf(objects, query.triton === undefined ? files : tritonFiles(files, query.triton));
      return reply.type("application/x-tar").header("content-length", size).send(content);
    },
  );
  app.put(
    "/api/v1/models/:name/aliases/:alias",
    {
      config: { permission: "models:write" },
      schema: {
        tags,
        params: Type.Object({ ...ByName.properties, alias: Type.String({ maxLength: 255 }) }),
        body: Type.Object({ version: ByVersion.properties.version }),
        response: { 200: Model },
      },
    },
    async ({ params, body }) => {
      await registry.setAlias(params.name, params.alias, body.version);
      return registry.model(params.name);
    },
  );
}

/** As a model repository of Triton's has it: a folder of the model's name, in it one of the version. */
function tritonFiles<T extends { path: string }>(files: readonly T[], name: string): T[] {
  const found = files.filter((file) => file.path.endsWith(".onnx"));
  const [only] = found.filter((file) => found.length === 1 || file.path === "model.onnx");
  if (only === undefined) throw invalid("The version has no file model.onnx, and not one alone that ends in .onnx.");
  return [{ ...only, path: `${name}/1/model.onnx` }];
}
