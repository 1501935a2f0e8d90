import { durationMs } from "@millrace/sdk";
import type { Columns, Endpoint, Prediction } from "@millrace/sdk/api";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import { Counter } from "prom-client";
import type { Features } from "../features/index.js";
import type { Inference, Tensor } from "../inference/index.js";
import { ApiError, conflict, identifier, invalid, literal, newId, notFound, type Platform } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import { type Asked, askFeatures, askTensors, type Ran } from "./asked.js";
import { openDeployments } from "./deployments.js";
import { interfaceProblem, mostRows } from "./given.js";
import { joinLabels } from "./labels.js";
import { openPredictionLog } from "./log/index.js";
import { featureLog, type LogSchema, tensorLog } from "./log/schema.js";
import type { Sought } from "./log/segments.js";
import { replay } from "./replay.js";
import { placeOf } from "./rollouts/assignment.js";
import { rolloutDetail } from "./rollouts/detail.js";
import { createRollouts } from "./rollouts/service.js";
import { openShadows } from "./rollouts/shadows.js";
import { listEvents, listRollouts, toRollout } from "./rollouts/store.js";
import { openTallies } from "./rollouts/tally.js";
import { wishesOf } from "./rollouts/wishes.js";
import { keyOf, killed, notDeployed, openRouting, type Routed } from "./routing.js";
import { openStates } from "./states.js";
import { addCounts, type Counts, countsOf, writeLabels } from "./store.js";
import { type Traffic, watchTraffic } from "./traffic.js";
import { type InferAnswer, type InferRequest, type Serving, type Takes, trialIds } from "./types.js";

/** The columns of an endpoint whose model has no version yet. */
const nothingYet = tensorLog({ inputs: [], outputs: [], batches: true });
/** Endpoints whose models are opened at the start. */
const mostWarm = 50;
/** How often what was counted becomes a part of what all processes know. */
const settleMs = 1_000;

type Became = "logged" | "sampledOut" | "dropped";
interface Counted {
  /** Since they were written last. */
  counts: Counts;
  /** Since the start: what became of rows in the log, and how many were predicted by which version and route. */
  seen: Record<Became, number>;
  predicted: Map<string, number>;
  traffic: Traffic;
}
const noCounts = (): Counts => ({ predictions: 0, errors: 0, logged: 0, sampledOut: 0, dropped: 0 });

