/** A server of its own for a check: in a folder that goes with it, on a clock that stands still, with a sample of the project's data and nothing that starts by itself. */
import { openAsBlob } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { CheckSpec, Overfit } from "@millrace/sdk";
import type { ValidationReport } from "@millrace/sdk/api";
import { ApiError, type Client, createClient } from "@millrace/sdk/client";
import { everyNode, type GateSpec, isProcess, type NodeSpec, needsOf, type PipelineSpec, type ProjectSpec } from "@millrace/sdk/spec";
import { CliError, codeOf } from "../errors.js";
import { count } from "../output.js";
import type { Compiled } from "../project/compile.js";
import type { Collector } from "./result.js";
import { filesOf, type Sample, sizeOf, takeSample } from "./sample.js";

export interface Rehearsal {
  client: Client;
  /** The document that was applied. */
  spec: ProjectSpec;
  /** A place for files. */
  folder: string;
  /** Datasets without rows, and why. */
  empty: ReadonlyMap<string, string>;
  stop(): Promise<void>;
}

/** `undefined` where it can't be had; why is among what was found then. */
export async function openRehearsal(
  project: string,
  { spec, upload }: Compiled,
  checks: readonly CheckSpec[],
  found: Collector,
): Promise<Rehearsal | undefined> {
  await removeAbandoned();
  const folder = await mkdtemp(path.join(tmpdir(), `${prefix}${process.pid}-`));
  const empty = new Map<string, string>();
  const samples: Sample[] = [];
  try {
    for (const dataset of spec.datasets) {
      const taken = await sampled(project, spec, dataset.name, checks, folder).catch((error: unknown) => new CliError(messageOf(error)));
      if (taken instanceof Error) {
        empty.set(dataset.name, taken.message);
        found.add({ group: "data", name: dataset.name, state: "failed", ms: 0, message: taken.message });
      } else if (taken === undefined) {
        const why = `no file of it is here: name some with check({ data: { ${dataset.name}: "…" } })`;
        empty.set(dataset.name, why);
        found.add({ group: "data", name: dataset.name, state: "skipped", ms: 0, message: why });
      } else samples.push(taken);
    }
    const moments = samples.flatMap(({ newest }) => newest?.getTime() ?? []);
    const server = await started(project, folder, moments.length === 0 ? new Date() : new Date(Math.max(...moments) + 1));
    let stopped: Promise<void> | undefined;
    const stop = () => {
      stopped ??= server.stop().then(() => rm(folder, { recursive: true, force: true }));
      return stopped;
    };
    try {
      const client = createClient({ url: server.url });
      const applied = rehearsed(spec, checks);
      await upload(client, await client.projects.plan(applied));
      await client.projects.apply(applied);
      await setSecrets(client, applied);
      for (const sample of samples) await ingest(client, sample, found, empty);
      return { client, spec: applied, folder, empty, stop };
    } catch (error) {
      await stop();
      throw error;
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    const [message = "", ...details] = messageOf(error).split("\n");
    found.add({ group: "project", name: "rehearsal", state: "failed", ms: 0, message, details });
    return undefined;
  }
}

/** Followed by the process that it belongs to. */
const prefix = "millrace-check-";
/** What a check left that was killed. Its PostgreSQL ends by itself, within a minute after its folder is gone. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = /^millrace-check-([1-9][0-9]{0,9})-/.exec(name)?.[1];
    if (owner !== undefined && !lives(Number(owner))) await rm(path.join(tmpdir(), name), { recursive: true, force: true }).catch(() => {});
  }
}
function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error)?.code === "EPERM";
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function started(project: string, folder: string, from: Date) {
  // Environments of locked requirements take minutes to make: they stay, as those of `millrace debug` do.
  process.env.MILLRACE_ENVIRONMENTS ??= path.join(project, ".millrace", "environments");
  process.noDeprecation = true;
  const { startServer } = await import("@millrace/server");
  // Whatever the environment says of databases and buckets, those of others are none of a check's business.
  return startServer({ host: "127.0.0.1", port: 0, dataDir: path.join(folder, "data"), clock: { kind: "replay", from }, logLevel: "error" });
}

async function sampled(project: string, spec: ProjectSpec, name: string, checks: readonly CheckSpec[], folder: string): Promise<Sample | undefined> {
  const dataset = spec.datasets.find((one) => one.name === name);
  if (dataset === undefined) return undefined;
  const data = checks.flatMap((check) => check.data[name] ?? []);
  const files = await filesOf(project, dataset, data.length === 0 ? undefined : [...new Set(data)]);
  if (files === undefined || files.length === 0) return undefined;
  const minRows = spec.schemas.find((schema) => schema.name === dataset.schema)?.minRows;
  const size = sizeOf(
    name,
    checks.map((check) => check.sample),
    minRows,
  );
  return takeSample(dataset, files, size, path.join(folder, "samples", name));
}

async function ingest(client: Client, sample: Sample, found: Collector, empty: Map<string, string>): Promise<void> {
  await found.timed("data", sample.dataset, async () => {
    try {
      const files = [];
      for (const file of sample.files)
        files.push({ name: file.name, digest: (await client.datasets.upload(sample.dataset, await openAsBlob(file.path))).digest });
      await client.datasets.ingest(sample.dataset, { from: { kind: "files", files } });
      return { value: undefined, message: `${count(sample.rows)} of ${count(sample.of)} rows${sample.from === 1 ? "" : ` of ${sample.from} files`}` };
    } catch (error) {
      empty.set(sample.dataset, "its sample was refused");
      const report = error instanceof ApiError && error.status === 422 ? anomaliesOf(error.details) : [];
      if (report.length === 0) throw error;
      return {
        value: undefined,
        state: "refused" as const,
        message: `its sample of ${count(sample.rows)} rows does not fit the schema: ${report[0]}`,
        details: report,
      };
    }
  });
}
function anomaliesOf(details: unknown): string[] {
  const report: Partial<ValidationReport> = typeof details === "object" && details !== null ? details : {};
  return (report.anomalies ?? []).filter(({ severity }) => severity === "block").map(({ message, rule }) => (rule === null ? message : `${message} (${rule})`));
}

/** Steps find their secrets in the environment of whoever checks. */
async function setSecrets(client: Client, spec: ProjectSpec): Promise<void> {
  const nodes = spec.pipelines.flatMap(({ nodes }) => everyNode(nodes)).filter(isProcess);
  for (const name of new Set(nodes.flatMap((node) => node.secrets ?? []))) {
    const value = process.env[name] ?? "";
    if (value !== "") await client.secrets.set(name, value);
  }
}

/** The names of what is there for a training on a few rows. */
export const overfitPipeline = (check: Pick<CheckSpec, "name">): string => `check_overfit_${check.name}`.slice(0, 100);
export const overfitDataset = (check: Pick<CheckSpec, "name">, input: string): string => `${`check_rows_${check.name}`.slice(0, 98 - input.length)}_${input}`;

/** The document as it is run here: nothing watched, triggered, scheduled or promoted; steps on this machine, once; gates on metrics tell and stop nothing. */
function rehearsed(spec: ProjectSpec, checks: readonly CheckSpec[]): ProjectSpec {
  const pipelines = spec.pipelines.map((pipeline) => ({ ...pipeline, nodes: pipeline.nodes.map(here) }));
  const overfits = checks.flatMap((check) => {
    const pipeline = pipelines.find(({ name }) => name === check.pipeline);
    return check.overfits === undefined || pipeline === undefined ? [] : [overfitting(check, check.overfits, pipeline)];
  });
  return {
    ...spec,
    datasets: [
      ...spec.datasets.map(({ watch: _, ...dataset }) => dataset),
      ...overfits.flatMap(({ datasets }) => datasets.map((name) => ({ name, mode: "snapshot" as const }))),
    ],
    pipelines: [...pipelines, ...overfits.map(({ pipeline }) => pipeline)],
    monitors: [],
    triggers: [],
    schedules: [],
    sweeps: [],
    // One that is protected would take nothing of this.
    environments: [],
  };
}

function here(node: NodeSpec): NodeSpec {
  if (node.kind === "map") return { ...node, config: { ...node.config, body: node.config.body.map(here) } };
  if (node.kind === "register") return { ...node, config: { ...node.config, gates: node.config.gates.map(told) } };
  if (!isProcess(node)) return node;
  const { resources: _, backend: __, group: ___, retries: ____, ...rest } = node;
  return rest;
}
/** That the exported model answers as the trained one did is no matter of how many rows there are. */
const told = (gate: GateSpec): GateSpec => (gate.kind === "same_as_trained" ? gate : { ...gate, severity: "warn" });

/** The step with few rows in place of its tables, after the steps that give what else it takes. */
function overfitting(check: CheckSpec, { step }: Overfit, pipeline: PipelineSpec): { pipeline: PipelineSpec; datasets: string[] } {
  const node = pipeline.nodes.find(({ id }) => id === step);
  if (node === undefined) throw new CliError(`The check "${check.name}" overfits the step "${step}", which is none of "${pipeline.name}".`);
  const { when: _, after: __, ...alone } = node;
  const tables = tablesOf(node, pipeline);
  const readers = tables.map(
    (input): NodeSpec => ({
      id: `few_${input}`,
      kind: "read_dataset",
      inputs: { until: { literal: "latest" } },
      outputs: [{ name: "rows", type: "table" }],
      config: { dataset: overfitDataset(check, input) },
    }),
  );
  const inputs = Object.fromEntries(
    Object.entries(node.inputs).map(([name, ref]) => [name, tables.includes(name) ? { node: `few_${name}`, output: "rows" } : ref]),
  );
  const before = upstream(
    Object.values(inputs).flatMap((ref) => ("node" in ref ? [ref.node] : [])),
    pipeline.nodes,
  );
  return {
    pipeline: { name: overfitPipeline(check), params: pipeline.params, nodes: [...before, ...readers, { ...alone, inputs }] },
    datasets: tables.map((input) => overfitDataset(check, input)),
  };
}

/** Inputs of a step that are tables of other steps. */
export function tablesOf(node: NodeSpec, { nodes }: Pick<PipelineSpec, "nodes">): string[] {
  return Object.entries(node.inputs).flatMap(([name, ref]) => {
    const from = "node" in ref ? nodes.find(({ id }) => id === ref.node)?.outputs.find((output) => output.name === ref.output) : undefined;
    return from?.type === "table" ? [name] : [];
  });
}

/** What these steps need, in the order of the pipeline. */
function upstream(ids: readonly string[], nodes: readonly NodeSpec[]): NodeSpec[] {
  const wanted = new Set(ids);
  for (const node of [...nodes].reverse()) {
    if (!wanted.has(node.id)) continue;
    for (const id of needsOf(node)) wanted.add(id);
  }
  return nodes.filter(({ id }) => wanted.has(id));
}
