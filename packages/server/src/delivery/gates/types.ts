import type { Decision, ModelVersionDetail, ReleaseDetail, Signature } from "@millrace/sdk/api";
import type { EnvironmentGate } from "@millrace/sdk/spec";

/** What is to come into an environment. */
export type Candidate = { kind: "release"; release: ReleaseDetail } | { kind: "model"; version: ModelVersionDetail; signatures: Signature[] };
export interface Verdict {
  passed: boolean;
  /** The numbers that decided, in a sentence. */
  message: string;
  evidence?: Decision["evidence"];
}
export type GateOf<K extends EnvironmentGate["kind"]> = Extract<EnvironmentGate, { kind: K }>;
