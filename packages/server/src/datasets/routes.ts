import type { IncomingMessage } from "node:http";
import {
  Dataset,
  DatasetComing,
  DatasetDiff,
  DatasetPartition,
  DatasetVersion,
  DatasetVersionDetail,
  IngestionStart,
  Page,
  PageQuery,
  RowsReceipt,
  SplitAnswer,
  SplitStart,
} from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { type Http, invalid } from "../platform/index.js";
import { largestPush } from "./push.js";
import { readTypes } from "./read.js";
import { type DatasetsService, largestFile } from "./service.js";

export function datasetsRoutes(app: Http, datasets: DatasetsService): void {
  const read = { config: { permission: "datasets:read" as const } };
  const write = { config: { permission: "datasets:write" as const } };
  const tags = ["datasets"];
  const ByName = Type.Object({ name: Name });
  app.get("/api/v1/datasets", { ...read, schema: { tags, response: { 200: Page(Dataset) } } }, async () => ({ items: await datasets.list() }));
  app.get("/api/v1/datasets/:name", { ...read, schema: { tags, params: ByName, response: { 200: Dataset } } }, async ({ params }) => datasets.get(params.name));
  app.get("/api/v1/datasets/:name/coming", { ...read, schema: { tags, params: ByName, response: { 200: DatasetComing } } }, async ({ params }) =>
    datasets.coming(params.name),
  );
  const status = Type.Optional(Type.Union([Type.Literal("accepted"), Type.Literal("quarantined")]));
  const VersionsQuery = Type.Object({ ...PageQuery.properties, status, after: Type.Optional(Type.String({ pattern: "^[0-9]{1,9}$" })) });
  app.get(
    "/api/v1/datasets/:name/versions",
    { ...read, schema: { tags, params: ByName, querystring: VersionsQuery, response: { 200: Page(DatasetVersion) } } },
    async ({ params, query }) => datasets.versions(params.name, { status: query.status, after: query.after, limit: query.limit ?? 100 }),
  );
  const Version = Type.Integer({ minimum: 1, maximum: 2_000_000_000 });
  const ByVersion = Type.Object({ name: Name, version: Version });
  app.get(
    "/api/v1/datasets/:name/versions/:version",
    { ...read, schema: { tags, params: ByVersion, response: { 200: DatasetVersionDetail } } },
    async ({ params }) => datasets.version(params.name, params.version),
  );
  const AsOf = Type.Object({ at: Type.String({ maxLength: 40, description: "A moment in ISO 8601; one without a zone is in UTC." }) });
  app.get(
    "/api/v1/datasets/:name/as-of",
    { ...read, schema: { tags, params: ByName, querystring: AsOf, response: { 200: DatasetVersionDetail } } },
    async ({ params, query }) => datasets.asOf(params.name, moment(query.at)),
  );
  app.get(
    "/api/v1/datasets/:name/versions/:version/partitions",
    { ...read, schema: { tags, params: ByVersion, response: { 200: Page(DatasetPartition) } } },
    async ({ params }) => ({ items: await datasets.partitions(params.name, params.version) }),
  );
  const format = Type.Union([Type.Literal("parquet"), Type.Literal("csv"), Type.Literal("jsonl")]);
  const DataQuery = Type.Object({ format: Type.Optional(format), partition: Type.Optional(Type.String({ maxLength: 4_000 })) });
  app.get(
    "/api/v1/datasets/:name/versions/:version/data",
    { ...read, schema: { tags, params: ByVersion, querystring: DataQuery, description: "All rows, or those of one partition, in one file." } },
    async ({ params, query }, reply) => {
      const wanted = query.format ?? "parquet";
      const stream = await datasets.read(await datasets.version(params.name, params.version), { format: wanted, partition: query.partition });
      return reply.type(readTypes[wanted]).send(stream);
    },
  );
  const ByPart = Type.Object({ name: Name, version: Version, digest: Type.String({ pattern: "^sha256:[0-9a-f]{64}$" }) });
  app.get(
    "/api/v1/datasets/:name/versions/:version/parts/:digest",
    { ...read, schema: { tags, params: ByPart, description: "One part, as Parquet." } },
    async ({ params }, reply) => {
      const { stream, size } = await datasets.part(await datasets.version(params.name, params.version), params.digest);
      return reply.type(readTypes.parquet).header("content-length", size).send(stream);
    },
  );
  app.post(
    "/api/v1/datasets/:name/versions/:version/splits",
    { ...write, schema: { tags, params: ByVersion, body: SplitStart, response: { 200: SplitAnswer } } },
    async ({ params, body }) => datasets.split(await datasets.version(params.name, params.version), body),
  );
  const DiffQuery = Type.Object({ from: Version, to: Version, statistics: Type.Optional(Type.Boolean()) });
  app.get(
    "/api/v1/datasets/:name/diff",
    { ...read, schema: { tags, params: ByName, querystring: DiffQuery, response: { 200: DatasetDiff } } },
    async ({ params, query }) => datasets.diff(params.name, query.from, query.to, query.statistics !== false),
  );
  app.post(
    "/api/v1/datasets/:name/ingestions",
    { ...write, schema: { tags, params: ByName, body: IngestionStart, response: { 201: DatasetVersion } } },
    async (request, reply) => reply.code(201).send(await datasets.ingest(request.params.name, request.body, request.principal.name)),
  );
  app.post(
    "/api/v1/datasets/:name/flush",
    { ...write, schema: { tags, params: ByName, response: { 200: Type.Object({ version: Type.Union([DatasetVersion, Type.Null()]) }) } } },
    async ({ params }) => ({ version: (await datasets.flush(params.name)) ?? null }),
  );

  const ByFile = Type.Object({ name: Name, file: Type.String({ pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$" }) });
  void app.register(async (plain) => {
    const scope: Http = plain as Http;
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    const bytes = { config: { permission: "datasets:write" as const }, bodyLimit: largestFile };
    scope.put(
      "/api/v1/datasets/:name/files/:file",
      { ...bytes, schema: { tags, params: ByFile, response: { 201: DatasetVersion } } },
      async (request, reply) => {
        const body = request.body as IncomingMessage | undefined;
        const version = await datasets.put(request.params.name, request.params.file, body ?? Buffer.alloc(0), request.principal.name);
        return reply.code(201).send(version);
      },
    );
    const Stored = Type.Object({ digest: Type.String(), size: Type.Integer() });
    scope.post("/api/v1/datasets/:name/uploads", { ...bytes, schema: { tags, params: ByName, response: { 201: Stored } } }, async (request, reply) => {
      const body = request.body as IncomingMessage | undefined;
      return reply.code(201).send(await datasets.upload(request.params.name, body ?? Buffer.alloc(0)));
    });
  });
  void app.register(async (plain) => {
    const scope: Http = plain as Http;
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: largestPush }, (_request, payload, done) => done(null, payload));
    scope.post(
      "/api/v1/datasets/:name/rows",
      {
        ...write,
        bodyLimit: largestPush,
        schema: {
          tags,
          params: ByName,
          querystring: Type.Object({
            online: Type.Optional(Type.Boolean({ description: "Also put the rows online, into the feature views that take the dataset's rows as they are." })),
          }),
          headers: Type.Object({ "idempotency-key": Type.Optional(Type.String({ minLength: 1, maxLength: 200 })) }),
          response: { 202: RowsReceipt },
          description:
            "JSON lines, or an array of objects. Durable when answered; with an Idempotency-Key it can be sent again. With online=true, which takes the permission features:write too, every read of features that begins after the answer counts the rows.",
        },
      },
      async (request, reply) => {
        const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
        const { online } = request.query;
        if (online === true) await request.demand("features:write");
        const sent = { body, key: request.headers["idempotency-key"], by: request.principal.name, online };
        const receipt = await datasets.push(request.params.name, sent);
        return reply.code(202).send(receipt);
      },
    );
  });
}

function moment(text: string): Date {
  const zoned = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?$/.test(text) ? `${text.replace(" ", "T")}Z` : text;
  const at = new Date(zoned);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(at.getTime())) throw invalid(`"${text}" is no moment: write it as 2013-03-01T12:00:00Z.`);
  return at;
}
