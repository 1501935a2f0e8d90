/** Runs as tables show them, under Millrace's own addresses. What a client logs goes by MLflow's. */
import { Readable } from "node:stream";
import {
  ArtifactRows,
  ExperimentQuery,
  ExperimentSummary,
  Page,
  RunChange,
  RunColumns,
  RunCount,
  RunCountQuery,
  RunCsvQuery,
  RunFamily,
  RunMetric,
  RunTableQuery,
  RunTableRow,
  RunValues,
  RunValuesQuery,
} from "@millrace/sdk/api";
import { Type } from "@sinclair/typebox";
import type { Http, Permission } from "../../platform/index.js";
import type { Tracking } from "../types.js";

const base = "/api/v1/tracking";
const tags = ["tracking"];
/** How many runs are changed at the same time. */
const atOnce = 8;

export function tableRoutes(app: Http, tracking: Tracking): void {
  const { table, keys, overview } = tracking;
  const read = { config: { permission: "tracking:read" as Permission } };
  const write = { config: { permission: "tracking:write" as Permission } };
  const ById = Type.Object({ id: Type.String({ maxLength: 100 }) });

  app.get(`${base}/experiments`, { ...read, schema: { tags, querystring: ExperimentQuery, response: { 200: Page(ExperimentSummary) } } }, async ({ query }) =>
    overview.experiments(query),
  );
  app.get(`${base}/experiments/:id/columns`, { ...read, schema: { tags, params: ById, response: { 200: RunColumns } } }, async ({ params }) =>
    keys.columns(params.id),
  );
  app.get(
    `${base}/experiments/:id/values`,
    { ...read, schema: { tags, params: ById, querystring: RunValuesQuery, response: { 200: RunValues } } },
    async ({ params, query }) => keys.values(params.id, query.key, query.search ?? ""),
  );

  app.post(`${base}/runs/search`, { ...read, schema: { tags, body: RunTableQuery, response: { 200: Page(RunTableRow) } } }, async ({ body }) =>
    table.page(body),
  );
  app.post(`${base}/runs/count`, { ...read, schema: { tags, body: RunCountQuery, response: { 200: RunCount } } }, async ({ body }) => table.count(body));
  app.get(`${base}/runs.csv`, { ...read, schema: { tags, querystring: RunCsvQuery } }, async ({ query }, reply) => {
    const lines = await table.csv(query);
    return reply
      .type("text/csv; charset=utf-8")
      .header("content-disposition", `attachment; filename="runs.csv"`)
      .header("x-content-type-options", "nosniff")
      .send(Readable.from(lines, { objectMode: false }));
  });
  app.post(
    `${base}/runs/change`,
    { ...write, schema: { tags, body: RunChange, response: { 200: Type.Object({ changed: Type.Integer() }) } } },
    async ({ body }) => {
      const ids = [...new Set(body.ids)];
      const list = Object.entries(body.tags ?? {}).map(([key, value]) => ({ key, value }));
      for (let at = 0; at < ids.length; at += atOnce) {
        await Promise.all(
          ids.slice(at, at + atOnce).map(async (id) => {
            // What is deleted takes no tags.
            if (body.stage === "active") await tracking.updateRun(id, { stage: "active" });
            if (list.length > 0) await tracking.log(id, { tags: list });
            if (body.stage === "deleted") await tracking.updateRun(id, { stage: "deleted" });
          }),
        );
      }
      return { changed: ids.length };
    },
  );

  app.get(
    `${base}/runs/:id/metrics`,
    { ...read, schema: { tags, params: ById, response: { 200: Type.Object({ items: Type.Array(RunMetric) }) } } },
    async ({ params }) => ({ items: await overview.metrics(params.id) }),
  );
  app.get(`${base}/runs/:id/family`, { ...read, schema: { tags, params: ById, response: { 200: RunFamily } } }, async ({ params }) =>
    overview.family(params.id),
  );
  const ByPath = Type.Object({ path: Type.String({ maxLength: 1_000 }) });
  app.get(`${base}/artifacts/rows`, { ...read, schema: { tags, querystring: ByPath, response: { 200: ArtifactRows } } }, async ({ query }) =>
    tracking.preview(query.path),
  );
}
