import path from "node:path";
import {
  Approval,
  ArtifactRows,
  Explanation,
  LogPage,
  Page,
  Pipeline,
  Run,
  RunDetail,
  RunningStep,
  RunQuery,
  RunStart,
  RunTimeline,
  Step,
  StepAverage,
  StepDebug,
  StepDetail,
  StepQuery,
  Worker,
} from "@millrace/sdk/api";
import { Name } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import type { Http, ObjectStore } from "../platform/index.js";
import { asDigest } from "./artifacts.js";
import type { Pipelines } from "./types.js";

const PipelineParams = Type.Object({ name: Name });
const RunPath = Type.Object({ id: Type.String({ maxLength: 100 }) });
/** `fit[3].train` */
const StepId = Type.String({ pattern: "^[a-zA-Z0-9_.\\[\\]-]{1,500}$" });
const StepParams = Type.Object({ ...RunPath.properties, step: StepId });
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
      const run = await pipelines.start({ ...request.body, pipeline: request.params.name, cause: { kind: "manual" } });
      return reply.code(201).header("location", `/api/v1/runs/${run.id}`).send(run);
    },
  );

  app.post(
    "/api/v1/pipelines/:name/explain",
    { config: { permission: "pipelines:read" }, schema: { tags, params: PipelineParams, body: RunStart, response: { 200: Explanation } } },
    async (request) => pipelines.explain({ ...request.body, pipeline: request.params.name }),
  );
  app.get("/api/v1/workers", { config: { permission: "pipelines:read" }, schema: { tags, response: { 200: Page(Worker) } } }, async () => ({
    items: await pipelines.workers(),
  }));

  app.get("/api/v1/workers/steps", { config: { permission: "pipelines:read" }, schema: { tags, response: { 200: Page(RunningStep) } } }, async () => ({
    items: await pipelines.running(),
  }));
  app.get(
    "/api/v1/pipelines/:name/steps",
    { config: { permission: "pipelines:read" }, schema: { tags, params: PipelineParams, response: { 200: Page(StepAverage) } } },
    async (request) => ({ items: await pipelines.averages(request.params.name) }),
  );

  app.get("/api/v1/runs", { config: { permission: "runs:read" }, schema: { tags, querystring: RunQuery, response: { 200: Page(Run) } } }, async (request) =>
    pipelines.list(request.query),
  );
  app.get("/api/v1/runs/:id", { config: { permission: "runs:read" }, schema: { tags, params: RunPath, response: { 200: RunDetail } } }, async (request) =>
    pipelines.get(request.params.id),
  );
  app.post("/api/v1/runs/:id/cancel", { config: { permission: "runs:write" }, schema: { tags, params: RunPath, response: { 200: Run } } }, async (request) =>
    pipelines.cancel(request.params.id),
  );
  app.get("/api/v1/runs/:id/diff", { config: { permission: "runs:read" }, schema: { tags, params: RunPath } }, async (request, reply) =>
    reply
      .type("text/plain; charset=utf-8")
      .header("x-content-type-options", "nosniff")
      .send(await pipelines.diff(request.params.id)),
  );
  app.get(
    "/api/v1/runs/:id/timeline",
    { config: { permission: "runs:read" }, schema: { tags, params: RunPath, response: { 200: RunTimeline } } },
    async (request) => pipelines.timeline(request.params.id),
  );
  app.get(
    "/api/v1/runs/:id/steps/:step/artifacts/:output/rows",
    {
      config: { permission: "runs:read" },
      schema: {
        ...{ tags, params: Type.Object({ ...StepParams.properties, output: Name }) },
        querystring: Type.Object({ file: Type.String({ maxLength: 1_000 }) }),
        response: { 200: ArtifactRows },
      },
    },
    async (request) => pipelines.rows(request.params.id, request.params.step, request.params.output, request.query.file),
  );
  app.get(
    "/api/v1/runs/:id/steps",
    { config: { permission: "runs:read" }, schema: { tags, params: RunPath, querystring: StepQuery, response: { 200: Page(Step) } } },
    async (request) => pipelines.steps(request.params.id, request.query),
  );
  app.get(
    "/api/v1/runs/:id/steps/:step",
    { config: { permission: "runs:read" }, schema: { tags, params: StepParams, response: { 200: StepDetail } } },
    async (request) => pipelines.step(request.params.id, request.params.step),
  );
  app.get(
    "/api/v1/runs/:id/steps/:step/debug",
    { config: { permission: "runs:read" }, schema: { tags, params: StepParams, response: { 200: StepDebug } } },
    async (request) => pipelines.debug(request.params.id, request.params.step),
  );
  app.post(
    "/api/v1/runs/:id/steps/:step/approve",
    { config: { permission: "runs:write" }, schema: { tags, params: StepParams, body: Approval, response: { 200: Step } } },
    async (request) => {
      const { id, step } = request.params;
      if ((await pipelines.asked(id, step)).role === "admin") await request.demand("runs:admin");
      return pipelines.approve(id, step, request.body, request.principal.name);
    },
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
