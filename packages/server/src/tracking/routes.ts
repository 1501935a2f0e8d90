/** MLflow's REST API of experiments, runs and artifacts. Its bodies are those of MLflow's own protocol buffers, as JSON. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { errorAnswer, type Http, type Permission, type Platform } from "../platform/index.js";
import { createArtifacts } from "./artifacts.js";
import { codeFor, invalidValue } from "./errors.js";
import type { Experiment, KeyValue, Metric, Search, TrackedRun, Tracking, View } from "./types.js";

const largestBody = 32 * 1024 * 1024;
const prefixes = ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow"];
type Body = Record<string, unknown>;

export function trackingRoutes(app: Http, tracking: Tracking, platform: Pick<Platform, "db" | "objects" | "log">): void {
  const artifacts = createArtifacts(platform);
  void app.register(async (plain) => {
    const scope = plain as Http;
    scope.setErrorHandler((error, request, reply) => {
      const { status, body } = errorAnswer(error, platform.log, request.url);
      void reply.code(status).send({ error_code: codeFor(body.error.code), message: body.error.message });
    });
    const hide = { schema: { hide: true } };
    const read = { config: { permission: "tracking:read" as Permission }, bodyLimit: largestBody, ...hide };
    const write = { config: { permission: "tracking:write" as Permission }, bodyLimit: largestBody, ...hide };
    const get = (path: string, answer: (given: Body, request: FastifyRequest) => Promise<unknown>) => {
      for (const prefix of prefixes) scope.get(`${prefix}/${path}`, read, async (request) => answer(request.query as Body, request));
    };
    const post = (path: string, answer: (given: Body, request: FastifyRequest) => Promise<unknown>, options: typeof read | typeof write = write) => {
      for (const prefix of prefixes) scope.post(`${prefix}/${path}`, options, async (request) => (await answer((request.body ?? {}) as Body, request)) ?? {});
    };

    for (const prefix of ["/api", "/ajax-api"])
      scope.get(`${prefix}/3.0/mlflow/server-info`, read, async () => ({ store_type: "SqlStore", workspaces_enabled: false }));

    // ------------------------------------------------------------------------------------ experiments
    post("experiments/create", async (given) => ({
      experiment_id: await tracking.createExperiment(text(given, "name"), {
        artifactLocation: optional(given, "artifact_location"),
        tags: keyValues(given, "tags"),
      }),
    }));
    get("experiments/get", async (given) => ({ experiment: experimentJson(await tracking.experiment({ id: text(given, "experiment_id") })) }));
    get("experiments/get-by-name", async (given) => ({ experiment: experimentJson(await tracking.experiment({ name: text(given, "experiment_name") })) }));
    const searchExperiments = async (given: Body) => {
      const search = searchOf(given);
      const found = await tracking.searchExperiments(search);
      return { experiments: found.map(experimentJson), ...nextPage(found.length, search) };
    };
    get("experiments/search", searchExperiments);
    post("experiments/search", searchExperiments, read);
    post("experiments/update", (given) => tracking.updateExperiment(text(given, "experiment_id"), { name: text(given, "new_name") }));
    post("experiments/delete", (given) => tracking.updateExperiment(text(given, "experiment_id"), { stage: "deleted" }));
    post("experiments/restore", (given) => tracking.updateExperiment(text(given, "experiment_id"), { stage: "active" }));
    post("experiments/set-experiment-tag", (given) =>
      tracking.updateExperiment(text(given, "experiment_id"), { tag: { key: text(given, "key"), value: text(given, "value") } }),
    );
    post("experiments/delete-experiment-tag", (given) => tracking.updateExperiment(text(given, "experiment_id"), { removeTag: text(given, "key") }));

    // ------------------------------------------------------------------------------------------- runs
    const runId = (given: Body) => optional(given, "run_id") ?? text(given, "run_uuid");
    post("runs/create", async (given) => {
      const run = await tracking.createRun({
        experimentId: optional(given, "experiment_id") ?? "0",
        name: optional(given, "run_name"),
        userId: optional(given, "user_id"),
        startTime: optionalNumber(given, "start_time"),
        tags: keyValues(given, "tags"),
      });
      return { run: runJson(run) };
    });
    get("runs/get", async (given) => ({ run: runJson(await tracking.run(runId(given))) }));
    post("runs/update", async (given) => {
      const [status, endTime, name] = [optional(given, "status"), optionalNumber(given, "end_time"), optional(given, "run_name")];
      const run = await tracking.updateRun(runId(given), {
        ...(status === undefined ? {} : { status }),
        ...(endTime === undefined ? {} : { endTime }),
        ...(name === undefined || name === "" ? {} : { name }),
      });
      return { run_info: runJson(run).info };
    });
    post("runs/delete", async (given) => void (await tracking.updateRun(runId(given), { stage: "deleted" })));
    post("runs/restore", async (given) => void (await tracking.updateRun(runId(given), { stage: "active" })));
    post(
      "runs/search",
      async (given) => {
        const search = searchOf(given);
        const found = await tracking.searchRuns(texts(given, "experiment_ids"), search);
        return { runs: found.map(runJson), ...nextPage(found.length, search) };
      },
      read,
    );
    post("runs/log-metric", (given) => tracking.log(runId(given), { metrics: [metric(given)] }));
    post("runs/log-parameter", (given) => tracking.log(runId(given), { params: [keyValue(given)] }));
    post("runs/set-tag", (given) => tracking.log(runId(given), { tags: [keyValue(given)] }));
    post("runs/delete-tag", (given) => tracking.deleteTag(runId(given), text(given, "key")));
    post("runs/log-batch", (given) =>
      tracking.log(runId(given), { metrics: list(given, "metrics").map(metric), params: list(given, "params").map(keyValue), tags: keyValues(given, "tags") }),
    );
    get("metrics/get-history", async (given) => {
      const page = { limit: bounded(given, 25_000, 25_000), offset: offsetOf(given) };
      const metrics = await tracking.history(runId(given), text(given, "metric_key"), page);
      return { metrics: metrics.map(metricJson), ...nextPage(metrics.length, page) };
    });

    // The client looks for the models of a run when it lists its artifacts. None are logged here yet.
    post("logged-models/search", async () => ({ models: [] }), read);

    // -------------------------------------------------------------------------------------- artifacts
    get("artifacts/list", async (given) => {
      const { info } = runJson(await tracking.run(runId(given)));
      const root = storagePath(info.artifact_uri);
      const below = optional(given, "path");
      const entries = await artifacts.list(below === undefined || below === "" ? root : `${root}/${below}`);
      return {
        root_uri: info.artifact_uri,
        files: entries.map((entry) => ({ ...entry, path: below === undefined || below === "" ? entry.path : `${below}/${entry.path}` })),
      };
    });
    await scope.register(async (raw) => {
      raw.removeAllContentTypeParsers();
      raw.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
      const pathOf = (request: FastifyRequest) => (request.params as { "*": string })["*"];
      for (const prefix of ["/api", "/ajax-api"]) {
        const base = `${prefix}/2.0/mlflow-artifacts/artifacts`;
        raw.get(base, read, async (request) => ({ files: await artifacts.list(optional(request.query as Body, "path") ?? "") }));
        raw.put(`${base}/*`, { ...write, bodyLimit: Number.MAX_SAFE_INTEGER }, async (request) => {
          await artifacts.put(pathOf(request), request.body === undefined || request.body === null ? request.raw : (request.body as typeof request.raw));
          return {};
        });
        raw.get(`${base}/*`, read, async (request, reply) => send(reply, pathOf(request), await artifacts.open(pathOf(request))));
        raw.delete(`${base}/*`, write, async (request) => {
          await artifacts.remove(pathOf(request));
          return {};
        });
      }
      raw.get("/get-artifact", read, async (request, reply) => {
        const given = request.query as Body;
        const { info } = runJson(await tracking.run(runId(given)));
        const path = `${storagePath(info.artifact_uri)}/${text(given, "path")}`;
        return send(reply, path, await artifacts.open(path));
      });
    });
  });
}

/** A browser shows none of it: an artifact is whatever a client has put there. */
function send(reply: FastifyReply, path: string, { body, size }: { body: import("node:stream").Readable; size: number }): FastifyReply {
  const name = (path.split("/").at(-1) ?? "file").replaceAll(/[^a-zA-Z0-9._-]/g, "_");
  return reply
    .type("application/octet-stream")
    .header("content-length", size)
    .header("x-content-type-options", "nosniff")
    .header("content-disposition", `attachment; filename="${name}"`)
    .send(body);
}
const storagePath = (uri: string): string => uri.replace(/^mlflow-artifacts:\/+/, "");

