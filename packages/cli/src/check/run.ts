/** A check: its pipeline run on the sample, and what came out held against what is asked. */
import { openAsBlob } from "node:fs";
import path from "node:path";
import type { CheckSpec } from "@millrace/sdk";
import type { Artifact, RunDetail, Step } from "@millrace/sdk/api";
import type { Client } from "@millrace/sdk/client";
import { everyNode, isProcess, type NodeSpec, type ParamValue, type PipelineSpec } from "@millrace/sdk/spec";
import { CliError } from "../errors.js";
import { readLog } from "../follow.js";
import { count } from "../output.js";
import { openDuck } from "../transfer/duck.js";
import { quoted } from "../transfer/tables.js";
import { columnsOf, fetched, identifier, misfits, oddMetrics, oddPredictions, type Reader, reportOf, sizeOf, unlike } from "./artifacts.js";
import { overfitDataset, overfitPipeline, type Rehearsal, tablesOf } from "./rehearsal.js";
import type { CheckedPipeline, Collector } from "./result.js";
import { falls, loggedBy, losses, outside, short } from "./training.js";

const longestMs = 15 * 60_000;
const lookMs = 250;
const over = new Set<RunDetail["state"]>(["succeeded", "failed", "refused", "cancelled"]);
const ended = new Set<Step["state"]>(["succeeded", "cached"]);

/** What runs at this moment, for a line that the next one takes the place of. */
export type Now = (line: string) => void;

export async function runCheck(rehearsal: Rehearsal, check: CheckSpec, found: Collector, now: Now): Promise<CheckedPipeline> {
  const { client } = rehearsal;
  const result: CheckedPipeline = { name: check.name, pipeline: check.pipeline, models: [], metrics: {}, series: [], gates: [], steps: [] };
  const pipeline = rehearsal.spec.pipelines.find(({ name }) => name === check.pipeline);
  if (pipeline === undefined) return result;
  result.models = everyNode(pipeline.nodes).flatMap((node) => (node.kind === "register" ? [node.config.model] : []));
  const run = await found.timed(check.name, "runs on the sample", async () => {
    const value = await toEnd(client, check.pipeline, check.params, (line) => now(`${check.name}: ${line}`));
    return value.state === "succeeded" ? { value } : { value, state: "failed", message: value.message?.split("\n")[0] ?? `it ended as ${value.state}` };
  });
  if (run === undefined) return result;
  result.steps = run.steps.map(({ id, state, durationMs }) => ({ id, state, ms: durationMs }));
  const duck = await openDuck();
  const reader: Reader = { duck, client, folder: rehearsal.folder };
  try {
    await tellSteps(client, run, check, found);
    await judgeArtifacts(reader, run, pipeline, check, found);
    await judgeInputs(reader, run, pipeline, check, found);
    await judgeNumbers(reader, run, pipeline, check, found, result);
    if (check.overfits !== undefined) await overfit(rehearsal, reader, run, pipeline, check, found, result, now);
  } finally {
    await duck.close();
  }
  return result;
}

/** Says yes where a person is asked. */
async function toEnd(client: Client, pipeline: string, params: Readonly<Record<string, ParamValue>>, now: (line: string) => void): Promise<RunDetail> {
  const { id } = await client.pipelines.start(pipeline, params);
  for (const began = performance.now(); ; await new Promise((resolve) => setTimeout(resolve, lookMs))) {
    const run = await client.runs.get(id);
    if (over.has(run.state)) return run;
    const busy = run.steps.filter(({ state }) => state === "running" || state === "asking");
    now([`${run.steps.filter(({ state }) => ended.has(state)).length} of ${run.stepCount} steps`, ...busy.map((step) => step.id)].join(" · "));
    for (const step of busy)
      if (step.state === "asking" && step.kind === "approval") await client.runs.approve(id, step.id, { approved: true, comment: "millrace check" });
    if (performance.now() - began > longestMs) {
      await client.runs.cancel(id);
      const waits = busy.map((step) => step.id).join(", ") || run.steps.find(({ state }) => state === "ready")?.reason;
      throw new CliError(`It was ended after ${longestMs / 60_000} min; what it was at: ${waits}. Take a smaller sample, or other params.`);
    }
  }
}

