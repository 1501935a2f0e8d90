/** The routes of Feast's feature server, by which its clients know it. */
import { Columns } from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import { plainly } from "./routes.js";
import type { Features } from "./types.js";

const largestBody = 32 * 1024 * 1024;
const schema = { hide: true };
const Read = Type.Object({
  features: Type.Optional(Type.Array(Type.String({ maxLength: 210 }), { maxItems: 1_000 })),
  feature_service: Type.Optional(Type.Union([Type.String({ maxLength: 100 }), Type.Null()])),
  entities: Columns,
  full_feature_names: Type.Optional(Type.Boolean()),
});
const Vector = Type.Object({
  values: Type.Array(Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()])),
  statuses: Type.Array(Type.String()),
  event_timestamps: Type.Array(Type.String()),
});
const Answer = Type.Object({ metadata: Type.Object({ feature_names: Type.Array(Type.String()) }), results: Type.Array(Vector) });
const Push = Type.Object({ push_source_name: Name, df: Columns, to: Type.Optional(Type.String({ maxLength: 40 })) });
const Write = Type.Object({ feature_view_name: Name, df: Columns });
const Materialize = Type.Object({ feature_views: Type.Optional(Type.Union([Type.Array(Name, { maxItems: 1_000 }), Type.Null()])) });

export function feastRoutes(app: Http, { feast }: Features): void {
  const read = { permission: "features:read" as const };
  const write = { permission: "features:write" as const };

  app.post(
    "/get-online-features",
    { ...plainly, config: read, bodyLimit: largestBody, schema: { ...schema, body: Read, response: { 200: Answer } } },
    async (request) => feast.read(request.body, request.moment),
  );
  app.post("/push", { config: write, bodyLimit: largestBody, schema: { ...schema, body: Push } }, async (request, reply) => {
    await feast.push(request.body.push_source_name, request.body.df);
    return reply.send();
  });
  app.post("/write-to-online-store", { config: write, bodyLimit: largestBody, schema: { ...schema, body: Write } }, async (request, reply) => {
    await feast.push(request.body.feature_view_name, request.body.df);
    return reply.send(null);
  });
  // What is missing is brought online; from when to when does not matter, as nothing is brought twice.
  for (const path of ["/materialize", "/materialize-incremental"]) {
    app.post(path, { config: write, schema: { ...schema, body: Materialize } }, async (request, reply) => {
      await feast.materialize(request.body.feature_views ?? undefined);
      return reply.send(null);
    });
  }
}
