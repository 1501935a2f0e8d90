import { Backfill, BackfillItem, BackfillItemQuery, BackfillStart, Page, PageQuery } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import type { Backfills } from "./types.js";

const tags = ["backfills"];
const ById = Type.Object({ id: Type.String({ maxLength: 100 }) });

export function backfillsRoutes(app: Http, backfills: Backfills): void {
  const read = { config: { permission: "backfills:read" as const } };
  const write = { config: { permission: "backfills:write" as const } };
  app.post("/api/v1/backfills", { ...write, schema: { tags, body: BackfillStart, response: { 201: Backfill } } }, async (request, reply) => {
    const started = await backfills.start(request.body, request.principal.name);
    return reply.code(201).header("location", `/api/v1/backfills/${started.id}`).send(started);
  });
  const Query = Type.Object({ ...PageQuery.properties, pipeline: Type.Optional(Type.String({ maxLength: 100 })) });
  app.get("/api/v1/backfills", { ...read, schema: { tags, querystring: Query, response: { 200: Page(Backfill) } } }, async ({ query }) =>
    backfills.list(query),
  );
  app.get("/api/v1/backfills/:id", { ...read, schema: { tags, params: ById, response: { 200: Backfill } } }, async ({ params }) => backfills.get(params.id));
  app.get(
    "/api/v1/backfills/:id/items",
    { ...read, schema: { tags, params: ById, querystring: BackfillItemQuery, response: { 200: Page(BackfillItem) } } },
    async ({ params, query }) => backfills.items(params.id, query),
  );
  for (const act of ["pause", "resume", "cancel", "retry"] as const) {
    app.post(`/api/v1/backfills/:id/${act}`, { ...write, schema: { tags, params: ById, response: { 200: Backfill } } }, async ({ params }) =>
      backfills[act](params.id),
    );
  }
}
