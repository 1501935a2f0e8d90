/** What a pipeline does beside steps one after the other: maps, conditions, waits. */
import type { WhenSpec } from "../spec.js";
import type { Json, List, Metrics, Model, Output } from "./artifacts.js";
import { addNode, type Input, type ItemRef, inputOf, mapNode, problem, reference, under } from "./context.js";
import { type Expression, notTrue, type Operand, type Refs } from "./expressions.js";
import type { StepOptions } from "./options.js";
import type { ParamRef } from "./params.js";
import { given } from "./place.js";
import type { Report } from "./service.js";

/** What a map's body gives: an output, or some by name. */
export type Branch = Output | Readonly<Record<string, Output>>;
const isOutput = (made: Branch): made is Output => "node" in made && typeof made.node === "string";
const byName = (made: Branch | undefined): Readonly<Record<string, Output>> => {
  if (typeof made !== "object" || made === null) return {};
  return isOutput(made)
    ? { result: made }
    : Object.fromEntries(Object.entries(made).filter(([, one]) => typeof one === "object" && one !== null && "node" in one));
};

type Lists<R> = R extends Output ? List<R> : { readonly [K in keyof R]: R[K] extends Output ? List<R[K]> : never };
/** What a map goes over: a list param, a list of constants, or the JSON array of a step. */
export type Over<T> = Json<readonly T[]> | ParamRef<"list", readonly (T & (string | number))[]> | ItemRef<readonly T[]> | readonly (T & (string | number))[];

/**
 * Runs its body once for each item, as many at a time as there is room for or `atOnce` says. What the body returns becomes lists, in the
 * order of the items: `const { model } = map(months, (month) => train({ rows: flights.partition(month) }))`.
 */
export function map<T, const R extends Branch | undefined>(
  over: Over<T>,
  body: (item: ItemRef<T>) => R,
  options: StepOptions & { atOnce?: number } = {},
): Lists<R> {
  const input = inputOf(over);
  if (input === undefined) problem("map goes over a list param, a list of texts or numbers, or the JSON array of a step");
  const { made, lists } = mapNode(options.name ?? "map", input ?? { literal: [] }, body, byName, options);
  // The names are those of what the body returned, which only the compiler knows.
  return (typeof made === "object" && made !== null && isOutput(made) ? lists.result : lists) as Lists<R>;
}

/** A condition, known when a run comes to it. */
export interface When {
  readonly test: WhenSpec;
}
type Comparable = string | number | boolean;
interface Tested<T extends Comparable> {
  is(value: T): When;
  isNot(value: T): When;
  below(value: T & number): When;
  atMost(value: T & number): When;
  above(value: T & number): When;
  atLeast(value: T & number): When;
}
/** A param or an item: `value(size).is("large")`. */
export function value<V extends Comparable>(of: ParamRef<ParamRef["paramType"], V> | ItemRef<V>): Tested<V>;
/** A value in JSON, metrics or a report, by its path: `value(report, "auc").above(0.8)`; without a path, the whole of it. */
export function value(of: Json | Metrics | Report, path?: string): Tested<Comparable>;
export function value(of: Input, path?: string): Tested<never> {
  const test =
    (is: WhenSpec["is"]) =>
    (than: Comparable): When => ({ test: given({ of: reference("what a condition looks at", of), path, is, value: than }) });
  return {
    is: test("equal"),
    isNot: test("not_equal"),
    below: test("less"),
    atMost: test("less_or_equal"),
    above: test("greater"),
    atLeast: test("greater_or_equal"),
  };
}
const opposite = {
  equal: "not_equal",
  not_equal: "equal",
  less: "greater_or_equal",
  less_or_equal: "greater",
  greater: "less_or_equal",
  greater_or_equal: "less",
} as const satisfies Record<WhenSpec["is"], WhenSpec["is"]>;
/** The opposite of a condition, or of a boolean expression. */
export function not(condition: When): When;
export function not<E extends Operand>(value: E): Expression<Refs<E>, "boolean">;
export function not(value: When | Operand): When | Expression<string, "boolean"> {
  if (typeof value === "object" && value !== null && "test" in value) return { test: { ...value.test, is: opposite[value.test.is] } };
  return notTrue(value);
}