/** One case a step. Of a map's items those are told that failed. */
async function tellSteps(client: Client, run: RunDetail, check: CheckSpec, found: Collector): Promise<void> {
  const ids = new Map(run.steps.map((step) => [step.id, step]));
  for (const step of run.steps) {
    const bad = step.state === "failed" || step.state === "refused" || step.state === "cancelled";
    if (step.parent !== null && !bad) continue;
    const name = `step ${step.id}`;
    const ms = step.durationMs ?? 0;
    if (ended.has(step.state)) {
      const items = step.items === null ? undefined : `${count(step.items.total)} items`;
      found.add({ group: check.name, name, state: "passed", ms, ...(items === undefined ? {} : { message: items }) });
    } else if (bad) {
      const log = await readLog(client, run.id, step.id, 0).catch(() => ({ lines: [] as string[] }));
      const place = run.spec.nodes.find(({ id }) => id === step.node)?.definedAt;
      found.add({
        ...{ group: check.name, name, state: "failed", ms, message: step.error?.split("\n")[0] ?? `it ended as ${step.state}` },
        details: log.lines.slice(-40),
        ...(place === undefined ? {} : { place }),
      });
    } else {
      const why = step.reason ?? (ids.size > 1 && run.state !== "succeeded" ? "a step before it did not end well" : step.state);
      found.add({ group: check.name, name, state: "skipped", ms: 0, message: why });
    }
  }
}

/** That each output is there, can be read, and is what the check says of it. */
async function judgeArtifacts(reader: Reader, run: RunDetail, pipeline: PipelineSpec, check: CheckSpec, found: Collector): Promise<void> {
  for (const node of everyNode(pipeline.nodes)) {
    for (const output of node.outputs) {
      const name = `artifact ${node.id}.${output.name}`;
      const asked = check.artifacts[node.id]?.[output.name];
      const made = run.steps.filter((step) => step.node === node.id && step.kind !== "map" && ended.has(step.state));
      const artifacts = made.flatMap((step) => step.outputs[output.name] ?? []);
      const [first] = artifacts;
      if (node.kind === "map" || node.kind === "choose" || (first === undefined && made.length === 0 && asked === undefined)) continue;
      if (first === undefined) {
        const message = made.length === 0 ? "its step gave nothing" : "it is missing";
        found.add({ group: check.name, name, state: asked === undefined ? "failed" : "refused", ms: 0, message });
        continue;
      }
      if (asked === undefined) {
        const size = await sizeOf(reader, first);
        found.add({ group: check.name, name, state: size.startsWith("0 rows") ? "warned" : "passed", ms: 0, message: size });
        continue;
      }
      await found.timed(check.name, name, async () => {
        const wrong = [];
        for (const one of artifacts) wrong.push(...(await misfits(reader, one, asked)));
        if (wrong.length === 0) return { value: undefined, message: await sizeOf(reader, first) };
        return { value: undefined, state: "refused", message: wrong[0] ?? "", ...(wrong.length > 1 ? { details: wrong } : {}) };
      });
    }
  }
}

/** That each step can read what the steps before it gave: of the type that it takes, with the columns that it names. */
async function judgeInputs(reader: Reader, run: RunDetail, pipeline: PipelineSpec, check: CheckSpec, found: Collector): Promise<void> {
  const nodes = everyNode(pipeline.nodes);
  for (const node of nodes) {
    // What was skipped read nothing.
    if (run.steps.every((step) => step.node !== node.id || step.state === "skipped")) continue;
    const wrong: string[] = [];
    const read: string[] = [];
    for (const [name, ref] of Object.entries(node.inputs)) {
      if (!("node" in ref)) continue;
      const given = run.steps.flatMap((step) => (step.node === ref.node && ended.has(step.state) ? (step.outputs[ref.output] ?? []) : []));
      if (given.length === 0) continue;
      read.push(`${ref.node}.${ref.output}`);
      const declared = takenColumns(node, name);
      for (const artifact of given) {
        if (artifact.type === "table") wrong.push(...(await unlike(reader, artifact, declared)).map((what) => `${ref.node}.${ref.output}: ${what}`));
      }
    }
    if (read.length === 0) continue;
    const place = node.definedAt === undefined ? {} : { place: node.definedAt };
    const name = `inputs of ${node.id}`;
    if (wrong.length === 0) found.add({ group: check.name, name, state: "passed", ms: 0, message: read.join(", ") });
    else found.add({ group: check.name, name, state: "failed", ms: 0, message: wrong[0] ?? "", details: wrong, ...place });
  }
}
function takenColumns(node: NodeSpec, input: string): Readonly<Record<string, "string" | "int64" | "float64" | "boolean" | "timestamp" | "date">> {
  return isProcess(node) ? (node.takes?.[input]?.columns ?? {}) : {};
}

