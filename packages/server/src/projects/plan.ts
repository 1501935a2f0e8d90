import type { Change } from "@millrace/sdk/api";
import type { ProjectSpec } from "@millrace/sdk/spec";
import type { DefinitionKind } from "./types.js";

export interface NamedSpec {
  kind: DefinitionKind;
  name: string;
  spec: unknown;
}

/** Every definition of a project with its kind. */
export function definitionsOf(spec: ProjectSpec): NamedSpec[] {
  const of = (kind: DefinitionKind, specs: { name: string }[]): NamedSpec[] => specs.map((one) => ({ kind, name: one.name, spec: one }));
  return [
    ...of("dataset", spec.datasets),
    ...of("schema", spec.schemas),
    ...of("entity", spec.entities),
    ...of("feature_view", spec.featureViews),
    ...of("feature_service", spec.featureServices),
    ...of("pipeline", spec.pipelines),
    ...of("endpoint", spec.endpoints),
    ...of("inference_graph", spec.inferenceGraphs ?? []),
    ...of("monitor", spec.monitors),
    ...of("trigger", spec.triggers),
    ...of("schedule", spec.schedules ?? []),
    ...of("sweep", spec.sweeps ?? []),
    ...of("model_card", spec.modelCards ?? []),
    // Each project has its own dev and prod.
    ...(spec.environments ?? []).map((one): NamedSpec => ({ kind: "environment", name: `${spec.name}/${one.name}`, spec: one })),
  ];
}

/** What turns `before` into `after`. Where a definition stands in its file is no difference. */
export function changes(before: NamedSpec[], after: NamedSpec[]): Change[] {
  const key = (one: NamedSpec) => `${one.kind}/${one.name}`;
  const old = new Map(before.map((one) => [key(one), one]));
  const result: Change[] = [];
  for (const one of after) {
    const was = old.get(key(one));
    old.delete(key(one));
    if (was === undefined) {
      result.push({ action: "create", kind: one.kind, name: one.name });
      continue;
    }
    const fields = differences(was.spec, one.spec, "");
    result.push(fields.length === 0 ? { action: "unchanged", kind: one.kind, name: one.name } : { action: "update", kind: one.kind, name: one.name, fields });
  }
  for (const gone of old.values()) result.push({ action: "delete", kind: gone.kind, name: gone.name });
  return result;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isPlace = (key: string, value: unknown) => key === "definedAt" && typeof value === "string";

/** Paths such as `columns.distance.max` or `features[2].over` at which two values differ; lists of other lengths differ as a whole. */
function differences(a: unknown, b: unknown, path: string): string[] {
  if (Array.isArray(a) && Array.isArray(b)) {
    if (a.length !== b.length) return [path];
    return a.flatMap((item, index) => differences(item, b[index], `${path}[${index}]`));
  }
  if (isRecord(a) && isRecord(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
    return keys.flatMap((key) => {
      if (isPlace(key, a[key] ?? b[key])) return [];
      return differences(a[key], b[key], path === "" ? key : `${path}.${key}`);
    });
  }
  return a === b ? [] : [path];
}
