/** A typed client of Millrace's own API: a function for each route, in Node and in a browser. */
import type {
  ApiErrorBody,
  Approval,
  Backfill,
  BackfillItem,
  BackfillStart,
  Build,
  ClockState,
  Collection,
  CollectionStart,
  Columns,
  Dataset,
  DatasetComing,
  DatasetDiff,
  DatasetPartition,
  DatasetVersion,
  DatasetVersionDetail,
  DeliveryKey,
  Deployed,
  Endpoint,
  EndpointSwitch,
  Environment,
  Event,
  Explanation,
  FeatureComparison,
  FeatureService,
  FeatureView,
  Firing,
  HistoricalFeatures,
  HistoricalRead,
  InferenceGraph,
  IngestionStart,
  Label,
  LabelResult,
  Lineage,
  LineageDirection,
  LogPage,
  Model,
  ModelCardFormat,
  ModelVersion,
  ModelVersionDetail,
  Monitor,
  MonitorCheck,
  OnlineFeatures,
  Performance,
  Pipeline,
  Plan,
  Prediction,
  PredictionExplanation,
  ProjectVersion,
  Promotion,
  PromotionDetail,
  PromotionStart,
  PromotionState,
  PushResult,
  Release,
  ReleaseCheckStart,
  ReleaseDetail,
  ReleaseStart,
  Replay,
  Repository,
  RepositoryStart,
  RollbackStart,
  Rollout,
  RolloutDetail,
  RolloutEvent,
  RolloutMove,
  RolloutStart,
  RolloutWeights,
  RowsReceipt,
  Run,
  RunDetail,
  RunStart,
  RunState,
  Schedule,
  ScheduleCreate,
  ScheduleEdit,
  ScheduleFiring,
  ScheduleMoment,
  Secret,
  Signature,
  SplitAnswer,
  SplitStart,
  Step,
  StepDebug,
  StepDetail,
  StepState,
  SweepDetail,
  SweepPlots,
  SweepRun,
  SweepStart,
  TableStatistics,
  Trigger,
  ValidationReport,
  ValidationStart,
  VersionDeploy,
  Worker,
} from "./api.js";
import type { ParamValue, ProjectSpec, SchemaSpec } from "./spec.js";

/** A server's answer that says no. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    readonly status: number,
    /** Stable, upper case: decide by it. */
    readonly code: string,
    message: string,
    readonly details?: unknown,
  ) {
    super(message);
  }
}

export interface ClientOptions {
  /** As `http://127.0.0.1:4600`. */
  url: string;
  token?: string | undefined;
  /** Default the platform's own. */
  fetch?: typeof globalThis.fetch;
}
export interface Page<T> {
  items: T[];
  next?: string;
}
type Query = Readonly<Record<string, string | number | boolean | undefined>>;
export type Paging = { limit?: number; after?: string };
type Bytes = Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | Blob;
interface Asked {
  query?: Query;
  json?: unknown;
  bytes?: Bytes;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
}

export type Client = ReturnType<typeof createClient>;

/**
 * `const client = createClient({ url }); const run = await client.pipelines.start("delay", { until: "2013-03" });`
 * What the server refuses is thrown as an ApiError; a server that can't be reached as what `fetch` throws.
 */
