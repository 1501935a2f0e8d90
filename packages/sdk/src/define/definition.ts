import type { ProjectSpec } from "../spec.js";
import { here } from "./place.js";

/** The lists of a project's document, each of one kind of definition. */
export type SpecList =
  | "datasets"
  | "schemas"
  | "entities"
  | "featureViews"
  | "featureServices"
  | "pipelines"
  | "endpoints"
  | "inferenceGraphs"
  | "monitors"
  | "triggers"
  | "schedules"
  | "sweeps"
  | "modelCards"
  | "environments";
/** One of a list's definitions. */
export type SpecOf<L extends SpecList> = NonNullable<ProjectSpec[L]>[number];

/** Something that is wrong in a project, and where: `file:line`. */
export interface Problem {
  message: string;
  at?: string;
}

const mark = Symbol.for("millrace.definition");

/** A value of a project's files that becomes a part of its document. */
export interface Definition<L extends SpecList = SpecList> {
  readonly [mark]: L;
  readonly name: string;
  /** Its part of the document. */
  readonly spec: SpecOf<L>;
  /** Other definitions that it names; they belong to the project too. */
  readonly references: readonly Definition[];
  readonly problems: readonly Problem[];
  /** `path:line` where it stands. */
  readonly definedAt: string | undefined;
}

/** Every builder ends here. */
export function define<L extends SpecList>(list: L, spec: SpecOf<L>, references: readonly Definition[] = [], problems: readonly Problem[] = []): Definition<L> {
  return { [mark]: list, name: spec.name, spec, references, problems, definedAt: here() };
}

export function isDefinition(value: unknown): value is Definition {
  // A pipeline is a function too: called within another one, it is a part of that.
  return (typeof value === "object" || typeof value === "function") && value !== null && mark in value;
}
export const listOf = (definition: Definition): SpecList => definition[mark];

/** A length of time: a whole number and its unit, as in `90s`, `3h`, `7d`. */
export type DurationText = `${bigint}${"ms" | "s" | "m" | "h" | "d" | "w"}`;
