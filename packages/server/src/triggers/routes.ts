import { Firing, Page, Trigger } from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import type { Triggers } from "./types.js";

const tags = ["triggers"];
const ByName = Type.Object({ name: Name });

export function triggersRoutes(app: Http, triggers: Triggers): void {
  const read = { config: { permission: "triggers:read" as const } };
  const write = { config: { permission: "triggers:write" as const } };
  app.get("/api/v1/triggers", { ...read, schema: { tags, response: { 200: Page(Trigger) } } }, async () => ({ items: await triggers.triggers() }));
  app.get("/api/v1/triggers/:name", { ...read, schema: { tags, params: ByName, response: { 200: Trigger } } }, async ({ params }) =>
    triggers.trigger(params.name),
  );
  const Limited = Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })) });
  app.get(
    "/api/v1/triggers/:name/firings",
    { ...read, schema: { tags, params: ByName, querystring: Limited, response: { 200: Page(Firing) } } },
    async ({ params, query }) => ({ items: await triggers.firings(params.name, query.limit ?? 100) }),
  );
  for (const act of ["pause", "resume"] as const) {
    app.post(`/api/v1/triggers/:name/${act}`, { ...write, schema: { tags, params: ByName, response: { 200: Trigger } } }, async (request) =>
      triggers.setPaused(request.params.name, act === "pause"),
    );
  }
}
