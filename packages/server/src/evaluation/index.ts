/** Evaluation: metrics overall and on slices, and the gates that decide by them. */

export { localPaths, modelSource } from "./artifacts.js";
export { batchRows, modelInput, streamColumns } from "./columns.js";
export { gateName, judgeGates } from "./gates.js";
export { binaryMetrics, calibrationBins } from "./metrics.js";
export type { RegisteredVersion, ScorerSource, VersionRegistry } from "./ports.js";
export { populationStability } from "./stability.js";

import type { StepKind } from "../pipelines/step.js";
import type { Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { evaluateStep } from "./evaluate-step.js";
import type { ScorerSource, VersionRegistry } from "./ports.js";
import { predictStep } from "./predict-step.js";
import { registerStep } from "./register-step.js";

export interface Evaluation {
  /** How the pipelines' nodes of these kinds run. */
  stepKinds: { evaluate: StepKind<"evaluate">; predict: StepKind<"predict">; register: StepKind<"register"> };
}

export function createEvaluation(
  platform: Pick<Platform, "objects" | "duckdb">,
  on: { projects: Pick<Projects, "require">; registry: VersionRegistry; inference: ScorerSource },
): Evaluation {
  return { stepKinds: { evaluate: evaluateStep(platform, on), predict: predictStep(platform, on), register: registerStep(platform, on.registry) } };
}
