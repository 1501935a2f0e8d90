/** Metrics as charts show them, and whole runs side by side. */
import { MetricKeys, RunsQuery, SeriesQuery } from "@millrace/sdk/api";
import type { Http, Permission } from "../../platform/index.js";
import type { Tracking } from "../types.js";

const json = "application/json; charset=utf-8";
const base = "/api/v1/tracking";

export function seriesRoutes(app: Http, { charts }: Pick<Tracking, "charts">): void {
  const read = { config: { permission: "tracking:read" as Permission } };
  const tags = ["tracking"];
  app.post(`${base}/metrics/keys`, { ...read, schema: { tags, body: RunsQuery, response: { 200: MetricKeys } } }, async ({ body }) => charts.keys(body.runs));
  app.post(`${base}/metrics/series`, { ...read, schema: { tags, body: SeriesQuery } }, async ({ body }, reply) =>
    reply.type(json).send(await charts.series(body)),
  );
  app.post(`${base}/runs/compare`, { ...read, schema: { tags, body: RunsQuery } }, async ({ body }, reply) =>
    reply.type(json).send(await charts.compare(body.runs)),
  );
}
