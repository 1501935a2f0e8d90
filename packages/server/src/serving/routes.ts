import {
  Endpoint,
  EndpointSwitch,
  InferenceGraph,
  LabelPush,
  LabelResult,
  Page,
  Prediction,
  Replay,
  Rollout,
  RolloutDetail,
  RolloutEvent,
  RolloutMove,
  RolloutStart,
  RolloutWeights,
} from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { type Http, invalid } from "../platform/index.js";
import type { Graphs } from "./graphs.js";
import type { Serving } from "./types.js";

const tags = ["endpoints"];
const ByName = Type.Object({ name: Name });
const ById = Type.Object({ id: Type.String({ minLength: 1, maxLength: 300 }) });
const time = Type.Optional(Type.String({ maxLength: 40 }));
const Limited = Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })) });
const HistoryQuery = Type.Object({
  ...Limited.properties,
  after: Type.Optional(Type.String({ pattern: "^[0-9]{1,18}$" })),
  rollout: Type.Optional(Type.String({ maxLength: 200 })),
});

export function servingRoutes(app: Http, serving: Serving, graphs: Graphs): void {
  const read = { config: { permission: "endpoints:read" as const } };
  app.get("/api/v1/endpoints", { ...read, schema: { tags, response: { 200: Page(Endpoint) } } }, async () => ({ items: await serving.endpoints() }));
  app.get("/api/v1/endpoints/:name", { ...read, schema: { tags, params: ByName, response: { 200: Endpoint } } }, async ({ params }) =>
    serving.endpoint(params.name),
  );
  app.get(
    "/api/v1/endpoints/:name/rollouts",
    { ...read, schema: { tags, params: ByName, querystring: Limited, response: { 200: Page(Rollout) } } },
    async ({ params, query }) => ({ items: await serving.rollouts(params.name, query.limit ?? 100) }),
  );
  app.get(
    "/api/v1/endpoints/:name/rollouts/:id",
    { ...read, schema: { tags, params: Type.Object({ ...ByName.properties, id: Type.String({ maxLength: 300 }) }), response: { 200: RolloutDetail } } },
    async ({ params }) => serving.rollout(params.name, params.id),
  );
  app.get("/api/v1/inference-graphs", { ...read, schema: { tags, response: { 200: Page(InferenceGraph) } } }, async () => ({
    items: await graphs.describe(),
  }));
  app.get(
    "/api/v1/endpoints/:name/history",
    { ...read, schema: { tags, params: ByName, querystring: HistoryQuery, response: { 200: Page(RolloutEvent) } } },
    async ({ params, query: { limit = 100, after, rollout } }) => {
      const items = await serving.history(params.name, { limit, after, rollout });
      const last = items.at(-1);
      return { items, ...(items.length === limit && last !== undefined ? { next: last.id } : {}) };
    },
  );

  const write = { config: { permission: "endpoints:write" as const } };
  app.post(
    "/api/v1/endpoints/:name/rollouts",
    { ...write, schema: { tags, params: ByName, body: RolloutStart, response: { 201: Rollout } } },
    async ({ params, body, principal }, reply) => reply.code(201).send(await serving.startRollout(params.name, body, principal.name)),
  );
  app.put(
    "/api/v1/endpoints/:name/rollouts/weights",
    { ...write, schema: { tags, params: ByName, body: RolloutWeights, response: { 200: Rollout } } },
    async ({ params, body, principal }) => serving.reweighRollout(params.name, body, principal.name),
  );
  const moves = { pause: "rollouts/pause", resume: "rollouts/resume", advance: "rollouts/advance", promote: "promote", rollback: "rollback" } as const;
  for (const act of ["pause", "resume", "advance", "promote", "rollback"] as const) {
    app.post(
      `/api/v1/endpoints/:name/${moves[act]}`,
      { ...write, schema: { tags, params: ByName, body: Type.Optional(RolloutMove), response: { 200: Rollout } } },
      async ({ params, body, principal }) => serving.moveRollout(params.name, act, body ?? {}, principal.name),
    );
  }
  for (const act of ["kill", "revive"] as const) {
    app.post(
      `/api/v1/endpoints/:name/${act}`,
      { ...write, schema: { tags, params: ByName, body: Type.Optional(EndpointSwitch), response: { 200: Endpoint } } },
      async ({ params, body, principal }) => serving.setKilled(params.name, act === "kill", body?.reason, principal.name),
    );
  }
  app.post(
    "/api/v1/endpoints/:name/labels",
    {
      config: { permission: "labels:write" },
      bodyLimit: 32 * 1024 * 1024,
      schema: { tags, params: ByName, body: LabelPush, response: { 200: LabelResult } },
    },
    async (request) => serving.label(request.params.name, request.body, request.moment),
  );
  app.get(
    "/api/v1/endpoints/:name/predictions",
    {
      config: { permission: "predictions:read" },
      schema: { tags, params: ByName, querystring: Type.Object({ ...Limited.properties, from: time, to: time }), response: { 200: Page(Prediction) } },
    },
    async ({ params, query }) => ({
      items: await serving.predictions(params.name, { limit: query.limit ?? 100, from: moment("from", query.from), to: moment("to", query.to) }),
    }),
  );
  app.get(
    "/api/v1/predictions/:id",
    {
      config: { permission: "predictions:read" },
      schema: { tags, params: ById, response: { 200: Prediction } },
    },
    async ({ params }) => serving.prediction(params.id),
  );
  app.post(
    "/api/v1/predictions/:id/replay",
    { config: { permission: "predictions:read" }, schema: { tags, params: ById, response: { 200: Replay } } },
    async ({ params }) => serving.replay(params.id),
  );
}

function moment(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) throw invalid(`\`${name}\` is not a time: write it as 2013-03-01T00:00:00Z.`);
  return at;
}
