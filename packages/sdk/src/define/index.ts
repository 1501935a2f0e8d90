export { File, Json, json, type List, Metrics, Model, type ModelVersion, many, type Output, Table, table } from "./artifacts.js";
export { type ModelCard, modelCard } from "./card.js";
export { type Bounds, type Check, type CheckSpec, check, type ExpectedArtifact, type Overfit, type SampleSize } from "./check.js";
export { boolean, type Column, type Columns, date, float64, int64, type Row, string, timestamp } from "./columns.js";
export type { ItemRef } from "./context.js";
export {
  compare,
  type Dataset,
  dataset,
  notAllNull,
  nullTogether,
  partitions,
  type Relation,
  type Schema,
  schema,
  sql,
  sums,
  uniqueTogether,
} from "./data.js";
export { byKey, byTime, csv, jsonl, parquet, splitByGroup, splitByHash, writeDataset } from "./datasets.js";
export type { Definition, DurationText, Problem } from "./definition.js";
export { checked, dataValidated, type Environment, environment, fits, loadTest, sameSignature, signed, smoke } from "./environment.js";
export { type Expectation, expectation } from "./expectation.js";
export {
  abs,
  add,
  and,
  ceil,
  coalesce,
  col,
  concat,
  contains,
  dayOfMonth,
  dayOfWeek,
  daysBetween,
  divide,
  type Expression,
  endsWith,
  equal,
  exp,
  floor,
  greater,
  greaterOrEqual,
  greatest,
  hour,
  hoursBetween,
  ifElse,
  isNull,
  least,
  length,
  less,
  lessOrEqual,
  lit,
  log,
  lower,
  minute,
  modulo,
  month,
  multiply,
  oneOf,
  or,
  round,
  secondsBetween,
  sqrt,
  startsWith,
  substring,
  subtract,
  trim,
  upper,
  year,
} from "./expressions.js";
export { count, distinct, type Entity, entity, type FeatureView, featureView, last, max, mean, min, share, stddev, sum, window } from "./features.js";
export { type Approval, approval, championModel, choose, map, not, value, type When, waitFor, when } from "./flow.js";
export { ensemble, type GraphPart, type InferenceGraph, inferenceGraph, renamed, sequence, type TensorValues, type Transform, transform } from "./graphs.js";
export type { ProcessOptions, Retries, StepOptions } from "./options.js";
export { bool, choice, float, int, list, type Param, type ParamRef, text } from "./params.js";
export { type Pipeline, type PipelineDefinition, pipeline } from "./pipeline.js";
export type { ProcessStep } from "./process.js";
export { isProject, type Project, project } from "./project.js";
export { command, python } from "./python.js";
export { agreement, blueGreen, canary, errorRate, experiment, loss, metric, predictionDrift, type Rollout, responseTime, shadow, split } from "./rollouts.js";
export { type CatchUpPolicy, type Schedule, type Scheduled, type ScheduledUnit, schedule, scheduled } from "./schedule.js";
export { type FeatureService, type FeatureTable, featureService, type Report } from "./service.js";
export { type Endpoint, endpoint, type Monitor, monitor } from "./serving.js";
export { type StepContext, step, type TypeScriptStep } from "./step.js";
export {
  alias,
  atLeast,
  atMost,
  better,
  champion,
  evaluate,
  historicalFeatures,
  latency,
  type MetricName,
  noSliceWorse,
  predict,
  register,
  sameAsTrained,
  splitByTime,
  validate,
} from "./steps.js";
export { asha, intRange, logUniform, median, type SearchValues, type Sweep, sweep, uniform } from "./sweep.js";
export { below, type Condition, cron, drift, newData, type Trigger, trigger } from "./trigger.js";
