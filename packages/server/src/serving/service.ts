import { durationMs } from "@millrace/sdk";
import type { Columns, Endpoint, Prediction } from "@millrace/sdk/api";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import { Counter } from "prom-client";
import type { Features } from "../features/index.js";
import type { Inference } from "../inference/index.js";
import { ApiError, conflict, identifier, invalid, literal, newId, notFound, type Platform } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import { askFeatures, askTensors, type Ran } from "./asked.js";
import { openDeployments } from "./deployments.js";
import { interfaceProblem } from "./given.js";
import { openPredictionLog } from "./log/index.js";
import { featureLog, type LogSchema, tensorLog } from "./log/schema.js";
import type { Sought } from "./log/segments.js";
import { createRollouts } from "./rollouts.js";
import { addCounts, addRolloutCounts, type EndpointState, listRollouts, runningRollouts, states, toRollout, writeLabels } from "./store.js";
import { shareOf, type Traffic, watchTraffic } from "./traffic.js";
import type { InferAnswer, InferRequest, Serving, Takes } from "./types.js";

/** How old the state of the endpoints may be before it is asked for beside the requests, and before they wait for it. */
const trustMs = 200;
const staleMs = 1_000;
/** The columns of an endpoint whose model has no version yet. */
const nothingYet = tensorLog({ inputs: [], outputs: [], batches: true });
/** How often what was counted becomes a part of what all processes know. */
const settleMs = 1_000;

interface Tried {
  requests: number;
  errors: number;
}
interface Counted {
  predictions: number;
  errors: number;
  rollouts: Map<string, Tried>;
  /** What the candidate of a rollout was asked since it was counted last. */
  tried(rollout: string): Tried;
  traffic: Traffic;
}

