import { Page, PageQuery, SweepDetail, SweepPlots, SweepRun, SweepStart } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import type { Sweeps } from "./types.js";

const tags = ["sweeps"];
const ById = Type.Object({ id: Type.String({ maxLength: 100 }) });

export function sweepsRoutes(app: Http, sweeps: Sweeps): void {
  const read = { config: { permission: "sweeps:read" as const } };
  const write = { config: { permission: "sweeps:write" as const } };
  app.post("/api/v1/sweeps", { ...write, schema: { tags, body: SweepStart, response: { 201: SweepRun } } }, async (request, reply) => {
    const started = await sweeps.start(request.body, request.principal.name);
    return reply.code(201).header("location", `/api/v1/sweeps/${started.id}`).send(started);
  });
  const Query = Type.Object({ ...PageQuery.properties, pipeline: Type.Optional(Type.String({ maxLength: 100 })) });
  app.get("/api/v1/sweeps", { ...read, schema: { tags, querystring: Query, response: { 200: Page(SweepRun) } } }, async ({ query }) => sweeps.list(query));
  app.get("/api/v1/sweeps/:id", { ...read, schema: { tags, params: ById, response: { 200: SweepDetail } } }, async ({ params }) => sweeps.get(params.id));
  app.get("/api/v1/sweeps/:id/plots", { ...read, schema: { tags, params: ById, response: { 200: SweepPlots } } }, async ({ params }) =>
    sweeps.plots(params.id),
  );
  for (const act of ["pause", "resume", "cancel"] as const) {
    app.post(`/api/v1/sweeps/:id/${act}`, { ...write, schema: { tags, params: ById, response: { 200: SweepRun } } }, async ({ params }) =>
      sweeps[act](params.id),
    );
  }
}
