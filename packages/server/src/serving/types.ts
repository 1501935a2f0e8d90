import type { DuckDBConnection } from "@duckdb/node-api";
import type {
  Columns,
  Endpoint,
  LabelPush,
  LabelResult,
  Prediction,
  Replay,
  Rollout,
  RolloutDetail,
  RolloutEvent,
  RolloutMove,
  RolloutStart,
  RolloutWeights,
} from "@millrace/sdk/api";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import type { LoggedPredictions } from "../features/index.js";
import type { Feature, RunOptions, ServedModel, Tensor } from "../inference/index.js";
import type { GivenTensor } from "./given.js";

/** Ids of requests that try a version out begin so: they are logged, and no part of what drift, performance and rollouts are judged by. */
export const trialIds = "millrace:trial:";

export interface InferRequest extends RunOptions {
  /** What the caller calls it: makes the predictions' ids. A repeated one is answered again and logged once. */
  id: string | undefined;
  inputs: readonly GivenTensor[];
  moment: Date;
  /** Requests of one key are answered by one version while a rollout goes on. */
  key?: string | undefined;
  /** Who asks, for the log. */
  caller?: string | undefined;
  /** Answer with this version, whatever the endpoint's state. */
  version?: number | undefined;
}
export interface InferAnswer {
  id: string;
  /** 0: the kill switch was on, and the outputs are the endpoint's fallback. */
  version: number;
  from: Takes["kind"];
  /** Of an endpoint with features `probability` alone, else what the model gives. */
  outputs: Tensor[];
  /** `<request id>`, or `<request id>:<row>` where there are several rows. */
  ids: string[];
  /** What the log keeps of a row beside its id, time and version. */
  logged(row: number): Record<string, unknown>;
}
/** A version as an endpoint runs it. */
export interface ServedVersion {
  /** The registered model. */
  name: string;
  model: ServedModel;
  /** Undefined where the endpoint takes what its model takes. */
  service: FeatureServiceSpec | undefined;
}
/** What requests to an endpoint bring: the request columns of its feature service, or the tensors of its model. */
export type Takes = { kind: "features"; service: FeatureServiceSpec } | { kind: "tensors"; model: Omit<ServedModel, "run" | "close"> };
/** The span of time of predictions, from inclusive, to exclusive. */
export interface Span {
  from?: Date | undefined;
  to?: Date | undefined;
}

export interface Serving {
  infer(endpoint: string, request: InferRequest): Promise<InferAnswer>;
  /** Of its stable version, or of the one that is named. Throws a 503 where the endpoint takes what its model takes, and has none yet. */
  takes(endpoint: string, version?: number): Promise<Takes>;
  endpoints(): Promise<Endpoint[]>;
  /** Throws a 404 where there is none. */
  endpoint(name: string): Promise<Endpoint>;
  /** Newest first. */
  rollouts(endpoint: string, limit: number): Promise<Rollout[]>;
  /** With its plan and its numbers. Throws a 404 where the endpoint has had none of this id. */
  rollout(endpoint: string, id: string): Promise<RolloutDetail>;
  /** What became of the endpoint's versions, newest first. */
  history(endpoint: string, query: { limit: number; after?: string | undefined; rollout?: string | undefined }): Promise<RolloutEvent[]>;
  /** This and what follows resolve when every process answers by it. They throw a 409 where there is nothing to do. */
  startRollout(endpoint: string, start: RolloutStart, by: string): Promise<Rollout>;
  /** `rollback`: ends what runs in favour of the stable version; where nothing runs, the version that answered before answers again. */
  moveRollout(endpoint: string, act: "pause" | "resume" | "advance" | "promote" | "rollback", move: RolloutMove, by: string): Promise<Rollout>;
  reweighRollout(endpoint: string, weights: RolloutWeights, by: string): Promise<Rollout>;
  setKilled(endpoint: string, killed: boolean, reason: string | undefined, by: string): Promise<Endpoint>;
  isKilled(endpoint: string): Promise<boolean>;
  /**
   * Labels of predictions; a later one replaces an earlier one. By its id, a label may come before its prediction is found in the log; by entity and moment
   * it may not.
   */
  label(endpoint: string, push: LabelPush, at: Date): Promise<LabelResult>;
  /** Runs its version on its logged input again, and compares. Throws a 404 where there is none, a 409 where that can't be done. */
  replay(id: string): Promise<Replay>;
  /** Throws a 404 where there is none. */
  prediction(id: string): Promise<Prediction>;
  /** Newest first. */
  predictions(endpoint: string, query: Span & { limit: number }): Promise<Prediction[]>;
  /**
   * What was answered by a version, as a relation for DuckDB, for the time of `work`: id, at (timestamptz, when it was asked), as_of (timestamptz, as
   * of when the features are), key, version, route, prediction, label and labelled_at (null where none came); with features
   * `r_<request column>` and `f_<feature>`, without them `i_<input>` and `o_<output>` of the stable version.
   */
  usePredictions<T>(endpoint: string, span: Span, work: (connection: DuckDBConnection, relation: string) => Promise<T>): Promise<T>;
  loggedPredictions: LoggedPredictions;
  /** Runs a version on features that were logged. Throws where it can't be loaded or fails, a 409 where the endpoint has no features. */
  scorer(endpoint: string, version: number): Promise<{ features: Feature[]; predict(columns: Columns, rows: number): Promise<Float64Array> }>;
  /** Throws where it can't be loaded, or takes other features than the endpoint gives. */
  served(endpoint: string, version: number): Promise<ServedVersion>;
  /** Has a version ready to answer. Throws where it can't be. */
  load(endpoint: string, version: number): Promise<void>;
  /** Frees the memory of its model's versions. Whoever asks next brings them back. */
  unload(endpoint: string): Promise<void>;
  /** Has new versions begin where aliases ask for it, as one of several processes. */
  launch(): void;
  /** Begins no more of them: what is being made ready goes on with another process, or after a restart. */
  halt(): Promise<void>;
  stop(): Promise<void>;
}
