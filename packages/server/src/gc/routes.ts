import { Collection, CollectionStart, Page, PageQuery } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import { type Http, invalid } from "../platform/index.js";
import type { Gc } from "./types.js";

export function gcRoutes(app: Http, gc: Gc): void {
  const tags = ["gc"];
  app.post(
    "/api/v1/gc",
    { config: { permission: "gc:admin" }, schema: { tags, body: CollectionStart, response: { 202: Collection } } },
    async ({ body, principal }, reply) => reply.code(202).send(await gc.start(body, principal.name)),
  );
  app.get(
    "/api/v1/gc",
    { config: { permission: "gc:admin" }, schema: { tags, querystring: PageQuery, response: { 200: Page(Collection) } } },
    async ({ query: { limit = 100, after } }) => {
      if (after !== undefined && !/^[0-9]{1,15}$/.test(after)) throw invalid("`after` is not of an answer of this route: pass on the `next` of the last one.");
      const items = await gc.list({ limit: limit + 1, before: after === undefined ? undefined : Number(after) });
      const last = items.length > limit ? items[limit - 1] : undefined;
      return { items: items.slice(0, limit), ...(last === undefined ? {} : { next: last.id }) };
    },
  );
  app.get(
    "/api/v1/gc/:id",
    { config: { permission: "gc:admin" }, schema: { tags, params: Type.Object({ id: Type.String() }), response: { 200: Collection } } },
    async ({ params }) => gc.get(params.id),
  );
}
