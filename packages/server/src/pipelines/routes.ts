import path from "node:path";
import { LogPage, Page, Pipeline, Run, RunDetail, RunQuery, RunStart } from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import type { Http, ObjectStore } from "../platform/index.js";
import { asDigest } from "./artifacts.js";
import type { Pipelines } from "./types.js";

const PipelineParams = Type.Object({ name: Name });
const RunParams = Type.Object({ id: Type.String({ maxLength: 100 }) });
const StepParams = Type.Object({ ...RunParams.properties, step: Name });
const LogQuery = Type.Object({ from: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })) });

export function pipelinesRoutes(app: Http, pipelines: Pipelines, objects: ObjectStore): void {
  const tags = ["pipelines"];
  app.get("/api/v1/pipelines", { config: { permission: "pipelines:read" }, schema: { tags, response: { 200: Page(Pipeline) } } }, async () => ({
    items: await pipelines.pipelines(),
  }));
  app.get(
    "/api/v1/pipelines/:name",
    { config: { permission: "pipelines:read" }, schema: { tags, params: PipelineParams, response: { 200: Pipeline } } },
    async (request) => pipelines.pipeline(request.params.name),
  );
  app.post(
    "/api/v1/pipelines/:name/runs",
    { config: { permission: "runs:write" }, schema: { tags, params: PipelineParams, body: RunStart, response: { 201: Run } } },
    async (request, reply) => {
      const { params } = request.body;
      const run = await pipelines.start({ pipeline: request.params.name, cause: { kind: "manual" }, ...(params === undefined ? {} : { params }) });
      return reply.code(201).header("location", `/api/v1/runs/${run.id}`).send(run);
    },
  );

  app.get("/api/v1/runs", { config: { permission: "runs:read" }, schema: { tags, querystring: RunQuery, response: { 200: Page(Run) } } }, async (request) =>
    pipelines.list(request.query),
  );
  app.get("/api/v1/runs/:id", { config: { permission: "runs:read" }, schema: { tags, params: RunParams, response: { 200: RunDetail } } }, async (request) =>
    pipelines.get(request.params.id),
  );
  app.post("/api/v1/runs/:id/cancel", { config: { permission: "runs:write" }, schema: { tags, params: RunParams, response: { 200: Run } } }, async (request) =>
    pipelines.cancel(request.params.id),
  );
  app.get(
    "/api/v1/runs/:id/steps/:step/log",
    { config: { permission: "runs:read" }, schema: { tags, params: StepParams, querystring: LogQuery, response: { 200: LogPage } } },
    async (request) => pipelines.log(request.params.id, request.params.step, request.query.from ?? 0),
  );
  app.get(
    "/api/v1/runs/:id/steps/:step/artifacts/:output/files/*",
    {
      config: { permission: "runs:read" },
      schema: { tags, params: Type.Object({ ...StepParams.properties, output: Name, "*": Type.String({ maxLength: 1_000 }) }) },
    },
    async (request, reply) => {
      const { id, step, output, "*": file } = request.params;
      const { digest, size } = await pipelines.artifactFile(id, step, output, file);
      // What a step wrote is never shown as a page of this origin.
      reply.header("content-length", size).header("x-content-type-options", "nosniff");
      reply.header("content-disposition", `attachment; filename*=UTF-8''${encodeURIComponent(path.posix.basename(file)).replaceAll("'", "%27")}`);
      return reply.type("application/octet-stream").send(await objects.read(asDigest(digest)));
    },
  );
}
