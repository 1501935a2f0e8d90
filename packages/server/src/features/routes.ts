import {
  FeatureComparison,
  FeaturePush,
  FeatureService,
  FeatureView,
  HistoricalFeatures,
  HistoricalRead,
  OnlineFeatures,
  OnlineRead,
  Page,
  PushResult,
} from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { type Http, invalid } from "../platform/index.js";
import type { Features } from "./types.js";

const largestBody = 32 * 1024 * 1024;
const tags = ["features"];
const ByName = Type.Object({ name: Name });
/** Features are JSON's own values: a serializer made from the schema would try each of them against each type that a value may have. */
export const plainly = { serializerCompiler: () => JSON.stringify };
const Check = Type.Object({
  endpoint: Name,
  sample: Type.Integer({ minimum: 1, maximum: 10_000 }),
  from: Type.Optional(Type.String({ maxLength: 40 })),
  to: Type.Optional(Type.String({ maxLength: 40 })),
});

export function featuresRoutes(app: Http, features: Features): void {
  app.get("/api/v1/feature-views", { config: { permission: "features:read" }, schema: { tags, response: { 200: Page(FeatureView) } } }, async () => ({
    items: await features.views(),
  }));
  app.get("/api/v1/feature-services", { config: { permission: "features:read" }, schema: { tags, response: { 200: Page(FeatureService) } } }, async () => ({
    items: await features.services(),
  }));
  app.post(
    "/api/v1/feature-services/:name/historical",
    {
      ...plainly,
      config: { permission: "features:read" },
      bodyLimit: largestBody,
      schema: { tags, params: ByName, body: HistoricalRead, response: { 200: HistoricalFeatures } },
    },
    async (request) => features.historical(request.params.name, request.body),
  );
  const write = { permission: "features:write" as const };
  app.post(
    "/api/v1/feature-views/:name/push",
    { config: write, bodyLimit: largestBody, schema: { tags, params: ByName, body: FeaturePush, response: { 200: PushResult } } },
    async (request) => features.push(request.params.name, request.body.columns),
  );
  app.post("/api/v1/feature-views/:name/materialize", { config: write, schema: { tags, params: ByName, response: { 200: PushResult } } }, async (request) =>
    features.materialize(request.params.name),
  );
  app.post(
    "/api/v1/feature-services/:name/online",
    {
      ...plainly,
      config: { permission: "features:read" },
      bodyLimit: largestBody,
      schema: { tags, params: ByName, body: OnlineRead, response: { 200: OnlineFeatures } },
    },
    async (request) => {
      const columns = request.body.request;
      const { moment } = request;
      return features.readOnline(
        request.params.name,
        columns,
        Array.from({ length: Object.values(columns)[0]?.length ?? 0 }, () => moment),
      );
    },
  );
  app.post(
    "/api/v1/feature-services/:name/check",
    { config: { permission: "features:read" }, schema: { tags, params: ByName, body: Check, response: { 200: FeatureComparison } } },
    async (request) => {
      const { endpoint, sample, from, to } = request.body;
      return features.check(request.params.name, { endpoint, sample, from: time(from, "from"), to: time(to, "to") });
    },
  );
}

function time(text: string | undefined, name: string): Date | undefined {
  if (text === undefined) return undefined;
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw invalid(`"${name}" is no time: write it as 2013-03-01T00:00:00Z.`);
  return date;
}
