/** Quarantine, and what validation says of versions of datasets. */
import { DatasetVersion, Page, PageQuery, QuarantineReason, TableStatistics, ValidationReport, ValidationStart } from "@millrace/sdk/api";
import { Name, SchemaSpec } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import type { Http, Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { givenSchema, type Validation } from "../validation/index.js";
import type { Quarantine } from "./quarantine.js";
import { tableDigest } from "./table.js";
import { createTables } from "./tables.js";
import type { Datasets } from "./types.js";

interface On {
  datasets: Datasets;
  quarantine: Quarantine;
  validation: Validation;
  projects: Pick<Projects, "require">;
}

export function datasetQualityRoutes(
  app: Http,
  platform: Pick<Platform, "db" | "objects" | "duckdb">,
  { datasets, quarantine, validation, projects }: On,
): void {
  const tags = ["datasets"];
  const read = { permission: "datasets:read" as const };
  const write = { permission: "datasets:write" as const };
  const ByVersion = Type.Object({ name: Name, version: Type.Integer({ minimum: 1, maximum: 2_000_000_000 }) });

  const ListQuery = Type.Object({
    ...PageQuery.properties,
    dataset: Type.Optional(Name),
    /** Those too that somebody decided about. */
    decided: Type.Optional(Type.Boolean()),
    after: Type.Optional(Type.String({ pattern: "^[a-zA-Z][a-zA-Z0-9_-]{0,99}/[0-9]{1,9}$" })),
  });
  app.get("/api/v1/quarantine", { config: read, schema: { tags, querystring: ListQuery, response: { 200: Page(DatasetVersion) } } }, async ({ query }) =>
    quarantine.list({ dataset: query.dataset, decided: query.decided ?? false, limit: query.limit ?? 100, after: query.after }),
  );
  for (const act of ["accept", "reject"] as const) {
    app.post(
      `/api/v1/datasets/:name/versions/:version/${act}`,
      { config: write, schema: { tags, params: ByVersion, body: QuarantineReason, response: { 200: DatasetVersion } } },
      async ({ params, body, principal }) => quarantine[act](params.name, params.version, body.reason.trim(), principal.name),
    );
  }

  /** The files of a version, or of what it added, with what statistics are kept by. */
  async function filesOf(name: string, version: number, of: "added" | "whole") {
    const { parts } = of === "added" ? await datasets.added(name, version) : await datasets.version(name, version);
    const files = (await datasets.partFiles({ parts })).map((part) => part.path);
    const digests = parts.map(({ digest }) => digest);
    return { files, digest: tableDigest(digests) };
  }
  const Of = Type.Object({ of: Type.Optional(Type.Union([Type.Literal("added"), Type.Literal("whole")])) });
  app.get(
    "/api/v1/datasets/:name/versions/:version/statistics",
    { config: read, schema: { tags, params: ByVersion, querystring: Of, response: { 200: TableStatistics } } },
    async ({ params, query }) => {
      const { files, digest } = await filesOf(params.name, params.version, query.of ?? "added");
      return validation.statistics(digest, files);
    },
  );
  app.get(
    "/api/v1/datasets/:name/versions/:version/schema",
    { config: read, schema: { tags, params: ByVersion, querystring: Type.Object({ as: Type.Optional(Name) }), response: { 200: SchemaSpec } } },
    async ({ params, query }) => validation.infer(query.as ?? params.name, (await filesOf(params.name, params.version, "added")).files),
  );
  app.post(
    "/api/v1/datasets/:name/versions/:version/validate",
    { config: read, schema: { tags, params: ByVersion, querystring: Of, body: ValidationStart, response: { 200: ValidationReport } } },
    async ({ params, query, body }) => {
      const schema = typeof body.schema === "string" ? (await projects.require("schema", body.schema)).spec : givenSchema(body.schema);
      const of = query.of ?? "added";
      const around = createTables(platform).around({ dataset: params.name, before: params.version, whole: of === "whole" });
      const { files, digest } = await filesOf(params.name, params.version, of);
      return validation.validate(schema, files, { environment: body.environment, around, digest });
    },
  );
}
