import { type Check, isCheck, namedTwice } from "./check.js";
import { type Definition, isDefinition, listOf, type Problem } from "./definition.js";
import { given, here } from "./place.js";

const mark = Symbol.for("millrace.project");

export interface Project {
  readonly [mark]: true;
  readonly name: string;
  readonly definitions: readonly Definition[];
  /** What `millrace check` runs. */
  readonly checks: readonly Check[];
  readonly problems: readonly Problem[];
  readonly definedAt: string | undefined;
}
export const isProject = (value: unknown): value is Project => typeof value === "object" && value !== null && mark in value;

/** Definitions, lists of them, or modules (`import * as features`), whose exports are looked through. */
export type Definitions = Definition | Check | readonly Definitions[] | object;

/** Everything that belongs together. What a definition names belongs to the project too, listed or not. */
export function project(options: { name: string; definitions: readonly Definitions[] }): Project {
  const definedAt = here();
  const found = new Set<Definition>();
  const checks = new Set<Check>();
  const problems: Problem[] = [];

  function add(definition: Definition): void {
    if (found.has(definition)) return;
    found.add(definition);
    problems.push(...definition.problems);
    definition.references.forEach(add);
  }
  function collect(value: unknown, depth: number): void {
    if (isDefinition(value)) add(value);
    else if (isCheck(value)) {
      checks.add(value);
      add(value.pipeline);
    } else if (Array.isArray(value)) for (const one of value) collect(one, depth);
    else if (typeof value === "object" && value !== null && depth === 0) for (const one of Object.values(value)) collect(one, 1);
  }
  for (const one of options.definitions) collect(one, 0);

  const byName = new Map<string, Definition>();
  const unique: Definition[] = [];
  for (const definition of found) {
    const key = `${listOf(definition)}/${definition.name}`;
    const other = byName.get(key);
    // A builder hands out copies of one definition: they share the part of the document.
    if (other?.spec === definition.spec) continue;
    if (other !== undefined) {
      const message = `${wordsOf(definition)} "${definition.name}" is defined twice, also at ${other.definedAt ?? "another place"}`;
      problems.push(given({ message, at: definition.definedAt }));
      continue;
    }
    byName.set(key, definition);
    unique.push(definition);
  }
  problems.push(...namedTwice([...checks]));
  return { [mark]: true, name: options.name, definitions: unique, checks: [...checks], problems: [...new Set(problems)], definedAt };
}

const words = {
  datasets: "the dataset",
  schemas: "the schema",
  entities: "the entity",
  featureViews: "the feature view",
  featureServices: "the feature service",
  pipelines: "the pipeline",
  endpoints: "the endpoint",
  inferenceGraphs: "the inference graph",
  monitors: "the monitor",
  triggers: "the trigger",
  schedules: "the schedule",
  sweeps: "the sweep",
  modelCards: "the model card",
  environments: "the environment",
} as const;
const wordsOf = (definition: Definition): string => words[listOf(definition)];
