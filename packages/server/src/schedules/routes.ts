import { Page, PageQuery, Schedule, ScheduleCreate, ScheduleEdit, ScheduleFiring, ScheduleMoment } from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import type { Schedules } from "./types.js";

const tags = ["schedules"];
const ByName = Type.Object({ name: Name });

export function schedulesRoutes(app: Http, schedules: Schedules): void {
  const read = { config: { permission: "schedules:read" as const } };
  const write = { config: { permission: "schedules:write" as const } };
  const answer = { 200: Schedule };
  app.get("/api/v1/schedules", { ...read, schema: { tags, response: { 200: Page(Schedule) } } }, async () => ({ items: await schedules.schedules() }));
  app.post("/api/v1/schedules", { ...write, schema: { tags, body: ScheduleCreate, response: { 201: Schedule } } }, async (request, reply) => {
    const made = await schedules.create(request.body, request.principal.name);
    return reply.code(201).header("location", `/api/v1/schedules/${made.name}`).send(made);
  });
  app.get("/api/v1/schedules/:name", { ...read, schema: { tags, params: ByName, response: answer } }, async ({ params }) => schedules.schedule(params.name));
  app.patch("/api/v1/schedules/:name", { ...write, schema: { tags, params: ByName, body: ScheduleEdit, response: answer } }, async (request) =>
    schedules.edit(request.params.name, request.body, request.principal.name),
  );
  app.delete("/api/v1/schedules/:name", { ...write, schema: { tags, params: ByName, response: answer } }, async ({ params }) => schedules.delete(params.name));
  for (const act of ["pause", "resume", "reset"] as const) {
    app.post(`/api/v1/schedules/:name/${act}`, { ...write, schema: { tags, params: ByName, response: answer } }, async ({ params, principal }) =>
      act === "reset" ? schedules.reset(params.name, principal.name) : schedules.setPaused(params.name, act === "pause", principal.name),
    );
  }
  app.post("/api/v1/schedules/:name/fire", { ...write, schema: { tags, params: ByName, response: { 200: ScheduleFiring } } }, async ({ params, principal }) =>
    schedules.fire(params.name, principal.name),
  );
  const Count = Type.Object({ count: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })) });
  app.get(
    "/api/v1/schedules/:name/next",
    { ...read, schema: { tags, params: ByName, querystring: Count, response: { 200: Page(ScheduleMoment) } } },
    async ({ params, query }) => ({ items: await schedules.next(params.name, query.count ?? 10) }),
  );
  app.get(
    "/api/v1/schedules/:name/firings",
    { ...read, schema: { tags, params: ByName, querystring: PageQuery, response: { 200: Page(ScheduleFiring) } } },
    async ({ params, query }) => schedules.firings(params.name, query),
  );
}