/** That all metrics and predictions are numbers, that the loss fell, and that the metrics are as asked. */
async function judgeNumbers(
  reader: Reader,
  run: RunDetail,
  pipeline: PipelineSpec,
  check: CheckSpec,
  found: Collector,
  result: CheckedPipeline,
): Promise<void> {
  const { name: group } = check;
  const logged = await loggedBy(reader.client, run.trackingRunId);
  result.metrics = { ...logged.last, ...run.metrics };
  result.series = logged.series;
  if (run.modelVersion !== null) {
    const [model = "", version = ""] = run.modelVersion.split("/");
    result.gates = (await reader.client.models.version(model, Number(version))).gates.map(({ gate, passed, message }) => ({ gate, passed, message }));
    const no = result.gates.filter(({ passed }) => !passed);
    if (result.gates.length > 0)
      found.add({
        ...{ group, name: "gates", state: no.length === 0 ? "passed" : "warned", ms: 0 },
        message:
          no.length === 0
            ? `${result.gates.length} of ${result.gates.length} say yes`
            : `on the sample: ${no.map(({ gate, message }) => `${gate}: ${message}`).join(" ")}`,
      });
  }
  const odd = [...logged.odd];
  const oddOnes: string[] = [];
  let models = 0;
  for (const step of run.steps) {
    for (const [output, artifact] of Object.entries(step.outputs)) {
      if (!ended.has(step.state)) continue;
      if (artifact.type === "report" && step.kind === "evaluate") {
        const report = await reportOf(reader, artifact);
        if (report !== undefined) odd.push(...oddMetrics(report));
      }
      const column = predictedBy(pipeline, step.node);
      if (artifact.type !== "model" && column === undefined) continue;
      models++;
      oddOnes.push(...(await oddPredictions(reader, artifact, column)).map((what) => `${step.id}.${output}: ${what}`));
    }
  }
  const judge = (name: string, wrong: readonly string[], right: string) =>
    found.add({
      ...{ group, name, state: wrong.length === 0 ? "passed" : "refused", ms: 0, message: wrong[0] ?? right },
      ...(wrong.length > 1 ? { details: [...wrong] } : {}),
    });
  const numbers = Object.keys(result.metrics).length;
  if (numbers > 0 || odd.length > 0) judge("metrics are numbers", odd, `${numbers} of them`);
  if (models > 0) judge("predictions are numbers", oddOnes, "all of them");
  for (const [name, bounds] of Object.entries(check.metrics)) {
    const value = result.metrics[name];
    judge(`metric ${name}`, outside(result.metrics, { [name]: bounds }), value === undefined ? "" : short(value));
  }
  judgeLosses(run, check, found, result, judge);
}

const predictedBy = (pipeline: PipelineSpec, id: string): string | undefined => {
  const node = everyNode(pipeline.nodes).find((one) => one.id === id);
  return node?.kind === "predict" ? node.config.column : undefined;
};

function judgeLosses(
  run: RunDetail,
  check: CheckSpec,
  found: Collector,
  { series }: CheckedPipeline,
  judge: (name: string, wrong: readonly string[], right: string) => void,
): void {
  const curves = losses(series, check.falls);
  for (const curve of curves) {
    const seen = falls(curve);
    const told = `from ${short(seen.from)} to ${short(seen.to)} over ${curve.value.length} values`;
    judge(`loss falls: ${curve.key}`, seen.falls ? [] : [`it does not fall: ${told}`], told);
  }
  for (const key of check.falls ?? [])
    if (!curves.some((curve) => curve.key === key)) judge(`loss falls: ${key}`, ["the training logs no such metric by step, or a single value"], "");
  const trains = run.steps.some((step) => step.state === "succeeded" && isOwn(step) && Object.values(step.outputs).some(({ type }) => type === "model"));
  if (trains && curves.length === 0 && check.falls === undefined)
    found.add({
      ...{ group: check.name, name: "loss falls", state: "skipped", ms: 0 },
      message: 'The training logs no loss by step: log it with mlflow.log_metric("train_loss", …, step=…), or say which metric falls.',
    });
}
const isOwn = ({ kind }: Step): boolean => kind === "python" || kind === "command" || kind === "typescript";

