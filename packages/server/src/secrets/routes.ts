import { Page, Secret, SecretName, SecretValue } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import type { Secrets } from "./types.js";

const Params = Type.Object({ name: SecretName });

export function secretsRoutes(app: Http, secrets: Secrets): void {
  const tags = ["secrets"];
  const config = { permission: "secrets:admin" } as const;
  app.get("/api/v1/secrets", { config, schema: { tags, response: { 200: Page(Secret) } } }, async () => ({ items: await secrets.list() }));
  app.put("/api/v1/secrets/:name", { config, schema: { tags, params: Params, body: SecretValue, response: { 200: Secret } } }, async (request) =>
    secrets.set(request.params.name, request.body.value, request.principal.name),
  );
  app.delete("/api/v1/secrets/:name", { config, schema: { tags, params: Params, response: { 204: Type.Null() } } }, async (request, reply) => {
    await secrets.delete(request.params.name);
    return reply.code(204).send(null);
  });
}
