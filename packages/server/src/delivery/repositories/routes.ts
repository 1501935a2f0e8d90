import { Build, DeliveryKey, Page, PageQuery, Repository, RepositoryStart } from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { type Http, invalid } from "../../platform/index.js";
import type { Repositories } from "./service.js";

const tags = ["delivery"];
const ByName = Type.Object({ name: Name });
/** Of a webhook's message, which is not read but for its signature. */
const largestMessage = 5 * 1024 ** 2;

export function repositoryRoutes(app: Http, repositories: Repositories): void {
  const read = { config: { permission: "delivery:read" as const } };
  const write = { config: { permission: "delivery:write" as const } };
  // What a repository holds is run on the server's machine.
  const admin = { config: { permission: "delivery:admin" as const } };
  app.get("/api/v1/repositories", { ...read, schema: { tags, response: { 200: Page(Repository) } } }, async () => ({ items: await repositories.list() }));
  app.get("/api/v1/repositories/:name", { ...read, schema: { tags, params: ByName, response: { 200: Repository } } }, async ({ params }) =>
    repositories.get(params.name),
  );
  app.put(
    "/api/v1/repositories/:name",
    { ...admin, schema: { tags, params: ByName, body: RepositoryStart, response: { 200: Repository } } },
    async ({ params, body, principal }) => repositories.set(params.name, body, principal.name),
  );
  app.delete("/api/v1/repositories/:name", { ...admin, schema: { tags, params: ByName, response: { 204: Type.Null() } } }, async ({ params }, reply) => {
    await repositories.delete(params.name);
    return reply.code(204).send(null);
  });
  app.post("/api/v1/repositories/:name/look", { ...write, schema: { tags, params: ByName, response: { 202: Type.Object({}) } } }, async ({ params }, reply) => {
    await repositories.look(params.name);
    return reply.code(202).send({});
  });
  app.get(
    "/api/v1/repositories/:name/builds",
    { ...read, schema: { tags, params: ByName, querystring: PageQuery, response: { 200: Page(Build) } } },
    async ({ params, query }) => repositories.builds(params.name, query),
  );
  app.get("/api/v1/delivery/key", { ...read, schema: { tags, response: { 200: DeliveryKey } } }, async () => repositories.key());

  void app.register(async (plain) => {
    const scope = plain as Http;
    // The signature is of the bytes as they come.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: largestMessage }, (_request, body, done) => done(null, body));
    scope.post(
      "/api/v1/repositories/:name/hook",
      { config: { permission: "public" }, bodyLimit: largestMessage, schema: { tags, params: ByName, response: { 202: Type.Object({}) } } },
      async ({ params, headers, body }, reply) => {
        if (!(body instanceof Buffer)) throw invalid("A webhook's message has a body.");
        await repositories.hear(params.name, headers, body);
        return reply.code(202).send({});
      },
    );
  });
}
