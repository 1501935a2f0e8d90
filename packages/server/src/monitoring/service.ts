import { durationMs } from "@millrace/sdk";
import type { Columns, MonitorCheck, Performance } from "@millrace/sdk/api";
import type { ColumnType } from "@millrace/sdk/spec";
import { sql } from "kysely";
import { binaryMetrics, modelInput, populationStability, type RegisteredVersion, streamColumns } from "../evaluation/index.js";
import type { Pipelines } from "../pipelines/index.js";
import { ApiError, notFound, type Platform } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import type { Serving } from "../serving/index.js";
import { alertOf, type Bound } from "./alert.js";
import { countInto, type Distribution } from "./distribution.js";
import { referenceOf } from "./reference.js";
import type { Monitoring } from "./types.js";

interface TrainedOn {
  features: { name: string; type: ColumnType; distribution: Distribution }[];
  prediction: Distribution | null;
}

/** After a pause, so many missed checks are made up for; older ones are not. */
const mostMissed = 62;

export function createMonitoring(
  platform: Platform,
  on: { projects: Projects; serving: Serving; registry: Registry; pipelines: Pick<Pipelines, "get"> },
): Monitoring {
  const { db, duckdb, events, clock, log } = platform;

  async function definition(name: string): Promise<Definition<"monitor">> {
    const found = await on.projects.get("monitor", name);
    if (found === undefined) throw notFound("monitor", name);
    return found;
  }
  async function latest(name: string, metric?: string): Promise<MonitorCheck | undefined> {
    const { rows } = await sql<{ found: MonitorCheck }>`
      select found from monitor_check where monitor = ${name} ${metric === undefined ? sql`` : sql`and found -> 'metrics' ->> ${metric} is not null`}
      order by at desc limit 1`.execute(db);
    return rows[0]?.found;
  }

  /** Monitor → the moment of a check that found nothing, before the first prediction: it is not looked at again at every tick, and the next begin after it. */
  const nothingAt = new Map<string, number>();
  clock.onTick("monitoring", async (now) => {
    for (const monitor of await on.projects.list("monitor")) {
      try {
        await checkWhatIsDue(monitor, now);
      } catch (error) {
        log.error({ error, monitor: monitor.name }, "a monitor's check failed; it is tried again at the next tick");
      }
    }
  });

  /** Checks are made at whole multiples of `every` since 1970 in UTC: daily ones at midnight. */
  async function checkWhatIsDue({ name, spec }: Definition<"monitor">, now: Date): Promise<void> {
    const every = durationMs(spec.every);
    const newest = Math.floor(now.getTime() / every) * every;
    const last = await latest(name);
    const looked = last === undefined ? nothingAt.get(name) : Date.parse(last.at);
    if (looked !== undefined && looked >= newest) return;
    // What was looked at last may be no multiple: `every` can be changed.
    const next = looked === undefined ? newest : (Math.floor(looked / every) + 1) * every;
    for (let at = Math.max(next, newest - (mostMissed - 1) * every); at <= newest; at += every) {
      const found = await check(name, spec, new Date(at));
      const before = await latest(name);
      // Before the first prediction there is nothing to look at, and no check.
      if (found.rows === 0 && before === undefined) nothingAt.set(name, at);
      else await record(found, before);
    }
  }

  async function record(found: MonitorCheck, before: MonitorCheck | undefined): Promise<void> {
    await db.transaction().execute(async (transaction) => {
      const { rows } = await sql`
        insert into monitor_check (monitor, at, found) values (${found.monitor}, ${found.at}, ${JSON.stringify(found)}::jsonb)
        on conflict do nothing returning monitor`.execute(transaction);
      if (rows.length === 0) return;
      const { monitor, at, drifted, metrics, alert } = found;
      await events.append(transaction, "monitor.checked", monitor, { monitor, at, drifted, metrics });
      if (alert !== null && (before?.alert ?? null) === null) await events.append(transaction, "monitor.alert", monitor, { monitor, reason: alert });
    });
  }

  async function check(name: string, spec: Definition<"monitor">["spec"], at: Date): Promise<MonitorCheck> {
    const from = new Date(at.getTime() - durationMs(spec.window ?? spec.every));
    const endpoint = await on.projects.require("endpoint", spec.endpoint);
    const version = await on.registry.byAlias(endpoint.spec.model, spec.reference.alias);
    const reference = version === undefined ? undefined : await trainedOn(spec.endpoint, version);
    const seen = await look(spec.endpoint, from, at, reference);
    const features = seen.features.map(({ feature, psi }) => ({ feature, psi, drifted: psi > spec.drift.threshold }));
    const driftShare = features.length === 0 ? null : features.filter((f) => f.drifted).length / features.length;
    const drifted = driftShare !== null && driftShare >= spec.drift.share;
    const labelled = seen.labels.length;
    const all: Record<string, unknown> =
      labelled >= spec.performance.minLabels ? { ...binaryMetrics(Float64Array.from(seen.predictions), Uint8Array.from(seen.labels)) } : {};
    const metrics = Object.fromEntries(spec.performance.metrics.map((metric) => [metric, typeof all[metric] === "number" ? all[metric] : null]));
    return {
      monitor: name,
      at: at.toISOString(),
      from: from.toISOString(),
      to: at.toISOString(),
      rows: seen.rows,
      labelled,
      version: version?.version ?? null,
      driftShare,
      drifted,
      predictionPsi: seen.predictionPsi,
      features,
      metrics,
      alert: alertOf({ features, drifted, metrics, labelled }, spec.drift.threshold, await boundsOf(name)),
    };
  }
  /** The bounds below which triggers take a metric of the monitor for bad. */
  async function boundsOf(monitor: string): Promise<Bound[]> {
    const triggers = await on.projects.list("trigger");
    return triggers.flatMap(({ spec }) => spec.when.flatMap((one) => (one.kind === "below" && one.monitor === monitor ? [one] : [])));
  }

  /** What a version was trained on, by each of its features. undefined where that is not known: checks go on without it. */
  async function trainedOn(endpoint: string, version: RegisteredVersion): Promise<TrainedOn | undefined> {
    try {
      const scorer = await on.serving.scorer(endpoint, version.version);
      const reference = await referenceOf(platform, version, scorer, on.pipelines.get);
      if (reference === undefined) return undefined;
      const features = scorer.features.flatMap((feature) => {
        const distribution = reference.features[feature.name];
        return distribution === undefined ? [] : [{ ...feature, distribution }];
      });
      return { features, prediction: reference.prediction };
    } catch (error) {
      log.warn({ error, endpoint, version: version.version }, "what the version was trained on can't be read; the check goes on without it");
      return undefined;
    }
  }

  async function look(endpoint: string, from: Date, to: Date, reference: TrainedOn | undefined) {
    return on.serving.usePredictions(endpoint, { from, to }, async (connection, relation) => {
      const compared = (reference?.features ?? []).map((feature) => ({
        name: feature.name,
        before: feature.distribution,
        column: { type: feature.type, sql: modelInput(feature, "f_") },
      }));
      const prediction = reference?.prediction ?? null;
      if (prediction !== null) compared.push({ name: "", before: prediction, column: { type: "float64", sql: "prediction" } });
      const { rows, counts } = await countInto(
        { duckdb, connection, relation },
        compared.map(({ column, before }) => ({ column, bins: before.bins })),
      );
      const psi = compared.flatMap(({ name, before }, i) => {
        const index = populationStability(before.counts, counts[i] ?? []);
        return index === null ? [] : [{ feature: name, psi: index }];
      });

      const labelled: { predictions: number[]; labels: number[] } = { predictions: [], labels: [] };
      for await (const batch of streamColumns(connection, `select prediction, label from ${relation} where label is not null`)) {
        for (const value of batch.columns.prediction ?? []) labelled.predictions.push(Number(value));
        for (const value of batch.columns.label ?? []) labelled.labels.push(Number(value) > 0.5 ? 1 : 0);
      }
      return {
        rows,
        ...labelled,
        features: psi.filter(({ feature }) => feature !== ""),
        predictionPsi: psi.find(({ feature }) => feature === "")?.psi ?? null,
      };
    });
  }

  async function toMonitor({ name, project, spec }: Definition<"monitor">) {
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from monitor_check where monitor = ${name}`.execute(db);
    return { name, project, endpoint: spec.endpoint, every: spec.every, last: (await latest(name)) ?? null, checks: rows[0]?.n ?? 0 };
  }

  return {
    monitors: async () => Promise.all((await on.projects.list("monitor")).map(toMonitor)),
    monitor: async (name) => toMonitor(await definition(name)),
    latest,
    async checks(name, { from, to, after, limit }) {
      await definition(name);
      const { rows } = await sql<{ found: MonitorCheck }>`
        select found from monitor_check where monitor = ${name}
          ${from === undefined ? sql`` : sql`and at >= ${from}`} ${to === undefined ? sql`` : sql`and at < ${to}`} ${after === undefined ? sql`` : sql`and at > ${after}`}
        order by at limit ${limit}`.execute(db);
      return rows.map((row) => row.found);
    },
    async performance(name, { by, version, from, to }) {
      const { spec } = await definition(name);
      const scorer = version === undefined ? undefined : await on.serving.scorer(spec.endpoint, version);
      return on.serving.usePredictions(spec.endpoint, { from, to }, async (connection, relation) => {
        const inputs = (scorer?.features ?? []).map((feature) => `${modelInput(feature, "f_")} as "f_${feature.name}"`);
        const period = `strftime("at", '${by === "day" ? "%Y-%m-%d" : "%Y-%m"}') as period`;
        const found: Performance[] = [];
        let current: { period: string; predictions: number[]; labels: number[] } | undefined;
        const finish = () => {
          if (current === undefined) return;
          const metrics = binaryMetrics(Float64Array.from(current.predictions), Uint8Array.from(current.labels));
          found.push({ period: current.period, version: version ?? null, metrics });
        };
        const rows = `select ${[period, "prediction", "label", ...inputs].join(", ")} from ${relation} where label is not null order by "at"`;
        for await (const batch of streamColumns(connection, rows)) {
          const predictions = scorer === undefined ? (batch.columns.prediction ?? []) : await score(scorer, batch.columns, batch.rows);
          for (const [row, label] of (batch.columns.label ?? []).entries()) {
            const of = String(batch.columns.period?.[row]);
            if (current?.period !== of) {
              finish();
              current = { period: of, predictions: [], labels: [] };
            }
            current.predictions.push(Number(predictions[row]));
            current.labels.push(Number(label) > 0.5 ? 1 : 0);
          }
        }
        finish();
        return found;
      });
    },
  };
}

async function score(scorer: Awaited<ReturnType<Serving["scorer"]>>, columns: Columns, rows: number): Promise<Float64Array> {
  const inputs = Object.fromEntries(scorer.features.map(({ name }) => [name, columns[`f_${name}`] ?? []]));
  return scorer.predict(inputs, rows).catch((error: Error) => {
    throw new ApiError(422, "MODEL_FAILED", `The version can't be run on what was logged: ${error.message}`);
  });
}
