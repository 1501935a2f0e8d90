import type { ProcessOptions } from "./options.js";
import { given } from "./place.js";
import { type Inputs, type Outputs, type ProcessStep, processStep } from "./process.js";

interface Declaration<I extends Inputs, O extends Outputs> extends ProcessOptions {
  /** Locked requirements with hashes, relative to the project's folder. */
  requirements?: string;
  in?: I;
  out?: O;
}
type None = Readonly<Record<never, never>>;

/**
 * A step that is Python of the project: a script, or a function of a module (`package.module:function`) whose arguments are the inputs and
 * whose result is the outputs. It runs in an environment made from the locked requirements and finds its inputs and params by the names
 * that are declared here.
 */
export function python<const I extends Inputs = None, const O extends Outputs = None>(
  options: Declaration<I, O> & {
    /** `train.py`, relative to the project's folder, or `package.module:function`. */
    script: string;
  },
): ProcessStep<I, O> {
  const { script, requirements } = options;
  const stem = script.slice(Math.max(script.lastIndexOf("/"), script.lastIndexOf(":")) + 1).replace(/\.[^.]*$/, "");
  return processStep(options.name ?? stem, { kind: "python", config: given({ script, requirements }) }, options, options);
}

/**
 * A step that is any program: `command: ["dbt", "run", "--vars", "{params.vars}"]`. No shell reads the arguments; `{inputs.rows}` and
 * `{outputs.model}` stand for paths, `{params.depth}` for a value. With `requirements` the programs of that environment are found first.
 */
export function command<const I extends Inputs = None, const O extends Outputs = None>(
  options: Declaration<I, O> & { command: readonly string[] },
): ProcessStep<I, O> {
  const [program = "command"] = options.command;
  const config = given({ command: [...options.command], requirements: options.requirements });
  return processStep(options.name ?? program.slice(program.lastIndexOf("/") + 1), { kind: "command", config }, options, options);
}
