import {
  Deployed,
  Environment,
  Page,
  Promotion,
  PromotionAnswer,
  PromotionDetail,
  PromotionQuery,
  PromotionStart,
  Release,
  ReleaseCheckStart,
  ReleaseDeploy,
  ReleaseDetail,
  ReleaseQuery,
  ReleaseStart,
  RollbackStart,
  Signature,
  SignatureStart,
  VersionDeploy,
} from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import type { Http } from "../platform/index.js";
import { repositoryRoutes } from "./repositories/routes.js";
import type { Delivery } from "./service.js";

const tags = ["delivery"];
const read = { config: { permission: "delivery:read" as const } };
const write = { config: { permission: "delivery:write" as const } };
/** Whole, or a beginning that no other has. */
const ByRelease = Type.Object({ digest: Type.String({ pattern: "^sha256:[0-9a-f]{6,64}$" }) });
const ByVersion = Type.Object({ name: Type.String({ maxLength: 256 }), version: Type.Integer({ minimum: 1, maximum: 2_000_000_000 }) });

export function deliveryRoutes(app: Http, delivery: Delivery): void {
  releaseRoutes(app, delivery);
  promotionRoutes(app, delivery);
  repositoryRoutes(app, delivery.repositories);
}

function releaseRoutes(app: Http, { releases, deploy }: Delivery): void {
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
  app.post(
    "/api/v1/releases/:digest/deploy",
    { ...write, schema: { tags, params: ByRelease, body: ReleaseDeploy, response: { 200: Deployed } } },
    async (request) => {
      await request.demand("projects:write");
      return deploy.release(await releases.release(request.params.digest), request.principal.name, request.body.reason);
    },
  );
  app.post(
    "/api/v1/models/deployments",
    { ...write, bodyLimit: 64 * 1024 ** 2, schema: { tags, body: VersionDeploy, response: { 200: Deployed } } },
    async (request) => {
      await request.demand("models:write");
      const { model, atOnce } = request.body;
      const version = await deploy.register(request.body, request.principal.name);
      const { message } = await deploy.model(model, version, { atOnce, by: request.principal.name, reason: "Another server promoted it to this one." });
      return { done: true, message: `${model}/${version}. ${message}` };
    },
  );
}

function promotionRoutes(app: Http, { environments, promotions }: Delivery): void {
  const approve = { config: { permission: "delivery:approve" as const } };
  const Query = Type.Object({ project: Type.Optional(Name) });
  app.get("/api/v1/environments", { ...read, schema: { tags, querystring: Query, response: { 200: Page(Environment) } } }, async ({ query }) => ({
    items: await environments.list(query.project),
  }));
  const ByEnvironment = Type.Object({ project: Name, name: Name });
  app.post(
    "/api/v1/environments/:project/:name/rollback",
    { ...write, schema: { tags, params: ByEnvironment, body: RollbackStart, response: { 200: Promotion } } },
    async ({ params, body, principal }) => promotions.rollback(params.project, params.name, body, principal.name),
  );
  app.get("/api/v1/promotions", { ...read, schema: { tags, querystring: PromotionQuery, response: { 200: Page(Promotion) } } }, async ({ query }) =>
    promotions.list(query),
  );
  app.post("/api/v1/promotions", { ...write, schema: { tags, body: PromotionStart, response: { 201: Promotion } } }, async (request, reply) => {
    const made = await promotions.start(request.body, request.principal.name);
    return reply.code(201).header("location", `/api/v1/promotions/${made.id}`).send(made);
  });
  const ById = Type.Object({ id: Type.String({ pattern: "^[0-9a-f]{32}$" }) });
  app.get("/api/v1/promotions/:id", { ...read, schema: { tags, params: ById, response: { 200: PromotionDetail } } }, async ({ params }) =>
    promotions.get(params.id),
  );
  for (const answer of ["approve", "reject"] as const) {
    app.post(
      `/api/v1/promotions/:id/${answer}`,
      { ...approve, schema: { tags, params: ById, body: PromotionAnswer, response: { 200: Promotion } } },
      async ({ params, body, principal }) => promotions.answer(params.id, answer, principal, body.comment),
    );
  }
  app.post(
    "/api/v1/promotions/:id/cancel",
    { ...write, schema: { tags, params: ById, body: PromotionAnswer, response: { 200: Promotion } } },
    async ({ params, body, principal }) => promotions.cancel(params.id, principal.name, body.comment),
  );
}