export function createClient({ url, token, fetch = globalThis.fetch }: ClientOptions) {
  const base = url.replace(/\/+$/, "");

  async function send(method: string, path: string, { query = {}, json, bytes, headers: more = {}, signal }: Asked): Promise<Response> {
    const address = new URL(base + path);
    for (const [key, value] of Object.entries(query)) if (value !== undefined) address.searchParams.set(key, String(value));
    const headers = new Headers({ accept: "application/json", ...more });
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    if (json !== undefined) headers.set("content-type", "application/json");
    if (bytes !== undefined) headers.set("content-type", "application/octet-stream");
    const init: RequestInit & { duplex?: "half" } = { method, headers };
    if (json !== undefined) init.body = JSON.stringify(json);
    if (bytes !== undefined) Object.assign(init, { body: bytes, duplex: "half" });
    if (signal !== undefined) init.signal = signal;
    const response = await fetch(address, init);
    if (response.ok) return response;
    throw await errorOf(response);
  }
  // The server validates what it answers against the types it is written with.
  async function ask<T>(method: string, path: string, asked: Asked = {}): Promise<T> {
    const response = await send(method, path, asked);
    const text = await response.text();
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }
  const get = <T>(path: string, query?: Query) => ask<T>("GET", path, query === undefined ? {} : { query });
  const part = encodeURIComponent;

  return {
    url: base,
    /** Any route, as those of the protocols beside Millrace's own. */
    request: ask,
    version: async () => (await send("GET", "/version", {})).text(),
    ready: async (signal?: AbortSignal) => (await send("GET", "/health", signal === undefined ? {} : { signal })).ok,
    clock: {
      get: () => get<ClockState>("/api/v1/clock"),
      /** Replaying servers only. */
      advance: (to: string | Date) => ask<ClockState>("POST", "/api/v1/clock", { json: { to: typeof to === "string" ? to : to.toISOString() } }),
    },
    /** Events as they come, from now on: an iterable that ends with the signal. It begins once the server listens. */
    eventStream: async (types: string, signal: AbortSignal) => eventsOf((await send("GET", "/api/v1/events/stream", { query: { types }, signal })).body),
    events: (query: Paging & { types?: string; newest?: boolean } = {}) => get<Page<Event>>("/api/v1/events", query),
    projects: {
      list: () => get<Page<ProjectVersion>>("/api/v1/projects"),
      plan: (spec: ProjectSpec) => ask<Plan>("POST", `/api/v1/projects/${part(spec.name)}/plan`, { json: spec }),
      apply: (spec: ProjectSpec) => ask<Plan & ProjectVersion>("PUT", `/api/v1/projects/${part(spec.name)}`, { json: spec }),
      /** A file of a project, named by its digest. */
      upload: (digest: string, bytes: Bytes) => ask<{ digest: string; size: number }>("PUT", `/api/v1/objects/${part(digest)}`, { bytes }),
    },
    repositories: {
      set: (name: string, repository: RepositoryStart) => ask<Repository>("PUT", `/api/v1/repositories/${part(name)}`, { json: repository }),
      list: () => get<Page<Repository>>("/api/v1/repositories"),
      get: (name: string) => get<Repository>(`/api/v1/repositories/${part(name)}`),
      delete: (name: string) => ask<void>("DELETE", `/api/v1/repositories/${part(name)}`),
      look: (name: string) => ask<unknown>("POST", `/api/v1/repositories/${part(name)}/look`),
      builds: (name: string, query?: Paging) => get<Page<Build>>(`/api/v1/repositories/${part(name)}/builds`, query),
    },
    /** With which the server signs what it releases by itself. */
    deliveryKey: () => get<DeliveryKey>("/api/v1/delivery/key"),
    environments: {
      list: (project?: string) => get<Page<Environment>>("/api/v1/environments", { project }),
      /** Back to what was there before. */
      rollback: (project: string, name: string, start: RollbackStart) =>
        ask<Promotion>("POST", `/api/v1/environments/${part(project)}/${part(name)}/rollback`, { json: start }),
    },
    promotions: {
      start: (promotion: PromotionStart) => ask<Promotion>("POST", "/api/v1/promotions", { json: promotion }),
      list: (query?: Paging & { project?: string; environment?: string; state?: PromotionState | "open" }) => get<Page<Promotion>>("/api/v1/promotions", query),
      get: (id: string) => get<PromotionDetail>(`/api/v1/promotions/${part(id)}`),
      answer: (id: string, answer: "approve" | "reject" | "cancel", comment?: string) =>
        ask<Promotion>("POST", `/api/v1/promotions/${part(id)}/${answer}`, { json: comment === undefined ? {} : { comment } }),
    },
    releases: {
      /** What it is made of was uploaded before; else an ApiError with the code FILES_MISSING says what is missing. */
      add: (release: ReleaseStart) => ask<Release>("POST", "/api/v1/releases", { json: release }),
      list: (query?: Paging & { project?: string }) => get<Page<Release>>("/api/v1/releases", query),
      get: (digest: string) => get<ReleaseDetail>(`/api/v1/releases/${part(digest)}`),
      sign: (digest: string, signature: object) => ask<Release>("POST", `/api/v1/releases/${part(digest)}/signatures`, { json: { signature } }),
      /** Makes it what the server has of its project: for another server, whose environment this one is. */
      deploy: (digest: string, reason: string) => ask<Deployed>("POST", `/api/v1/releases/${part(digest)}/deploy`, { json: { reason } }),
      /** Notes what a check of it found. */
      check: (digest: string, check: ReleaseCheckStart) => ask<ReleaseDetail>("POST", `/api/v1/releases/${part(digest)}/checks`, { json: check }),
    },
    datasets: {
      list: (query?: Paging) => get<Page<Dataset>>("/api/v1/datasets", query),
      get: (name: string) => get<Dataset>(`/api/v1/datasets/${part(name)}`),
      /** What is still to come from where it watches. */
      coming: (name: string) => get<DatasetComing>(`/api/v1/datasets/${part(name)}/coming`),
      versions: (name: string, query?: Paging & { status?: "accepted" | "quarantined" }) =>
        get<Page<DatasetVersion>>(`/api/v1/datasets/${part(name)}/versions`, query),
      version: (name: string, version: number) => get<DatasetVersionDetail>(`/api/v1/datasets/${part(name)}/versions/${version}`),
      /** The newest version that was accepted by a moment. */
      asOf: (name: string, at: string | Date) =>
        get<DatasetVersionDetail>(`/api/v1/datasets/${part(name)}/as-of`, { at: typeof at === "string" ? at : at.toISOString() }),
      partitions: (name: string, version: number) => get<Page<DatasetPartition>>(`/api/v1/datasets/${part(name)}/versions/${version}/partitions`),
      /** All rows, or those of one partition, as one file. */
      read: (name: string, version: number, query: { format?: "parquet" | "csv" | "jsonl"; partition?: string | undefined } = {}) =>
        send("GET", `/api/v1/datasets/${part(name)}/versions/${version}/data`, { query }),
      /** One part, as Parquet. */
      part: (name: string, version: number, digest: string) => send("GET", `/api/v1/datasets/${part(name)}/versions/${version}/parts/${part(digest)}`, {}),
      diff: (name: string, from: number, to: number, query: { statistics?: boolean } = {}) =>
        get<DatasetDiff>(`/api/v1/datasets/${part(name)}/diff`, { from, to, ...query }),
      split: (name: string, version: number, by: SplitStart) =>
        ask<SplitAnswer>("POST", `/api/v1/datasets/${part(name)}/versions/${version}/splits`, { json: by }),
      upload: (name: string, bytes: Bytes) => ask<{ digest: string; size: number }>("POST", `/api/v1/datasets/${part(name)}/uploads`, { bytes }),
      /** What was uploaded, lies in S3 or comes from a query becomes one version. Throws an ApiError with status 422 and the report where it is refused. */
      ingest: (name: string, of: IngestionStart) => ask<DatasetVersion>("POST", `/api/v1/datasets/${part(name)}/ingestions`, { json: of }),
      /**
       * Durable when it resolves; with a key it can be sent again. In a version soon after, or at once by `flush`. `online`: the feature views that take the
       * dataset's rows as they are have them too, 10,000 rows at most, and every read that begins afterwards counts them.
       */
      pushRows: (name: string, rows: readonly Readonly<Record<string, unknown>>[], { key, online }: { key?: string; online?: boolean } = {}) =>
        ask<RowsReceipt>("POST", `/api/v1/datasets/${part(name)}/rows`, {
          json: rows,
          ...(online === true ? { query: { online } } : {}),
          ...(key === undefined ? {} : { headers: { "idempotency-key": key } }),
        }),
      flush: (name: string) => ask<{ version: DatasetVersion | null }>("POST", `/api/v1/datasets/${part(name)}/flush`),
      /** A Parquet file. Throws an ApiError with status 422 and the report as details where the schema refuses it. */
      push: (name: string, file: string, bytes: Bytes) => ask<DatasetVersion>("PUT", `/api/v1/datasets/${part(name)}/files/${part(file)}`, { bytes }),
      /** Of each column of what a version added, or of the whole as of it. */
      statistics: (name: string, version: number, of: "added" | "whole" = "added") =>
        get<TableStatistics>(`/api/v1/datasets/${part(name)}/versions/${version}/statistics`, { of }),
      validate: (name: string, version: number, start: ValidationStart, of: "added" | "whole" = "added") =>
        ask<ValidationReport>("POST", `/api/v1/datasets/${part(name)}/versions/${version}/validate`, { query: { of }, json: start }),
      /** A schema that a version passes. */
      inferSchema: (name: string, version: number, as?: string) => get<SchemaSpec>(`/api/v1/datasets/${part(name)}/versions/${version}/schema`, { as }),
    },
    quarantine: {
      /** Refused versions that nobody decided about yet; with `decided` those too. */
      list: (query?: Paging & { dataset?: string; decided?: boolean }) => get<Page<DatasetVersion>>("/api/v1/quarantine", query),
      /** The version that the acceptance makes. */
      accept: (dataset: string, version: number, reason: string) =>
        ask<DatasetVersion>("POST", `/api/v1/datasets/${part(dataset)}/versions/${version}/accept`, { json: { reason } }),
      reject: (dataset: string, version: number, reason: string) =>
        ask<DatasetVersion>("POST", `/api/v1/datasets/${part(dataset)}/versions/${version}/reject`, { json: { reason } }),
    },
    schemas: {
      /** A file against a schema, applied or as it stands; with a `dataset`, as its next arrival. Parquet, or what the name of the `file` says. */
      validate: (schema: string | SchemaSpec, bytes: Blob, query: { environment?: string; dataset?: string; file?: string } = {}) => {
        if (typeof schema === "string") return ask<ValidationReport>("POST", `/api/v1/schemas/${part(schema)}/validate`, { query, bytes });
        const text = new Blob([JSON.stringify(schema)]);
        return ask<ValidationReport>("POST", "/api/v1/schemas/validate", { query: { ...query, schemaBytes: text.size }, bytes: new Blob([text, bytes]) });
      },
      infer: (name: string, bytes: Bytes, file?: string) => ask<SchemaSpec>("POST", "/api/v1/schemas/infer", { query: { name, file }, bytes }),
    },
    features: {
      views: () => get<Page<FeatureView>>("/api/v1/feature-views"),
      services: () => get<Page<FeatureService>>("/api/v1/feature-services"),
      /** At most 100,000 rows of the service's request columns, each with its own moment. */
      historical: (service: string, read: HistoricalRead) =>
        ask<HistoricalFeatures>("POST", `/api/v1/feature-services/${part(service)}/historical`, { json: read }),
      push: (view: string, columns: Columns) => ask<PushResult>("POST", `/api/v1/feature-views/${part(view)}/push`, { json: { columns } }),
      materialize: (view: string) => ask<PushResult>("POST", `/api/v1/feature-views/${part(view)}/materialize`, { json: {} }),
      online: (service: string, request: Columns) => ask<OnlineFeatures>("POST", `/api/v1/feature-services/${part(service)}/online`, { json: { request } }),
      check: (service: string, of: { endpoint: string; sample: number; from?: string; to?: string }) =>
        ask<FeatureComparison>("POST", `/api/v1/feature-services/${part(service)}/check`, { json: of }),
    },
    pipelines: {
      list: () => get<Page<Pipeline>>("/api/v1/pipelines"),
      get: (name: string) => get<Pipeline>(`/api/v1/pipelines/${part(name)}`),
      /** With `more`, a run that goes on with another one, begins at a step, or uses nothing of earlier runs again. */
      start: (name: string, params: Readonly<Record<string, ParamValue>> = {}, more: Omit<RunStart, "params"> = {}) =>
        ask<Run>("POST", `/api/v1/pipelines/${part(name)}/runs`, { json: { params, ...more } }),
      /** What each step of such a run would do, and why; nothing is run. */
      explain: (name: string, params: Readonly<Record<string, ParamValue>> = {}, more: Omit<RunStart, "params"> = {}) =>
        ask<Explanation>("POST", `/api/v1/pipelines/${part(name)}/explain`, { json: { params, ...more } }),
    },
    workers: () => get<Page<Worker>>("/api/v1/workers"),
    runs: {
      list: (query?: Paging & { pipeline?: string; state?: RunState | "active" }) => get<Page<Run>>("/api/v1/runs", query),
      get: (id: string) => get<RunDetail>(`/api/v1/runs/${part(id)}`),
      log: (id: string, step: string, from = 0) => get<LogPage>(`/api/v1/runs/${part(id)}/steps/${part(step)}/log`, { from }),
      cancel: (id: string) => ask<Run>("POST", `/api/v1/runs/${part(id)}/cancel`),
      steps: (id: string, query?: Paging & { parent?: string; state?: StepState }) => get<Page<Step>>(`/api/v1/runs/${part(id)}/steps`, query),
      step: (id: string, step: string) => get<StepDetail>(`/api/v1/runs/${part(id)}/steps/${part(step)}`),
      /** What is needed to run a step again elsewhere; its files are `objects`. */
      debug: (id: string, step: string) => get<StepDebug>(`/api/v1/runs/${part(id)}/steps/${part(step)}/debug`),
      /** A person's answer to a step that asks. */
      approve: (id: string, step: string, answer: Approval) => ask<Step>("POST", `/api/v1/runs/${part(id)}/steps/${part(step)}/approve`, { json: answer }),
    },
    /** The bytes of a file, by its digest. */
    object: async (digest: string) => (await send("GET", `/api/v1/objects/${part(digest)}`, {})).body,
    secrets: {
      list: () => get<Page<Secret>>("/api/v1/secrets"),
      set: (name: string, value: string) => ask<Secret>("PUT", `/api/v1/secrets/${part(name)}`, { json: { value } }),
      delete: (name: string) => ask<void>("DELETE", `/api/v1/secrets/${part(name)}`),
    },
    models: {
      list: (query?: Paging) => get<Page<Model>>("/api/v1/models", query),
      get: (name: string) => get<Model>(`/api/v1/models/${part(name)}`),
      versions: (name: string, query?: Paging) => get<Page<ModelVersion>>(`/api/v1/models/${part(name)}/versions`, query),
      version: (name: string, version: number) => get<ModelVersionDetail>(`/api/v1/models/${part(name)}/versions/${version}`),
      /** All that is known of a version, in one page. */
      card: async (name: string, version: number, format: ModelCardFormat = "markdown") =>
        (await send("GET", `/api/v1/models/${part(name)}/versions/${version}/card`, { query: { format } })).text(),
      setAlias: (name: string, alias: string, version: number) =>
        ask<Model>("PUT", `/api/v1/models/${part(name)}/aliases/${part(alias)}`, { json: { version } }),
      /** The bytes of one of a version's files. */
      file: async (name: string, version: number, path: string) =>
        (await send("GET", `/api/v1/models/${part(name)}/versions/${version}/files/${path.split("/").map(part).join("/")}`, {})).body,
      /** Makes a version of another server one of this, and what its endpoints answer with. */
      deploy: (version: VersionDeploy) => ask<Deployed>("POST", "/api/v1/models/deployments", { json: version }),
      signatures: (name: string, version: number) => get<Page<Signature>>(`/api/v1/models/${part(name)}/versions/${version}/signatures`),
      sign: (name: string, version: number, signature: object) =>
        ask<Page<Signature>>("POST", `/api/v1/models/${part(name)}/versions/${version}/signatures`, { json: { signature } }),
    },
    endpoints: {
      list: () => get<Page<Endpoint>>("/api/v1/endpoints"),
      get: (name: string) => get<Endpoint>(`/api/v1/endpoints/${part(name)}`),
      rollouts: (name: string, query?: Paging) => get<Page<Rollout>>(`/api/v1/endpoints/${part(name)}/rollouts`, query),
      /** With its plan, and what is known of each version by now. */
      rollout: (name: string, id: string) => get<RolloutDetail>(`/api/v1/endpoints/${part(name)}/rollouts/${part(id)}`),
      predictions: (name: string, query?: Paging & { from?: string; to?: string }) =>
        get<Page<Prediction>>(`/api/v1/endpoints/${part(name)}/predictions`, query),
      /** What became of its versions, newest first. */
      history: (name: string, query?: Paging & { rollout?: string }) => get<Page<RolloutEvent>>(`/api/v1/endpoints/${part(name)}/history`, query),
      /** Begins a rollout. This and what follows resolve when every process answers by it. */
      try: (name: string, start: RolloutStart) => ask<Rollout>("POST", `/api/v1/endpoints/${part(name)}/rollouts`, { json: start }),
      weights: (name: string, weights: RolloutWeights) => ask<Rollout>("PUT", `/api/v1/endpoints/${part(name)}/rollouts/weights`, { json: weights }),
      pause: (name: string, move: RolloutMove = {}) => ask<Rollout>("POST", `/api/v1/endpoints/${part(name)}/rollouts/pause`, { json: move }),
      resume: (name: string, move: RolloutMove = {}) => ask<Rollout>("POST", `/api/v1/endpoints/${part(name)}/rollouts/resume`, { json: move }),
      advance: (name: string, move: RolloutMove = {}) => ask<Rollout>("POST", `/api/v1/endpoints/${part(name)}/rollouts/advance`, { json: move }),
      promote: (name: string, move: RolloutMove = {}) => ask<Rollout>("POST", `/api/v1/endpoints/${part(name)}/promote`, { json: move }),
      /** Ends what is tried; where nothing is, the version that answered before answers again. */
      rollback: (name: string, move: RolloutMove = {}) => ask<Rollout>("POST", `/api/v1/endpoints/${part(name)}/rollback`, { json: move }),
      /** No version answers any more: the declared fallback does, or nothing. */
      kill: (name: string, why: EndpointSwitch = {}) => ask<Endpoint>("POST", `/api/v1/endpoints/${part(name)}/kill`, { json: why }),
      revive: (name: string, why: EndpointSwitch = {}) => ask<Endpoint>("POST", `/api/v1/endpoints/${part(name)}/revive`, { json: why }),
      /** By ids, or by columns of the request and the moment: `{ entity: { card: "c-17" }, at: "2024-03-01T12:00:00Z", label: true }`. */
      label: (name: string, labels: readonly Label[], { within }: { within?: string } = {}) =>
        ask<LabelResult>("POST", `/api/v1/endpoints/${part(name)}/labels`, { json: { labels, ...(within === undefined ? {} : { within }) } }),
      /** By the Open Inference Protocol: rows of the request's columns; one prediction for each. */
      infer: (name: string, body: InferRequest) => ask<InferResponse>("POST", `/v2/models/${part(name)}/infer`, { json: body }),
    },
    inferenceGraphs: { list: () => get<Page<InferenceGraph>>("/api/v1/inference-graphs") },
    predictions: {
      get: (id: string) => get<Prediction>(`/api/v1/predictions/${part(id)}`),
      /** The same version on what was logged, once more. */
      replay: (id: string) => ask<Replay>("POST", `/api/v1/predictions/${part(id)}/replay`),
      /** What each feature gave to it; with `top`, the largest so many. */
      explanation: (id: string, query: { top?: number | undefined } = {}) => get<PredictionExplanation>(`/api/v1/predictions/${part(id)}/explanation`, query),
    },
    monitors: {
      list: () => get<Page<Monitor>>("/api/v1/monitors"),
      get: (name: string) => get<Monitor>(`/api/v1/monitors/${part(name)}`),
      checks: (name: string, query?: Paging & { from?: string; to?: string }) => get<Page<MonitorCheck>>(`/api/v1/monitors/${part(name)}/checks`, query),
      performance: (name: string, query: { by: "day" | "month"; version?: number; from?: string; to?: string }) =>
        get<Performance[] | Page<Performance>>(`/api/v1/monitors/${part(name)}/performance`, query).then((answer) =>
          Array.isArray(answer) ? answer : answer.items,
        ),
    },
    triggers: {
      list: () => get<Page<Trigger>>("/api/v1/triggers"),
      get: (name: string) => get<Trigger>(`/api/v1/triggers/${part(name)}`),
      firings: (name: string, query?: Paging) => get<Page<Firing>>(`/api/v1/triggers/${part(name)}/firings`, query),
      pause: (name: string) => ask<Trigger>("POST", `/api/v1/triggers/${part(name)}/pause`),
      resume: (name: string) => ask<Trigger>("POST", `/api/v1/triggers/${part(name)}/resume`),
    },
    schedules: {
      list: () => get<Page<Schedule>>("/api/v1/schedules"),
      get: (name: string) => get<Schedule>(`/api/v1/schedules/${part(name)}`),
      create: (schedule: ScheduleCreate) => ask<Schedule>("POST", "/api/v1/schedules", { json: schedule }),
      /** Of a schedule that a project defines, it holds in place of the definition until `reset`. */
      edit: (name: string, change: ScheduleEdit) => ask<Schedule>("PATCH", `/api/v1/schedules/${part(name)}`, { json: change }),
      reset: (name: string) => ask<Schedule>("POST", `/api/v1/schedules/${part(name)}/reset`),
      pause: (name: string) => ask<Schedule>("POST", `/api/v1/schedules/${part(name)}/pause`),
      resume: (name: string) => ask<Schedule>("POST", `/api/v1/schedules/${part(name)}/resume`),
      /** Starts its run now. */
      fire: (name: string) => ask<ScheduleFiring>("POST", `/api/v1/schedules/${part(name)}/fire`),
      delete: (name: string) => ask<Schedule>("DELETE", `/api/v1/schedules/${part(name)}`),
      next: (name: string, count = 10) => get<Page<ScheduleMoment>>(`/api/v1/schedules/${part(name)}/next`, { count }),
      firings: (name: string, query?: Paging) => get<Page<ScheduleFiring>>(`/api/v1/schedules/${part(name)}/firings`, query),
    },
    backfills: {
      start: (backfill: BackfillStart) => ask<Backfill>("POST", "/api/v1/backfills", { json: backfill }),
      list: (query?: Paging & { pipeline?: string }) => get<Page<Backfill>>("/api/v1/backfills", query),
      get: (id: string) => get<Backfill>(`/api/v1/backfills/${part(id)}`),
      items: (id: string, query?: Paging & { state?: BackfillItem["state"] }) => get<Page<BackfillItem>>(`/api/v1/backfills/${part(id)}/items`, query),
      pause: (id: string) => ask<Backfill>("POST", `/api/v1/backfills/${part(id)}/pause`),
      resume: (id: string) => ask<Backfill>("POST", `/api/v1/backfills/${part(id)}/resume`),
      cancel: (id: string) => ask<Backfill>("POST", `/api/v1/backfills/${part(id)}/cancel`),
      /** Does the failed and cancelled ones again. */
      retry: (id: string) => ask<Backfill>("POST", `/api/v1/backfills/${part(id)}/retry`),
    },
    sweeps: {
      start: (sweep: SweepStart) => ask<SweepRun>("POST", "/api/v1/sweeps", { json: sweep }),
      list: (query?: Paging & { pipeline?: string }) => get<Page<SweepRun>>("/api/v1/sweeps", query),
      get: (id: string) => get<SweepDetail>(`/api/v1/sweeps/${part(id)}`),
      plots: (id: string) => get<SweepPlots>(`/api/v1/sweeps/${part(id)}/plots`),
      pause: (id: string) => ask<SweepRun>("POST", `/api/v1/sweeps/${part(id)}/pause`),
      resume: (id: string) => ask<SweepRun>("POST", `/api/v1/sweeps/${part(id)}/resume`),
      cancel: (id: string) => ask<SweepRun>("POST", `/api/v1/sweeps/${part(id)}/cancel`),
    },
    /** What something was made from. `kind` is `prediction`, `model_version`, `run`, `dataset_version` and so on. */
    gc: {
      start: (options: CollectionStart = {}) => ask<Collection>("POST", "/api/v1/gc", { json: options }),
      get: (id: string) => get<Collection>(`/api/v1/gc/${part(id)}`),
      list: (query?: Paging) => get<Page<Collection>>("/api/v1/gc", query),
    },
    lineage: (kind: string, id: string, direction: LineageDirection = "back") => get<Lineage>(`/api/v1/lineage/${part(kind)}/${part(id)}`, { direction }),
  };
}