export async function createServing(
  platform: Platform,
  on: { projects: Projects; registry: Registry; features: Pick<Features, "readOnline" | "service">; inference: Inference },
): Promise<Serving> {
  const { db, clock, log, metrics } = platform;
  const deployments = openDeployments({ ...on, objects: platform.objects });
  const predictionLog = await openPredictionLog(platform);
  const counted = new Map<string, Counted>();
  let known: Map<string, EndpointState> | undefined;
  let knownAt = Number.NEGATIVE_INFINITY;
  let loading: Promise<void> | undefined;
  const predictions = new Counter({
    name: "millrace_predictions_total",
    help: "Rows predicted",
    labelNames: ["endpoint", "version", "route"] as const,
    registers: [metrics.registry],
  });

  // ------------------------------------------------------------------------------------ which version

  async function load(): Promise<void> {
    const began = performance.now();
    const [rows, running] = await Promise.all([states(db), runningRollouts(db)]);
    const next = new Map<string, EndpointState>();
    for (const [endpoint, row] of rows) next.set(endpoint, { ...row, rollout: running.find((r) => r.endpoint === endpoint) });
    // One that began later has seen more.
    if (began < knownAt) return;
    known = next;
    knownAt = began;
  }
  function refresh(): Promise<void> {
    loading ??= load().finally(() => {
      loading = undefined;
    });
    return loading;
  }
  /** From memory; asked again beside the requests that come meanwhile. */
  async function stateOf(endpoint: string): Promise<EndpointState | undefined> {
    const age = performance.now() - knownAt;
    if (age > staleMs) await refresh();
    else if (age > trustMs) void refresh().catch((error) => log.error({ error }, "the endpoints' state could not be read"));
    return known?.get(endpoint);
  }
  async function definition(name: string): Promise<Definition<"endpoint">> {
    const found = await on.projects.get("endpoint", name);
    if (found === undefined) throw notFound("endpoint", name);
    return found;
  }
  function countOf(endpoint: string): Counted {
    let found = counted.get(endpoint);
    if (found === undefined) {
      const rollouts = new Map<string, Tried>();
      const tried = (rollout: string) => {
        const known = rollouts.get(rollout) ?? { requests: 0, errors: 0 };
        rollouts.set(rollout, known);
        return known;
      };
      found = { predictions: 0, errors: 0, rollouts, tried, traffic: watchTraffic() };
      counted.set(endpoint, found);
    }
    return found;
  }
  let settled: Promise<void> = Promise.resolve();
  /** One after the other, so that nothing is on its way when it resolves. */
  function settleCounts(): Promise<void> {
    const next = settled.then(writeCounts);
    settled = next.catch(() => {});
    return next;
  }
  async function writeCounts(): Promise<void> {
    for (const [endpoint, counts] of counted) {
      const { predictions: rows, errors } = counts;
      if (rows > 0 || errors > 0) {
        counts.predictions = 0;
        counts.errors = 0;
        await addCounts(db, endpoint, rows, errors).catch((error) => {
          counts.predictions += rows;
          counts.errors += errors;
          throw error;
        });
      }
      for (const [id, tried] of counts.rollouts) {
        counts.rollouts.delete(id);
        await addRolloutCounts(db, id, tried.requests, tried.errors).catch((error) => {
          const since = counts.rollouts.get(id) ?? { requests: 0, errors: 0 };
          counts.rollouts.set(id, { requests: since.requests + tried.requests, errors: since.errors + tried.errors });
          throw error;
        });
      }
    }
  }
  const settling = setInterval(() => void settleCounts().catch((error) => log.error({ error }, "counts of predictions wait for the database")), settleMs);
  settling.unref();

  // ---------------------------------------------------------------------------------------- the answer

  const serviceOf = async ({ spec }: Definition<"endpoint">): Promise<FeatureServiceSpec | undefined> =>
    spec.service === undefined ? undefined : on.features.service(spec.service);
  const open = async ({ spec }: Definition<"endpoint">, service: FeatureServiceSpec | undefined, version: number): Promise<unknown> =>
    service === undefined ? deployments.open(spec.model, version) : deployments.fitted(spec.model, version, service);
  const notDeployed = ({ name, spec }: Definition<"endpoint">) =>
    new ApiError(503, "NOT_DEPLOYED", `The endpoint "${name}" has no version to answer with yet: register one of "${spec.model}" by running its pipeline.`);

  async function takes(name: string, version?: number): Promise<Takes> {
    const endpoint = await definition(name);
    const service = await serviceOf(endpoint);
    if (service !== undefined) return { kind: "features", service };
    const of = version ?? (await stateOf(name))?.stable ?? undefined;
    if (of === undefined) throw notDeployed(endpoint);
    return { kind: "tensors", model: await deployments.open(endpoint.spec.model, of) };
  }

  async function infer(name: string, request: InferRequest): Promise<InferAnswer> {
    const began = performance.now();
    const endpoint = await definition(name);
    const { spec } = endpoint;
    const service = await serviceOf(endpoint);
    const state = await stateOf(name);
    const counts = countOf(name);
    const asked =
      service === undefined
        ? askTensors({ deployments }, spec.model, request)
        : await askFeatures({ deployments, features: on.features }, spec.model, service, request);
    const id = request.id ?? newId();

    let answered: { version: number; route: string; ran: Ran };
    try {
      answered = await choose();
    } catch (error) {
      if (error instanceof ApiError) {
        // What is wrong with the request is no error of the endpoint.
        if (error.status >= 500) counts.errors++;
        throw error;
      }
      counts.errors++;
      log.error({ error, endpoint: name }, "a request could not be predicted");
      throw new ApiError(503, "MODEL_FAILED", `The endpoint "${name}" could not answer: ${(error as Error).message}`);
    }
    const { version, route, ran } = answered;
    const { rows } = ran;
    const ids = rows === 1 ? [id] : Array.from({ length: rows }, (_, row) => `${id}:${row}`);
    const at = request.moment;
    await predictionLog.append(
      name,
      ran.schema,
      ids.map((rowId, row) => ({ id: rowId, at, as_of: ran.asOf(row), version, route, prediction: ran.prediction(row), ...ran.logged(row) })),
    );
    counts.predictions += rows;
    predictions.inc({ endpoint: name, version: String(version), route }, rows);
    counts.traffic.observe(performance.now() - began);
    return { id, version, outputs: ran.outputs, ids };

    async function choose(): Promise<typeof answered> {
      if (request.version !== undefined) return { version: request.version, route: "pinned", ran: await asked.run(request.version) };
      const stable = state?.stable ?? null;
      if (stable === null) throw notDeployed(endpoint);
      const rollout = state?.rollout;
      if (rollout !== undefined && shareOf(id) < rollout.weight) {
        counts.tried(rollout.id).requests++;
        try {
          return { version: rollout.candidate, route: "candidate", ran: await asked.run(rollout.candidate) };
        } catch (error) {
          // Nobody who asks pays for a trial. What the stable version can't answer either is the request's fault.
          const ran = await asked.run(stable);
          counts.tried(rollout.id).errors++;
          log.warn(
            { endpoint: name, version: rollout.candidate, reason: (error as Error).message },
            "the candidate failed a request; the stable version answers it",
          );
          return { version: stable, route: "fallback", ran };
        }
      }
      return { version: stable, route: "stable", ran: await asked.run(stable) };
    }
  }

  // ------------------------------------------------------------------------------------------- the log

  const usePredictions: Serving["usePredictions"] = async (name, span, work) => {
    return predictionLog.use(name, await schemaOf(name), span, work);
  };
  /** The columns of the log as the endpoint is now. */
  async function schemaOf(name: string): Promise<LogSchema> {
    const { spec } = await definition(name);
    if (spec.service === undefined && (await stateOf(name))?.stable == null) return nothingYet;
    const taken = await takes(name);
    return taken.kind === "features" ? featureLog(taken.service) : tensorLog(taken.model);
  }
  async function featuresOf(endpoint: Definition<"endpoint">): Promise<FeatureServiceSpec> {
    const service = await serviceOf(endpoint);
    if (service === undefined) throw conflict(`The endpoint "${endpoint.name}" takes what its model takes, and has no features.`);
    return service;
  }
  const scorer: Serving["scorer"] = async (name, version) => {
    const endpoint = await definition(name);
    const service = await featuresOf(endpoint);
    const model = await deployments.fitted(endpoint.spec.model, version, service);
    return { features: service.features, predict: (columns, rows) => model.predict(columns, rows) };
  };
  async function readPredictions(name: string, sought: Sought, limit: number): Promise<Prediction[]> {
    const { spec } = await definition(name);
    const where = sought.id === undefined ? "" : `where id = ${literal(sought.id)}`;
    return predictionLog.use(name, await schemaOf(name), sought, async (connection, relation) => {
      const rows = await platform.duckdb.rows<Record<string, unknown>>(`select * from ${relation} ${where} order by "at" desc, id limit ${limit}`, connection);
      return rows.map((row) => toPrediction(row, name, spec.model));
    });
  }

  const rollouts = createRollouts(platform, {
    ...on,
    serving: { usePredictions, scorer },
    ready: async (endpoint, version, stable) => {
      const service = await serviceOf(endpoint);
      await open(endpoint, service, version);
      if (service !== undefined || stable === null) return;
      const { model } = endpoint.spec;
      const problem = interfaceProblem(await deployments.open(model, stable), await deployments.open(model, version));
      if (problem !== undefined) throw new Error(`requests for v${stable} are none for it: ${problem}`);
    },
    settleCounts,
    changed: load,
  });

  let tidied = 0;
  clock.onTick("serving", async (now) => {
    await rollouts.judge();
    // By real time: on a replayed clock a tick may be hours after the last.
    if (performance.now() - tidied < 5_000) return;
    tidied = performance.now();
    for (const { name, spec } of await on.projects.list("endpoint")) {
      const { retain } = spec.log;
      await predictionLog.tidy(name, retain === undefined ? undefined : new Date(now.getTime() - durationMs(retain)));
    }
  });

  async function toEndpoint({ name, project, spec }: Definition<"endpoint">): Promise<Endpoint> {
    const state = known?.get(name);
    const counts = countOf(name);
    const last = state?.rollout ?? (await listRollouts(db, name, 1))[0];
    return {
      name,
      project,
      model: spec.model,
      service: spec.service ?? null,
      stable: state?.stable ?? null,
      candidate: state?.rollout?.candidate ?? null,
      weight: state?.rollout?.weight ?? 0,
      ...counts.traffic.summary(),
      predictions: (state?.predictions ?? 0) + counts.predictions,
      errors: (state?.errors ?? 0) + counts.errors,
      rollout: last === undefined ? null : toRollout(last),
    };
  }

  return {
    infer,
    takes,
    async endpoints() {
      await load();
      return Promise.all((await on.projects.list("endpoint")).map(toEndpoint));
    },
    async endpoint(name) {
      const found = await definition(name);
      await load();
      return toEndpoint(found);
    },
    async rollouts(name, limit) {
      await definition(name);
      await settleCounts();
      return (await listRollouts(db, name, limit)).map(toRollout);
    },
    rollback: async (name, reason) => {
      await definition(name);
      return toRollout(await rollouts.rollback(name, reason));
    },
    async label(name, labels, at) {
      const { spec } = await definition(name);
      const numbers = labels.map(({ id, label }) => {
        const number = Number(label);
        if (spec.service !== undefined && number !== 0 && number !== 1)
          throw invalid(`The label of "${id}" is ${number}. An endpoint of probabilities takes true and false, or 1 and 0.`);
        return { id, label: number };
      });
      await writeLabels(db, name, numbers, at);
      return labels.length;
    },
    async prediction(id) {
      for (const { name } of await on.projects.list("endpoint")) {
        const [found] = await readPredictions(name, { id }, 1);
        if (found !== undefined) return found;
      }
      throw notFound("prediction", id);
    },
    predictions: (name, { limit, ...span }) => readPredictions(name, { ...span, newest: span.to === undefined ? limit : undefined }, limit),
    usePredictions,
    async loggedPredictions({ endpoint, sample, from, to }) {
      const service = await featuresOf(await definition(endpoint));
      // A date has no time of day.
      const dates = [
        ...service.request.map((column) => ({ ...column, name: `r_${column.name}` })),
        ...service.features.map((f) => ({ ...f, name: `f_${f.name}` })),
      ]
        .filter(({ type }) => type === "date")
        .map(({ name }) => `strftime(${identifier(name)}, '%Y-%m-%d') as ${identifier(name)}`)
        .join(", ");
      return usePredictions(endpoint, { from, to }, async (connection, relation) => {
        const rows = await platform.duckdb.rows<Record<string, unknown>>(
          `select * ${dates === "" ? "" : `replace (${dates})`} from (select * from ${relation}) using sample reservoir(${Math.trunc(sample)} rows) repeatable (1)`,
          connection,
        );
        const columns = (prefix: string, of: { name: string }[]): Columns =>
          Object.fromEntries(of.map(({ name }) => [name, rows.map((row) => plain(row[`${prefix}${name}`]))]));
        return {
          request: columns("r_", service.request),
          features: columns("f_", service.features),
          at: rows.map((row) => (row.as_of instanceof Date ? row.as_of : new Date(String(row.as_of)))),
        };
      });
    },
    scorer,
    async load(name, version) {
      const endpoint = await definition(name);
      await open(endpoint, await serviceOf(endpoint), version);
    },
    unload: async (name) => deployments.unload((await definition(name)).spec.model),
    async stop() {
      clearInterval(settling);
      await settleCounts();
      await predictionLog.close();
      await deployments.close();
    },
  };
}