// ---------------------------------------------------------------------------------------- what comes in
function text(given: Body, name: string): string {
  const value = given[name];
  if (typeof value === "number") return String(value);
  if (typeof value !== "string" || value === "") throw invalidValue(`Missing value for required parameter '${name}'.`);
  return value;
}
function optional(given: Body, name: string): string | undefined {
  const value = given[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" && typeof value !== "number") throw invalidValue(`Invalid value for parameter '${name}': a text is expected.`);
  return String(value);
}
function optionalNumber(given: Body, name: string): number | undefined {
  const value = given[name];
  if (value === undefined || value === null) return undefined;
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw invalidValue(`Invalid value ${JSON.stringify(value)} for parameter '${name}': a whole number is expected.`);
  return number;
}
function list(given: Body, name: string): Body[] {
  const value = given[name] ?? [];
  if (!Array.isArray(value) || value.some((one) => one === null || typeof one !== "object"))
    throw invalidValue(`Invalid value for parameter '${name}': a list is expected.`);
  return value;
}
function texts(given: Body, name: string): string[] {
  const value = given[name] ?? [];
  const all: unknown[] = Array.isArray(value) ? value : [value];
  return all.map((one) => text({ [name]: one }, name));
}
function keyValue(given: Body): KeyValue {
  return { key: text(given, "key"), value: optional(given, "value") ?? "" };
}
const keyValues = (given: Body, name: string): KeyValue[] => list(given, name).map(keyValue);

/** JSON has no NaN and no infinity: protocol buffers write them as texts. */
const special: Record<string, number> = { NaN: Number.NaN, Infinity: Number.POSITIVE_INFINITY, "-Infinity": Number.NEGATIVE_INFINITY };
function metric(given: Body): Metric {
  const { value } = given;
  const number = typeof value === "number" ? value : typeof value === "string" ? (special[value] ?? Number(value)) : Number.NaN;
  const isNumber = typeof value === "number" || (typeof value === "string" && value !== "" && (value in special || !Number.isNaN(number)));
  const key = text(given, "key");
  if (!isNumber)
    throw invalidValue(`Got invalid value ${JSON.stringify(value)} for metric '${key}'. Please specify value as a valid double (64-bit floating point)`);
  return { key, value: number, timestamp: optionalNumber(given, "timestamp") ?? Date.now(), step: optionalNumber(given, "step") ?? 0 };
}

const views = ["ACTIVE_ONLY", "DELETED_ONLY", "ALL"];
const isView = (name: string): name is View => views.includes(name);
function searchOf(given: Body): Search {
  const view = optional(given, "run_view_type") ?? optional(given, "view_type") ?? "ACTIVE_ONLY";
  if (!isView(view)) throw invalidValue(`"${view}" is no view: ${views.join(", ")}.`);
  return { filter: optional(given, "filter") ?? "", orderBy: texts(given, "order_by"), view, limit: bounded(given, 1_000, 50_000), offset: offsetOf(given) };
}
function bounded(given: Body, usual: number, most: number): number {
  const limit = optionalNumber(given, "max_results") ?? usual;
  if (limit < 1 || limit > most) throw invalidValue(`Invalid value ${limit} for parameter 'max_results': at least 1 and at most ${most}.`);
  return limit;
}
function offsetOf(given: Body): number {
  const token = optional(given, "page_token");
  if (token === undefined || token === "") return 0;
  const offset = Number(Buffer.from(token, "base64url").toString());
  if (!Number.isSafeInteger(offset) || offset < 0) throw invalidValue("Invalid page token: pass on the one of the last answer.");
  return offset;
}
const nextPage = (found: number, { limit, offset }: { limit: number; offset: number }) =>
  found < limit ? {} : { next_page_token: Buffer.from(String(offset + limit)).toString("base64url") };

// --------------------------------------------------------------------------------------- what goes out
const metricJson = ({ key, value, timestamp, step }: Metric) => ({ key, value: Number.isFinite(value) ? value : String(value), timestamp, step });
function experimentJson({ id, tags, ...rest }: Experiment) {
  return { experiment_id: id, ...rest, tags: Object.entries(tags).map(([key, value]) => ({ key, value })) };
}
function runJson(run: TrackedRun) {
  return {
    info: {
      run_id: run.id,
      run_uuid: run.id,
      run_name: run.name,
      experiment_id: run.experiment_id,
      user_id: run.user_id,
      status: run.status,
      start_time: run.start_time,
      ...(run.end_time === null ? {} : { end_time: run.end_time }),
      artifact_uri: `mlflow-artifacts:/${run.experiment_id}/${run.id}/artifacts`,
      lifecycle_stage: run.lifecycle_stage,
    },
    data: { metrics: run.metrics.map(metricJson), params: run.params, tags: run.tags },
    inputs: { dataset_inputs: [], model_inputs: [] },
    outputs: { model_outputs: [] },
  };
}
