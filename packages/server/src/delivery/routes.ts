import { Page, Release, ReleaseCheckStart, ReleaseDetail, ReleaseQuery, ReleaseStart, Signature, SignatureStart } from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import type { Delivery } from "./service.js";

const tags = ["delivery"];
const read = { config: { permission: "delivery:read" as const } };
const write = { config: { permission: "delivery:write" as const } };
/** Whole, or a beginning that no other has. */
const ByRelease = Type.Object({ digest: Type.String({ pattern: "^sha256:[0-9a-f]{6,64}$" }) });
const ByVersion = Type.Object({ name: Type.String({ maxLength: 256 }), version: Type.Integer({ minimum: 1, maximum: 2_000_000_000 }) });

export function deliveryRoutes(app: Http, { releases }: Delivery): void {
  app.get("/api/v1/releases", { ...read, schema: { tags, querystring: ReleaseQuery, response: { 200: Page(Release) } } }, async ({ query }) =>
    releases.list(query),
  );
  app.post("/api/v1/releases", { ...write, schema: { tags, body: ReleaseStart, response: { 201: Release } } }, async (request, reply) => {
    const made = await releases.add(request.body, request.principal.name);
    return reply.code(201).header("location", `/api/v1/releases/${made.digest}`).send(made);
  });
  app.get("/api/v1/releases/:digest", { ...read, schema: { tags, params: ByRelease, response: { 200: ReleaseDetail } } }, async ({ params }) =>
    releases.release(params.digest),
  );
  app.post(
    "/api/v1/releases/:digest/signatures",
    { ...write, schema: { tags, params: ByRelease, body: SignatureStart, response: { 200: Release } } },
    async ({ params, body, principal }) => releases.sign(params.digest, body.signature, principal.name),
  );
  app.post(
    "/api/v1/releases/:digest/checks",
    { ...write, schema: { tags, params: ByRelease, body: ReleaseCheckStart, response: { 200: ReleaseDetail } } },
    async ({ params, body, principal }) => releases.check(params.digest, body, principal.name),
  );
  app.get(
    "/api/v1/models/:name/versions/:version/signatures",
    { ...read, schema: { tags, params: ByVersion, response: { 200: Page(Signature) } } },
    async ({ params }) => ({ items: await releases.modelSignatures(params.name, params.version) }),
  );
  app.post(
    "/api/v1/models/:name/versions/:version/signatures",
    { ...write, bodyLimit: 2 * 1024 ** 2, schema: { tags, params: ByVersion, body: SignatureStart, response: { 200: Page(Signature) } } },
    async ({ params, body, principal }) => ({ items: await releases.signModel(params.name, params.version, body.signature, principal.name) }),
  );
}