const plain = (value: unknown): string | number | boolean | null =>
  value instanceof Date ? value.toISOString() : typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : null;
/** JSON has no NaN. */
const finite = (value: unknown): unknown =>
  Array.isArray(value) ? value.map(finite) : typeof value === "number" && !Number.isFinite(value) ? null : plain(value);

function toPrediction(row: Record<string, unknown>, endpoint: string, model: string): Prediction {
  const part = (prefix: string) =>
    Object.fromEntries(Object.entries(row).flatMap(([name, value]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), finite(value)]] : [])));
  /** In a column each, or all of them in one, as JSON. */
  const side = (all: string, prefix: string): Record<string, unknown> => (typeof row[all] === "string" ? JSON.parse(row[all]) : part(prefix));
  const time = (value: unknown) => (value instanceof Date ? value.toISOString() : null);
  return {
    id: String(row.id),
    endpoint,
    model,
    version: Number(row.version),
    at: time(row.at) ?? "",
    route: String(row.route),
    request: part("r_"),
    features: part("f_"),
    inputs: side("inputs", "i_"),
    outputs: side("outputs", "o_"),
    prediction: typeof row.prediction === "number" ? row.prediction : null,
    label: typeof row.label === "number" ? row.label : null,
    labelledAt: time(row.labelled_at),
  };
}