/** The training step again, on a few rows that it should be able to learn by heart. */
async function overfit(
  { client, folder }: Rehearsal,
  reader: Reader,
  run: RunDetail,
  pipeline: PipelineSpec,
  check: CheckSpec,
  found: Collector,
  result: CheckedPipeline,
  now: Now,
): Promise<void> {
  const { overfits } = check;
  const node = pipeline.nodes.find(({ id }) => id === overfits?.step);
  if (overfits === undefined || node === undefined) return;
  const rows = overfits.rows ?? 10;
  const name = `learns ${rows} rows by heart`;
  const inputs = tablesOf(node, pipeline).map((input) => ({ input, artifact: givenTo(run, node, input) }));
  const missing = inputs.find(({ artifact }) => artifact === undefined);
  if (missing !== undefined) {
    found.add({ group: check.name, name, state: "skipped", ms: 0, message: `the step "${node.id}" was not given its input "${missing.input}"` });
    return;
  }
  await found.timed(check.name, name, async () => {
    for (const { input, artifact } of inputs)
      if (artifact !== undefined) await few(reader, artifact, labelOf(pipeline), rows, overfitDataset(check, input), folder);
    const tried = await toEnd(client, overfitPipeline(check), { ...check.params, ...overfits.params }, (line) => now(`${check.name} on ${rows} rows: ${line}`));
    if (tried.state !== "succeeded") {
      const bad = tried.steps.find(({ state }) => state === "failed");
      const log = bad === undefined ? { lines: [] } : await readLog(client, tried.id, bad.id, 0).catch(() => ({ lines: [] as string[] }));
      return {
        value: undefined,
        state: "failed",
        message: `on ${rows} rows it fails: ${tried.message?.split("\n")[0] ?? tried.state}`,
        details: log.lines.slice(-40),
      };
    }
    const logged = await loggedBy(client, tried.trackingRunId);
    result.overfit = { rows, series: logged.series };
    const values = { ...logged.last, ...tried.metrics };
    const wrong = [...logged.odd, ...outside(values, overfits.reaches)];
    const told = Object.keys(overfits.reaches).map((key) => `${key} ${values[key] === undefined ? "-" : short(values[key])}`);
    return wrong.length === 0
      ? { value: undefined, message: told.join(", ") }
      : { value: undefined, state: "refused", message: wrong[0] ?? "", details: wrong };
  });
}

function givenTo(run: RunDetail, node: NodeSpec, input: string): Artifact | undefined {
  const ref = node.inputs[input];
  if (ref === undefined || !("node" in ref)) return undefined;
  return run.steps.find((step) => step.id === ref.node && ended.has(step.state))?.outputs[ref.output];
}
/** The label that the pipeline evaluates by. */
const labelOf = (pipeline: PipelineSpec): string | undefined =>
  everyNode(pipeline.nodes).flatMap((node) => (node.kind === "evaluate" ? [node.config.label] : []))[0];

/** Rows from all of the table, of each value of the label as many as of the others. */
async function few(reader: Reader, artifact: Artifact, label: string | undefined, rows: number, dataset: string, folder: string): Promise<void> {
  const files = [...(await fetched(reader, artifact)).values()];
  const by = label !== undefined && (await columnsOf(reader, artifact)).some(({ name }) => name === label) ? `partition by ${identifier(label)} ` : "";
  const target = path.join(folder, `${dataset}.parquet`);
  const numbered = `select *, row_number() over (${by}order by hash(file_row_number)) as millrace_row from read_parquet([${files.map(quoted).join(", ")}], union_by_name = true, file_row_number = true)`;
  await reader.duck.run(
    `copy (select * exclude (millrace_row, file_row_number) from (${numbered}) order by millrace_row, hash(file_row_number) limit ${rows}) to ${quoted(target)} (format parquet)`,
  );
  const { digest } = await reader.client.datasets.upload(dataset, await openAsBlob(target));
  await reader.client.datasets.ingest(dataset, { from: { kind: "files", files: [{ name: `${dataset}.parquet`, digest }] } });
}
