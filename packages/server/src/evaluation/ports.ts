import type { Columns, EvaluationReport, GateResult } from "@millrace/sdk/api";
import type { ColumnType } from "@millrace/sdk/spec";
import type { ModelSource, ServedModel } from "../inference/index.js";

/** A model that is ready to predict. */
export interface Scorer {
  predict(columns: Columns, rows: number): Promise<Float64Array>;
  close(): void | Promise<void>;
}
/** What evaluation needs of inference. */
export interface ScorerSource {
  open(model: ModelSource): Promise<ServedModel>;
  openModel(model: ModelSource, features: { name: string; type: ColumnType }[]): Promise<Scorer>;
}

export interface RegisteredVersion {
  model: string;
  version: number;
  /** Of the model artifact: equal digests are equal models. */
  digest: string;
  service: string | null;
  /** The pipeline run that registered it. */
  runId: string | null;
  files: { path: string; digest: string; size: number }[];
}
/** What evaluation needs of the registry. */
export interface VersionRegistry {
  byAlias(model: string, alias: string): Promise<RegisteredVersion | undefined>;
  byDigest(model: string, digest: string): Promise<RegisteredVersion | undefined>;
  register(version: {
    model: string;
    digest: string;
    files: { path: string; digest: string; size: number }[];
    service: string | null;
    /** The pipeline run that registers it. */
    runId: string | null;
    /** Where it comes from otherwise: from there it comes once. */
    source?: string;
    trackingRunId: string | null;
    metrics: Record<string, number>;
    gates: GateResult[];
    report: EvaluationReport | null;
  }): Promise<{ version: number }>;
  /** `endpoint`: the one whose decision the alias follows. */
  setAlias(model: string, alias: string, version: number, endpoint?: string): Promise<void>;
}
