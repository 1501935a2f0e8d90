import type { IncomingMessage } from "node:http";
import { Dataset, DatasetVersion, DatasetVersionDetail, Page, PageQuery } from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import { type DatasetsService, largestFile } from "./service.js";

export function datasetsRoutes(app: Http, datasets: DatasetsService): void {
  const read = { config: { permission: "datasets:read" as const } };
  const tags = ["datasets"];
  const ByName = Type.Object({ name: Name });
  app.get("/api/v1/datasets", { ...read, schema: { tags, response: { 200: Page(Dataset) } } }, async () => ({ items: await datasets.list() }));
  app.get("/api/v1/datasets/:name", { ...read, schema: { tags, params: ByName, response: { 200: Dataset } } }, async ({ params }) => datasets.get(params.name));
  const status = Type.Optional(Type.Union([Type.Literal("accepted"), Type.Literal("quarantined")]));
  const VersionsQuery = Type.Object({ ...PageQuery.properties, status, after: Type.Optional(Type.String({ pattern: "^[0-9]{1,9}$" })) });
  app.get(
    "/api/v1/datasets/:name/versions",
    { ...read, schema: { tags, params: ByName, querystring: VersionsQuery, response: { 200: Page(DatasetVersion) } } },
    async ({ params, query }) => datasets.versions(params.name, { status: query.status, after: query.after, limit: query.limit ?? 100 }),
  );
  const ByVersion = Type.Object({ name: Name, version: Type.Integer({ minimum: 1, maximum: 2_000_000_000 }) });
  app.get(
    "/api/v1/datasets/:name/versions/:version",
    { ...read, schema: { tags, params: ByVersion, response: { 200: DatasetVersionDetail } } },
    async ({ params }) => datasets.version(params.name, params.version),
  );

  const ByFile = Type.Object({ name: Name, file: Type.String({ pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$" }) });
  void app.register(async (plain) => {
    const scope: Http = plain as Http;
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    scope.put(
      "/api/v1/datasets/:name/files/:file",
      {
        config: { permission: "datasets:write" },
        bodyLimit: largestFile,
        schema: { tags, params: ByFile, response: { 201: DatasetVersion } },
      },
      async (request, reply) => {
        const body = request.body as IncomingMessage | undefined;
        const version = await datasets.put(request.params.name, request.params.file, body ?? Buffer.alloc(0));
        return reply.code(201).send(version);
      },
    );
  });
}
