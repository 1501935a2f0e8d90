import { gridSize } from "../search.js";
import { mostTrials, type ParamSpec, type PipelineSpec, type ProjectSpec, type SearchRange, type SweepSpec } from "../spec.js";
import { wrongValue } from "./params.js";
import { type Report, unknown } from "./report.js";
import { paramProblems } from "./schedules.js";

export function checkSweeps(spec: ProjectSpec, report: Report): void {
  for (const one of spec.sweeps ?? []) for (const problem of sweepProblems(one, spec.pipelines)) report(one, `the sweep "${one.name}": ${problem}`);
}

/** What is wrong with a sweep beyond its form. */
export function sweepProblems(sweep: Omit<SweepSpec, "name">, pipelines: readonly PipelineSpec[]): string[] {
  const problems: string[] = [];
  const names = Object.keys(sweep.over);
  if (names.length === 0) problems.push("it tries no param: name one in `over`");
  const pipeline = pipelines.find((one) => one.name === sweep.pipeline);
  if (pipeline === undefined) {
    problems.push(
      unknown(
        "pipeline",
        sweep.pipeline,
        pipelines.map((one) => one.name),
      ),
    );
  } else problems.push(...paramProblems(pipeline, sweep.params ?? {}, names));
  for (const [name, range] of Object.entries(sweep.over)) {
    if (sweep.params?.[name] !== undefined) problems.push(`the param "${name}" is both tried and given`);
    const param = pipeline?.params.find((one) => one.name === name);
    if (pipeline !== undefined && param === undefined)
      problems.push(
        unknown(
          `param of "${pipeline.name}"`,
          name,
          pipeline.params.map((one) => one.name),
        ),
      );
    const problem = rangeProblem(range, sweep.search === "grid", param);
    if (problem !== undefined) problems.push(`the values of "${name}" ${problem}`);
  }
  if (problems.length === 0 && sweep.search === "grid") {
    const size = gridSize(sweep.over);
    if (size > mostTrials && (sweep.trials ?? size) > mostTrials)
      problems.push(
        `the grid has ${size.toLocaleString("en")} trials, and ${mostTrials.toLocaleString("en")} are the most: take fewer values, or say how many "trials"`,
      );
  }
  return problems;
}

function rangeProblem(range: SearchRange, grid: boolean, param: ParamSpec | undefined): string | undefined {
  if (range.kind === "choice") {
    if (new Set(range.values.map((value) => JSON.stringify(value))).size < range.values.length) return "name one value twice";
    for (const value of range.values) {
      const wrong = param === undefined ? undefined : wrongValue(param, value);
      if (wrong !== undefined) return `name ${wrong}`;
    }
    return undefined;
  }
  if (param !== undefined && param.type !== range.kind && !(param.type === "float" && range.kind === "int"))
    return `are numbers, and the param's type is "${param.type}"${range.kind === "float" && param.type === "int" ? ": take whole ones" : ""}`;
  if (!(range.from < range.to)) return `go from ${range.from} to ${range.to}: the second is the larger one`;
  if (range.log === true && range.from <= 0) return `begin at ${range.from}: what is spread by order of magnitude begins above 0`;
  if (range.log === true && range.step !== undefined) return "have a step and a logarithmic scale: one of them";
  if (range.kind === "float" && grid && range.step === undefined && range.points === undefined)
    return "are infinitely many: for a grid say how many `points` or which `step`";
  return undefined;
}