export async function createServing(
  platform: Platform,
  on: { projects: Projects; registry: Registry; features: Pick<Features, "readOnline" | "service">; inference: Inference; answers?: boolean },
): Promise<Serving> {
  const { db, clock, log, metrics } = platform;
  const deployments = openDeployments({ ...on, objects: platform.objects }, { memoryBytes: platform.config.modelMemoryBytes });
  const predictionLog = await openPredictionLog(platform);
  const counted = new Map<string, Counted>();
  // Read from the counts when somebody asks: told at every request, they took more of it than its model.
  new Counter({
    name: "millrace_predictions_total",
    help: "Rows predicted",
    labelNames: ["endpoint", "version", "route"] as const,
    registers: [metrics.registry],
    collect() {
      this.reset();
      for (const [endpoint, { predicted }] of counted)
        for (const [by, rows] of predicted) {
          const [version = "", route = ""] = by.split(" ");
          this.inc({ endpoint, version, route }, rows);
        }
    },
  });
  new Counter({
    name: "millrace_predictions_logged_total",
    help: "Rows predicted, by what became of them in the prediction log: logged, sampled_out or dropped",
    labelNames: ["endpoint", "outcome"] as const,
    registers: [metrics.registry],
    collect() {
      this.reset();
      for (const [endpoint, { seen }] of counted) {
        this.inc({ endpoint, outcome: "logged" }, seen.logged);
        this.inc({ endpoint, outcome: "sampled_out" }, seen.sampledOut);
        this.inc({ endpoint, outcome: "dropped" }, seen.dropped);
      }
    },
  });

  // ------------------------------------------------------------------------------------ which version

  const states = openStates(platform, {
    load: async (name, version) => {
      const endpoint = await definition(name);
      await open(endpoint, await serviceOf(endpoint), version);
    },
    answers: on.answers ?? true,
    keep: (versions) => void keep(versions).catch((error) => log.warn({ error }, "versions could not be kept in memory")),
  });
  const tallies = openTallies(db);
  const routing = openRouting({ states, tallies, log });
  const shadows = openShadows({ tallies, log });

  /** What answers, what is tried, and where a rollback goes stay in memory wherever the endpoint is in use. */
  async function keep(versions: readonly { endpoint: string; version: number }[]): Promise<void> {
    const kept: { model: string; version: number }[] = [];
    for (const { endpoint, version } of versions) {
      const found = await on.projects.get("endpoint", endpoint);
      if (found !== undefined) kept.push({ model: found.spec.model, version });
    }
    deployments.keep(kept);
  }
  /** What is known is there at once: waiting for nothing, several times a request, is much of what a request costs. */
  function definition(name: string): Definition<"endpoint"> | Promise<Definition<"endpoint">> {
    const glanced = on.projects.glance("endpoint", name);
    return glanced === undefined || glanced instanceof Promise ? sought(name, glanced) : glanced;
  }
  async function sought(name: string, glanced: Promise<Definition<"endpoint"> | undefined> | undefined): Promise<Definition<"endpoint">> {
    const found = (await glanced) ?? (await on.projects.get("endpoint", name));
    if (found === undefined) throw notFound("endpoint", name);
    return found;
  }
  function countOf(endpoint: string): Counted {
    let found = counted.get(endpoint);
    if (found === undefined) {
      found = { counts: noCounts(), seen: { logged: 0, sampledOut: 0, dropped: 0 }, predicted: new Map(), traffic: watchTraffic() };
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
    for (const [endpoint, one] of counted) {
      const told = one.counts;
      if (told.predictions + told.errors === 0) continue;
      one.counts = noCounts();
      await addCounts(db, endpoint, told).catch((error) => {
        add(one.counts, told);
        throw error;
      });
    }
    await tallies.settle();
  }
  const settling = setInterval(() => void settleCounts().catch((error) => log.error({ error }, "counts of predictions wait for the database")), settleMs);
  settling.unref();

  // ---------------------------------------------------------------------------------------- the answer

  const serviceOf = ({ spec }: Definition<"endpoint">): Promise<FeatureServiceSpec> | undefined =>
    spec.service === undefined ? undefined : on.features.service(spec.service);
  const open = async ({ spec }: Definition<"endpoint">, service: FeatureServiceSpec | undefined, version: number): Promise<unknown> =>
    service === undefined ? deployments.open(spec.model, version) : deployments.fitted(spec.model, version, service);

  async function takes(name: string, version?: number): Promise<Takes> {
    const endpoint = await definition(name);
    const service = await serviceOf(endpoint);
    if (service !== undefined) return { kind: "features", service };
    const of = version ?? (await states.of(name))?.stable ?? undefined;
    if (of === undefined) throw notDeployed(name, endpoint.spec.model);
    return { kind: "tensors", model: await deployments.open(endpoint.spec.model, of) };
  }

  async function infer(name: string, request: InferRequest): Promise<InferAnswer> {
    const began = performance.now();
    const defined = definition(name);
    const endpoint = defined instanceof Promise ? await defined : defined;
    const { spec } = endpoint;
    const promised = serviceOf(endpoint);
    const service = promised === undefined ? undefined : await promised;
    const counts = countOf(name);
    const id = request.id ?? newId();
    const told = states.of(name);
    const state = told instanceof Promise ? await told : told;
    const key = keyOf(request.key, state?.rollout?.stickyBy ?? ("stickyBy" in spec.rollout ? spec.rollout.stickyBy : undefined), request.inputs);

    let answered: Routed;
    let ask: (() => Asked) | undefined;
    try {
      // Neither features nor models are asked for what is killed.
      if (state?.killed != null) answered = fallback(endpoint, service, request);
      else {
        const asked = service === undefined ? undefined : await askFeatures({ deployments, features: on.features }, spec.model, service, request);
        // A copy outlives its request.
        ask = () => asked ?? askTensors(deployments, spec.model, { ...request, deadline: undefined, signal: undefined });
        const routed = await routing.route(endpoint, asked ?? askTensors(deployments, spec.model, request), { id, key, version: request.version });
        answered = routed === killed ? fallback(endpoint, service, request) : routed;
      }
    } catch (error) {
      if (error instanceof ApiError) {
        // What is wrong with the request is no error of the endpoint.
        if (error.status >= 500) counts.counts.errors++;
        throw error;
      }
      counts.counts.errors++;
      log.error({ error, endpoint: name }, "a request could not be predicted");
      throw new ApiError(503, "MODEL_FAILED", `The endpoint "${name}" could not answer: ${(error as Error).message}`);
    }
    const { version, route, ran, copyFor } = answered;
    const { rows } = ran;
    const ids = rows === 1 ? [id] : Array.from({ length: rows }, (_, row) => `${id}:${row}`);
    const at = request.moment;
    const latency = Math.round((performance.now() - began) * 1_000) / 1_000;
    // What a request asks for itself is nobody's rule.
    const rollout = route === "pinned" || route === killed ? null : (state?.rollout?.id ?? null);
    const append = (of: Ran, by: number, as: string, suffix: string) => {
      const caller = request.caller ?? null;
      if (of.packed !== undefined) {
        const { columns, prediction } = of.packed;
        const packed = { id, suffix, rows, at, version: by, route: as, key: key ?? null, latency_ms: latency, caller, rollout, columns, prediction };
        return predictionLog.appendPacked(name, of.schema, packed);
      }
      const shared = { at, version: by, route: as, key: key ?? null, latency_ms: latency, caller, rollout };
      return predictionLog.append(
        name,
        of.schema,
        ids.map((rowId, row) => ({ ...shared, id: `${rowId}${suffix}`, as_of: of.asOf(row), prediction: of.prediction(row), ...of.logged(row) })),
      );
    };
    const became = await keepRows(endpoint, id, () => append(ran, version, route, ""));
    counts.counts.predictions += rows;
    counts.counts[became] += rows;
    counts.seen[became] += rows;
    const by = `${version} ${route}`;
    counts.predicted.set(by, (counts.predicted.get(by) ?? 0) + rows);
    counts.traffic.observe(performance.now() - began);
    if (copyFor !== undefined && ask !== undefined) {
      const { candidate } = copyFor;
      shadows.offer({
        ...{ endpoint: name, rollout: copyFor, asked: ask(), answered: ran, bytes: sizeOf(request) },
        keep: async (theirs) => void (await keepRows(endpoint, id, () => append(theirs, candidate, "shadow", `~${candidate}`))),
      });
    }
    return { id, version, outputs: ran.outputs, ids, logged: ran.logged, from: service === undefined ? "tensors" : "features" };
  }

  /** Says what became of a request's rows in the log. Throws where they can't be logged, and must be. */
  async function keepRows({ name, spec }: Definition<"endpoint">, id: string, append: () => Promise<boolean>): Promise<Became> {
    const { sample = 1, required = true } = spec.log;
    // By the id alone: a request that is sent again is left out again.
    if (sample < 1 && placeOf(`${name}/log/${id}`) >= sample) return "sampledOut";
    try {
      return (await append()) ? "logged" : "dropped";
    } catch (error) {
      if (required) throw error;
      log.warn({ error, endpoint: name }, "predictions were not logged, and need not be");
      return "dropped";
    }
  }

  /** The same for every row, whatever was asked. */
  function fallback({ name, spec }: Definition<"endpoint">, service: FeatureServiceSpec | undefined, { inputs, moment }: InferRequest): Routed {
    if (spec.fallback === undefined)
      throw new ApiError(
        503,
        "KILLED",
        `The endpoint "${name}" is switched off, and its definition has no fallback to answer with. It answers again when somebody revives it.`,
      );
    const rows = inputs[0]?.shape[0] ?? 1;
    if (rows === 0 || rows > mostRows) throw invalid(`A request has 1 to ${mostRows} rows, not ${rows}.`);
    const outputs = Object.entries(spec.fallback).map(([output, value]): Tensor => {
      if (typeof value === "string") return { name: output, datatype: "BYTES", shape: [rows], data: new Array<string>(rows).fill(value) };
      if (typeof value === "boolean") return { name: output, datatype: "BOOL", shape: [rows], data: new Uint8Array(rows).fill(value ? 1 : 0) };
      return { name: output, datatype: "FP64", shape: [rows], data: new Float64Array(rows).fill(value) };
    });
    const last = Object.values(spec.fallback).at(-1);
    return {
      ...{ version: 0, route: killed },
      ran: {
        ...{ outputs, rows, schema: service === undefined ? nothingYet : featureLog(service) },
        ...{ asOf: () => moment, prediction: () => (typeof last === "number" ? last : null), logged: () => ({}) },
      },
    };
  }

  // ------------------------------------------------------------------------------------------- the log

  const usePredictions: Serving["usePredictions"] = async (name, span, work) => {
    const answers = (relation: string) => `(select * from ${relation} where route not in ('shadow', '${killed}') and not starts_with(id, '${trialIds}'))`;
    return predictionLog.use(name, await schemaOf(name), span, (connection, relation) => work(connection, answers(relation)));
  };
  /** The columns of the log as the endpoint is now. */
  async function schemaOf(name: string): Promise<LogSchema> {
    const { spec } = await definition(name);
    if (spec.service === undefined && (await states.of(name))?.stable == null) return nothingYet;
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
    const schema = await schemaOf(name);
    // Of the model's own tensors whole numbers of 64 bits are read as texts, so that none is rounded.
    const wide = schema.filter(([column, type]) => /^[io]_/.test(column) && /^U?BIGINT/.test(type));
    const asText = wide.map(([column, type]) => `${identifier(column)}::${type.endsWith("[]") ? "varchar[]" : "varchar"} as ${identifier(column)}`);
    const columns = wide.length === 0 ? "*" : `* replace (${asText.join(", ")})`;
    return predictionLog.use(name, schema, sought, async (connection, relation) => {
      const rows = await platform.duckdb.rows<Record<string, unknown>>(
        `select ${columns} from ${relation} ${where} order by "at" desc, id limit ${limit}`,
        connection,
      );
      for (const row of rows) for (const [column] of wide) row[column] = whole(row[column]);
      return rows.map((row) => toPrediction(row, name, spec.model));
    });
  }

  async function found(id: string): Promise<Prediction> {
    for (const { name } of await on.projects.list("endpoint")) {
      const [one] = await readPredictions(name, { id }, 1);
      if (one !== undefined) return one;
    }
    throw notFound("prediction", id);
  }

  const rollouts = createRollouts(platform, {
    ...on,
    ...{ states, serving: { usePredictions, scorer, takes }, settleCounts },
    ready: async (endpoint, version, stable) => {
      const service = await serviceOf(endpoint);
      await open(endpoint, service, version);
      if (service !== undefined || stable === null) return;
      const { model } = endpoint.spec;
      const problem = interfaceProblem(await deployments.open(model, stable), await deployments.open(model, version));
      if (problem !== undefined) throw new Error(`requests for v${stable} are none for it: ${problem}`);
    },
  });

  /** What answers is in memory before it is asked for, of as many endpoints as a server commonly has; what can't be is told to whoever asks. */
  async function warmUp(endpoints: readonly Definition<"endpoint">[]): Promise<void> {
    const warmed = endpoints.map(async (endpoint) => {
      const stable = (await states.of(endpoint.name))?.stable;
      if (closed || stable == null) return;
      await Promise.resolve(serviceOf(endpoint))
        .then((service) => open(endpoint, service, stable))
        .catch(() => {});
    });
    await Promise.all(warmed);
  }
  let closed = false;
  const warm = on.answers === false ? [] : (await on.projects.list("endpoint")).slice(0, mostWarm);
  if (warm.length > 0) on.inference.prepare();
  void warmUp(warm).catch((error) => log.warn({ error }, "models are opened when they are asked for"));

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
    const state = await states.of(name);
    const counts = countOf(name);
    const before = await countsOf(db, name);
    add(before, counts.counts);
    const [last] = await listRollouts(db, name, 1);
    const running = last?.state === "running" ? last : undefined;
    return {
      name,
      project,
      model: spec.model,
      service: spec.service ?? null,
      stable: state?.stable ?? null,
      candidate: running?.candidate ?? null,
      weight: running?.weight ?? 0,
      ...counts.traffic.summary(),
      predictions: before.predictions,
      errors: before.errors,
      log: { logged: before.logged, sampledOut: before.sampledOut, dropped: before.dropped },
      rollout: last === undefined ? null : toRollout(last),
      earlier: state?.earlier ?? [],
      preparing: (await wishesOf(db, name)).map((wish) => wish.version),
      killed: state?.killed == null ? null : { ...state.killed, at: new Date(state.killed.at).toISOString() },
      fallback: spec.fallback ?? null,
    };
  }

  return {
    infer,
    takes,
    async endpoints() {
      await settleCounts();
      return Promise.all((await on.projects.list("endpoint")).map(toEndpoint));
    },
    async endpoint(name) {
      const found = await definition(name);
      await settleCounts();
      return toEndpoint(found);
    },
    async rollouts(name, limit) {
      await definition(name);
      await settleCounts();
      return (await listRollouts(db, name, limit)).map(toRollout);
    },
    async rollout(name, id) {
      await definition(name);
      await settleCounts();
      const found = await rolloutDetail(db, name, id);
      if (found === undefined) throw notFound(`rollout of the endpoint "${name}"`, id);
      return found;
    },
    async history(name, query) {
      await definition(name);
      return listEvents(db, name, query);
    },
    startRollout: async (name, start, by) => toRollout(await rollouts.start(await definition(name), start, by)),
    reweighRollout: async (name, { arms, reason }, by) => toRollout(await rollouts.reweigh(await definition(name), arms, reason, by)),
    async moveRollout(name, act, move, by) {
      await settleCounts();
      const endpoint = await definition(name);
      return toRollout(act === "promote" ? await rollouts.promote(endpoint, move, by) : await rollouts[act](endpoint, move.reason, by));
    },
    async setKilled(name, isKilled, reason, by) {
      const endpoint = await definition(name);
      await (isKilled ? rollouts.kill(endpoint, reason, by) : rollouts.revive(endpoint, reason, by));
      return toEndpoint(endpoint);
    },
    isKilled: async (name) => (await states.of(name))?.killed != null,
    async label(name, push, at) {
      const { spec } = await definition(name);
      const { labels, unmatched } = await joinLabels(push, {
        ...{ probability: spec.service !== undefined, schema: await schemaOf(name), duckdb: platform.duckdb },
        use: (span, work) => usePredictions(name, span, work),
      });
      if (labels.length > 0) await writeLabels(db, name, labels, at);
      return { accepted: push.labels.length - unmatched.length, unmatched: unmatched.slice(0, 1_000) };
    },
    async replay(id) {
      const prediction = await found(id);
      return replay(deployments, prediction, await serviceOf(await definition(prediction.endpoint)));
    },
    prediction: found,
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
    async served(name, version) {
      const endpoint = await definition(name);
      const service = await serviceOf(endpoint);
      await open(endpoint, service, version);
      return { name: endpoint.spec.model, model: await deployments.open(endpoint.spec.model, version), service };
    },
    async load(name, version) {
      const endpoint = await definition(name);
      await open(endpoint, await serviceOf(endpoint), version);
    },
    unload: async (name) => deployments.unload((await definition(name)).spec.model),
    launch: rollouts.launch,
    halt: rollouts.halt,
    async stop() {
      closed = true;
      clearInterval(settling);
      shadows.stop();
      await settleCounts();
      await states.close();
      await predictionLog.close();
      await deployments.close();
    },
  };
}

/** A number where it is one exactly, else the text as it is. */
const whole = (value: unknown): unknown =>
  Array.isArray(value) ? value.map(whole) : typeof value === "string" && Number.isSafeInteger(Number(value)) ? Number(value) : value;

function add(to: Counts, more: Counts): void {
  to.predictions += more.predictions;
  to.errors += more.errors;
  to.logged += more.logged;
  to.sampledOut += more.sampledOut;
  to.dropped += more.dropped;
}

/** About how much memory a request holds. */
const sizeOf = ({ inputs }: InferRequest): number =>
  inputs.reduce((sum, { shape, datatype }) => sum + (datatype === "BYTES" ? 64 : 8) * shape.reduce((product, size) => product * size, 1), 1_024);

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
    key: typeof row.key === "string" ? row.key : null,
    latencyMs: typeof row.latency_ms === "number" ? row.latency_ms : null,
    caller: typeof row.caller === "string" ? row.caller : null,
    rollout: typeof row.rollout === "string" ? row.rollout : null,
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
