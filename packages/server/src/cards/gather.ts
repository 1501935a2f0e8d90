/** Brings together what the capabilities know of a model version. */
import type { Lineage, LineageNode, ModelCard, RunDetail } from "@millrace/sdk/api";
import { everyNode, type FeatureServiceSpec, isProcess } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { Delivery } from "../delivery/index.js";
import type { LineageService } from "../lineage/index.js";
import type { Pipelines } from "../pipelines/index.js";
import { type ObjectStore, orNone } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import type { MlflowRegistry, Registry } from "../registry/index.js";
import type { Serving } from "../serving/index.js";
import type { Tracking } from "../tracking/index.js";
import { readMlmodel, smallText } from "./mlmodel.js";
import type { Cards } from "./types.js";

/** Of each list that grows with what users do. */
const most = 500;

export interface On {
  registry: Pick<Registry, "version">;
  mlflow: Pick<MlflowRegistry, "model" | "version">;
  projects: Pick<Projects, "get" | "version">;
  pipelines: Pick<Pipelines, "get" | "step">;
  tracking: Pick<Tracking, "runJson">;
  serving: Pick<Serving, "endpoints">;
  lineage: LineageService;
  /** What people answered to promotions of a version. */
  promotions: Pick<Delivery["promotions"], "answersTo">;
}

export function createCards({ objects }: { objects: Pick<ObjectStore, "read"> }, on: On): Cards {
  return {
    async card(model, version) {
      const registered = await on.registry.version(model, version);
      const [ofModel, ofVersion, lineage, definition, service, endpoints] = await Promise.all([
        on.mlflow.model(model),
        on.mlflow.version(model, version),
        on.lineage.lineage("model_version", `${model}/${version}`, "back"),
        on.projects.get("model_card", model),
        registered.service === null ? undefined : on.projects.get("feature_service", registered.service),
        on.serving.endpoints(),
      ]);
      const run = registered.runId === null ? undefined : await orNone(on.pipelines.get(registered.runId));
      const tracked = ofVersion.run_id === null ? undefined : await trackedRun(ofVersion.run_id);
      const mlmodel = await smallText(
        objects,
        registered.files.find((file) => file.path === "MLmodel"),
      );
      const saved = mlmodel === undefined ? undefined : readMlmodel(mlmodel);
      const isOnnx = registered.files.some((file) => file.path.endsWith(".onnx"));
      const tags = { ...ofModel.tags, ...ofVersion.tags };
      const card: ModelCard = {
        model,
        version,
        aliases: registered.aliases,
        digest: registered.digest,
        registeredAt: registered.createdAt,
        description: ofModel.description || null,
        versionDescription: ofVersion.description || null,
        tags,
        library: saved?.flavour ?? (isOnnx ? "onnx" : null),
        declared: declaredBy(definition, tags),
        data: dataOf(lineage),
        training: run === undefined ? trainingOfTracked(tracked, lineage) : await trainingOfRun(run, tracked),
        environment: await environment(registered.files, saved?.python ?? null, run),
        signature: service === undefined ? (saved?.signature ?? null) : signatureOf(service.spec),
        report: registered.report,
        metrics: registered.metrics,
        gates: registered.gates,
        approvals: [
          ...(run === undefined ? [] : await approvals(run)),
          ...(await on.promotions.answersTo(model, version)).map(({ environment: to, ...told }) => ({ of: `promotion to ${to}`, ...told })),
        ],
        serving: endpoints
          .filter((one) => one.model === model)
          .flatMap(({ name, stable, candidate }) => [
            ...(stable === version ? [{ endpoint: name, as: "stable" as const }] : []),
            ...(candidate === version ? [{ endpoint: name, as: "candidate" as const }] : []),
          ]),
        files: registered.files.slice(0, most),
        more: lineage.more === true,
      };
      return { card, request: service?.spec.request };
    },
  };

  async function trackedRun(id: string): Promise<Tracked | undefined> {
    const json = await orNone(on.tracking.runJson(id));
    const told: unknown = json === undefined ? undefined : JSON.parse(json);
    return Value.Check(Tracked, told) ? told : undefined;
  }

  async function trainingOfRun(run: RunDetail, tracked: Tracked | undefined): Promise<ModelCard["training"]> {
    const project = await on.projects.version(run.project, run.projectVersion);
    const processes = new Set(everyNode(run.spec.nodes).flatMap((node) => (isProcess(node) ? [node.id] : [])));
    const steps = run.steps.filter((step) => processes.has(step.node)).slice(0, 50);
    return {
      run: run.id,
      pipeline: run.pipeline,
      project: `${run.project} v${run.projectVersion}`,
      commit: run.commit,
      dirty: project.dirty,
      cause: run.cause.reason ?? run.cause.kind,
      startedAt: run.startedAt,
      durationMs: run.durationMs,
      params: run.params,
      metrics: metricsOf(tracked),
      steps: await Promise.all(
        steps.map(async ({ id, kind }) => {
          const { codeDigest, environmentDigest } = await on.pipelines.step(run.id, id);
          return { id, kind, code: codeDigest, environment: environmentDigest };
        }),
      ),
    };
  }

  /** What the steps of the run were given to run in, or what the model's own files ask for. */
  async function environment(files: ModelCard["files"], python: string | null, run: RunDetail | undefined): Promise<ModelCard["environment"]> {
    const text = await smallText(
      objects,
      files.find((file) => file.path === "requirements.txt"),
    );
    if (text !== undefined || run === undefined) return { python, requirements: requirementsOf(text ?? "") };
    const project = await on.projects.version(run.project, run.projectVersion);
    const paths = new Set(
      everyNode(run.spec.nodes).flatMap((node) =>
        (node.kind === "python" || node.kind === "command") && node.config.requirements !== undefined ? [node.config.requirements] : [],
      ),
    );
    const texts = await Promise.all(project.files.filter((file) => paths.has(file.path)).map((file) => smallText(objects, file)));
    return { python, requirements: [...new Set(texts.flatMap((one) => requirementsOf(one ?? "")))].slice(0, most) };
  }

  /** What people answered to the run's questions. */
  async function approvals(run: RunDetail): Promise<ModelCard["approvals"]> {
    const answers = await Promise.all(
      run.steps
        .filter((step) => step.kind === "approval")
        .slice(0, 50)
        .map(async (step): Promise<ModelCard["approvals"]> => {
          const [artifact] = Object.values(step.outputs);
          const text = await smallText(objects, artifact?.files[0]);
          const told: unknown = text === undefined ? undefined : JSON.parse(text);
          return Value.Check(Decision, told) ? [{ of: `step ${step.id} of the run`, ...told }] : [];
        }),
    );
    return answers.flat();
  }
}

