/** Metrics as charts show them. */
import { MetricKeys, MetricKeysQuery, SeriesQuery } from "@millrace/sdk/api";
import type { Http, Permission } from "../../platform/index.js";
import type { Tracking } from "../types.js";

const base = "/api/v1/tracking/metrics";

export function seriesRoutes(app: Http, { charts }: Pick<Tracking, "charts">): void {
  const read = { config: { permission: "tracking:read" as Permission } };
  const tags = ["tracking"];
  app.post(`${base}/keys`, { ...read, schema: { tags, body: MetricKeysQuery, response: { 200: MetricKeys } } }, async ({ body }) => charts.keys(body.runs));
  app.post(`${base}/series`, { ...read, schema: { tags, body: SeriesQuery } }, async ({ body }, reply) =>
    reply.type("application/json; charset=utf-8").send(await charts.series(body)),
  );
}
