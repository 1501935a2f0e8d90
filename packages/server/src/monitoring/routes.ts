import { Monitor, MonitorCheck, Page, PageQuery, Performance, PerformanceQuery } from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { type Http, invalid } from "../platform/index.js";
import type { Monitoring } from "./types.js";

const tags = ["monitors"];
const ByName = Type.Object({ name: Name });
const time = Type.Optional(Type.String({ maxLength: 40 }));

export function monitoringRoutes(app: Http, monitoring: Monitoring): void {
  const read = { config: { permission: "monitors:read" as const } };
  app.get("/api/v1/monitors", { ...read, schema: { tags, response: { 200: Page(Monitor) } } }, async () => ({ items: await monitoring.monitors() }));
  app.get("/api/v1/monitors/:name", { ...read, schema: { tags, params: ByName, response: { 200: Monitor } } }, async ({ params }) =>
    monitoring.monitor(params.name),
  );
  app.get(
    "/api/v1/monitors/:name/checks",
    {
      ...read,
      schema: { tags, params: ByName, querystring: Type.Object({ ...PageQuery.properties, from: time, to: time }), response: { 200: Page(MonitorCheck) } },
    },
    async ({ params, query }) => {
      const limit = query.limit ?? 100;
      const items = await monitoring.checks(params.name, {
        from: moment("from", query.from),
        to: moment("to", query.to),
        after: moment("after", query.after),
        limit,
      });
      const last = items.at(-1);
      return { items, ...(last !== undefined && items.length === limit ? { next: last.at } : {}) };
    },
  );
  app.get(
    "/api/v1/monitors/:name/performance",
    { ...read, schema: { tags, params: ByName, querystring: PerformanceQuery, response: { 200: Type.Array(Performance) } } },
    async ({ params, query }) =>
      monitoring.performance(params.name, { by: query.by, version: query.version, from: moment("from", query.from), to: moment("to", query.to) }),
  );
}

function moment(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) throw invalid(`\`${name}\` is not a time: write it as 2013-03-01T00:00:00Z.`);
  return at;
}