const Decision = Type.Object({ approved: Type.Boolean(), by: Type.String(), at: Type.String(), comment: Type.Union([Type.String(), Type.Null()]) });
const KeyValues = Type.Optional(Type.Array(Type.Object({ key: Type.String(), value: Type.Union([Type.String(), Type.Number()]) })));
const Tracked = Type.Object({
  info: Type.Object({ run_id: Type.String(), start_time: Type.Number(), end_time: Type.Optional(Type.Number()) }),
  data: Type.Object({ params: KeyValues, metrics: KeyValues }),
});
type Tracked = (typeof Tracked)["static"];

/** What a project says holds. Where none says anything, tags of the version or the model do, so that clients of MLflow can declare too. */
function declaredBy(definition: Definition<"model_card"> | undefined, tags: Readonly<Record<string, string>>): ModelCard["declared"] {
  if (definition !== undefined) {
    const { name: _, definedAt: __, ...told } = definition.spec;
    return { ...told, in: `${definition.project} v${definition.projectVersion}` };
  }
  const { owner, license, intended_use: intendedUse, out_of_scope_use: outOfScopeUse, limitations, recommendations } = tags;
  const told = { owner, license, intendedUse, outOfScopeUse, recommendations, limitations: limitations === undefined ? undefined : [limitations] };
  const given = Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined));
  return Object.keys(given).length === 0 ? null : { ...given, in: null };
}

function trainingOfTracked(tracked: Tracked | undefined, lineage: Lineage): ModelCard["training"] {
  if (tracked === undefined) return null;
  const { run_id: run, start_time: began, end_time: ended } = tracked.info;
  const commit = lineage.edges
    .filter((edge) => edge.from === `tracking_run/${run}`)
    .map((edge) => /^commit\/(.+)$/.exec(edge.to)?.[1])
    .find((one) => one !== undefined);
  return {
    ...{ run, pipeline: null, project: null, commit: commit ?? null, dirty: false, cause: null },
    startedAt: new Date(began).toISOString(),
    durationMs: ended === undefined || ended === 0 ? null : ended - began,
    params: Object.fromEntries((tracked.data.params ?? []).slice(0, most).map(({ key, value }) => [key, value])),
    metrics: metricsOf(tracked),
    steps: [],
  };
}
const metricsOf = (tracked: Tracked | undefined): Record<string, number> =>
  Object.fromEntries((tracked?.data.metrics ?? []).slice(0, most).flatMap(({ key, value }) => (typeof value === "number" ? [[key, value]] : [])));

function dataOf({ nodes, edges }: Lineage): ModelCard["data"] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const readersOf = (id: string) =>
    edges
      .filter((edge) => edge.to === id)
      .flatMap(({ from }) => {
        const reader = byId.get(from);
        return reader === undefined ? [] : [`${reader.kind.replaceAll("_", " ")} ${reader.label}`];
      });
  return nodes
    .flatMap((node): ModelCard["data"] => {
      const readBy = readersOf(node.id);
      if (node.kind === "dataset") return [{ ...none, dataset: node.label, digest: textOf(node, "digest"), readBy }];
      const place = node.kind === "dataset_version" ? /^dataset_version\/(.+)\/([0-9]+)$/.exec(node.id) : null;
      if (place?.[1] === undefined) return [];
      const { accepted } = node.facts;
      const rows = node.facts.rows;
      return [
        {
          ...{ dataset: place[1], version: Number(place[2]), digest: textOf(node, "digest"), createdAt: textOf(node, "created"), readBy },
          rows: typeof rows === "number" ? rows : null,
          accepted: accepted === undefined ? null : `accepted by ${textOf(node, "by")}: ${textOf(node, "reason")}`,
        },
      ];
    })
    .slice(0, most);
}
const none = { version: null, rows: null, createdAt: null, accepted: null };
const textOf = ({ facts }: LineageNode, name: string): string | null => {
  const value = facts[name];
  return typeof value === "string" ? value : null;
};

/** A model that predicts from features answers with one probability a row. */
const signatureOf = (service: FeatureServiceSpec): NonNullable<ModelCard["signature"]> => ({
  inputs: service.features.map(({ name, type }) => ({ name, type })),
  outputs: [{ name: "probability", type: "float64" }],
});

/** The packages of a requirements file, without hashes, options and comments. */
function requirementsOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => (line.split(/\s[#\\]|\s--hash/)[0] ?? "").trim())
    .filter((line) => /^[A-Za-z0-9]/.test(line))
    .map((line) => line.slice(0, 200))
    .slice(0, most);
}