/**
 * Runs the branch's steps only where the condition holds; else they are skipped, with all that takes from them. With `otherwise`, that
 * branch is run in its place, and what comes out is whichever was made.
 */
export function when<const R extends Branch | undefined>(condition: When | Approval, branch: () => R, otherwise: () => NoInfer<R>): R;
/** Where all of the conditions hold. */
export function when<const R>(condition: When | Approval | readonly (When | Approval)[], branch: () => R): R;
export function when(condition: When | Approval | readonly (When | Approval)[], branch: () => unknown, otherwise?: () => unknown): unknown {
  const all: readonly (When | Approval)[] = "test" in condition || "node" in condition ? [condition] : condition;
  const tests = all.map((one) => ("test" in one ? one : value(one, "approved").is(true)));
  const made = under(
    tests.map((one) => one.test),
    branch,
  );
  const [first] = tests;
  if (otherwise === undefined || first === undefined) return made;
  return joined(made, under([not(first).test], otherwise));
}
function joined(made: unknown, other: unknown): unknown {
  if (!isBranch(made) || !isBranch(other)) return made;
  if (isOutput(made) && isOutput(other)) return choose(made, other);
  const others = byName(other);
  return Object.fromEntries(
    Object.entries(byName(made)).map(([name, one]) => {
      const second = others[name];
      if (second === undefined) problem(`one branch gives "${name}", the other one does not`);
      return [name, second === undefined ? one : choose(one, second)];
    }),
  );
}
const isBranch = (made: unknown): made is Branch => typeof made === "object" && made !== null;

const ordinals = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
/** The first of these that is there: joins the branches of conditions. */
export function choose<O extends Output>(...outputs: readonly [O, O, ...O[]]): O {
  const [first] = outputs;
  if (outputs.length > ordinals.length) problem(`choose takes at most ${ordinals.length} outputs`);
  const inputs = Object.fromEntries(outputs.map((one, index) => [ordinals[index] ?? "tenth", one]));
  const node = addNode("choose", { kind: "choose", config: {} }, inputs, [["value", first.artifact]], []);
  // What the types say beyond the artifact, as a table's columns, is the same in all of them.
  return { ...first, ...node.output("value", first.artifact) };
}

/** What a person said. */
export interface Approval extends Json<{ approved: boolean; by: string; at: string; comment: string | null }> {}
/** Waits until a person says yes; a no ends the run as refused. `when(approval({ question }), () => …)` runs what depends on it. */
export function approval(
  options: Pick<StepOptions, "name" | "timeout" | "after"> & {
    question: string;
    /** Who may answer; default whoever may start runs. */
    role?: "editor" | "admin";
  },
): Approval {
  const { question, role } = options;
  const node = addNode(options.name ?? "approval", { kind: "approval", config: given({ question, role }) }, {}, [["decision", "json"]], [], options);
  return node.output("decision", "json");
}

/** Waits for an event that comes after the step began to wait: `waitFor({ event: "alias.set", subject: "delay", timeout: "2d" })`. */
export function waitFor(
  options: Pick<StepOptions, "name" | "timeout" | "after"> & { event: string; subject?: string },
): Json<{ type: string; subject: string; data: Record<string, unknown> }> {
  const { event, subject } = options;
  const node = addNode(options.name ?? "wait", { kind: "wait_event", config: given({ type: event, subject }) }, {}, [["event", "json"]], [], options);
  return node.output("event", "json");
}

/** The files of a model's champion, or of the version that another alias names: to go on training from it, or to compare with it. */
export function championModel(
  model: string,
  options: StepOptions & {
    alias?: string;
    /** Where there is none, what takes from it is given nothing. Else that is an error. */
    optional?: boolean;
  } = {},
): Model {
  const alias = options.alias ?? "champion";
  const config = given({ model, alias, optional: options.optional });
  const node = addNode(options.name ?? `${alias}_${model}`, { kind: "read_model", config }, {}, [["model", "model"]], [], options);
  return node.output("model", "model");
}