/** The data of server-sent events, one after the other. */
async function* eventsOf(body: ReadableStream<Uint8Array<ArrayBuffer>> | null): AsyncGenerator<Event> {
  const reader = body?.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const read = await reader?.read();
    if (read === undefined || read.done) return;
    const parts = (rest + decoder.decode(read.value, { stream: true })).split("\n\n");
    rest = parts.pop() ?? "";
    for (const one of parts) {
      const data = one.split("\n").find((line) => line.startsWith("data: "));
      if (data !== undefined) yield JSON.parse(data.slice("data: ".length)) as Event;
    }
  }
}

/** A tensor of the Open Inference Protocol. */
export interface Tensor {
  name: string;
  shape: readonly number[];
  datatype: string;
  data: readonly (string | number | boolean | null)[];
}
export interface InferRequest {
  id?: string;
  /** `explain`: true, or how many of the largest attributions: the output `explanation` is JSON of a PredictionExplanation for each row. */
  parameters?: Readonly<Record<string, string | number | boolean>>;
  inputs: readonly Tensor[];
}
export interface InferResponse {
  id?: string;
  model_name: string;
  model_version?: string;
  parameters?: Readonly<Record<string, unknown>>;
  outputs: Tensor[];
}

async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const body: unknown = JSON.parse(text);
    if (isErrorBody(body)) return new ApiError(response.status, body.error.code, body.error.message, body.error.details);
    // The Open Inference Protocol's errors are texts, MLflow's have a code beside.
    if (typeof body === "object" && body !== null && "error" in body && typeof body.error === "string")
      return new ApiError(response.status, "ERROR", body.error);
    if (typeof body === "object" && body !== null && "message" in body && typeof body.message === "string")
      return new ApiError(response.status, "ERROR", body.message);
  } catch {
    // Not JSON: a proxy's page.
  }
  return new ApiError(response.status, "ERROR", `The server answered ${response.status}${text === "" ? "" : `: ${text.slice(0, 200)}`}.`);
}

function isErrorBody(body: unknown): body is ApiErrorBody {
  if (typeof body !== "object" || body === null || !("error" in body)) return false;
  const { error } = body;
  return typeof error === "object" && error !== null && "code" in error && "message" in error && typeof error.message === "string";
}
