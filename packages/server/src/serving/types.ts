import type { DuckDBConnection } from "@duckdb/node-api";
import type { Columns, Endpoint, Prediction, Rollout } from "@millrace/sdk/api";
import type { LoggedPredictions } from "../features/index.js";
import type { Feature } from "../inference/index.js";

export interface InferRequest {
  /** What the caller calls it: makes the predictions' ids. A repeated one is answered again and logged once. */
  id: string | undefined;
  /** The service's request columns. */
  columns: Columns;
  rows: number;
  moment: Date;
  /** Answer with this version, whatever the endpoint's state. */
  version?: number;
}
export interface InferAnswer {
  version: number;
  probability: Float64Array;
  /** `<request id>`, or `<request id>:<row>` where there are several rows. */
  ids: string[];
}
/** The span of time of predictions, from inclusive, to exclusive. */
export interface Span {
  from?: Date | undefined;
  to?: Date | undefined;
}

export interface Serving {
  infer(endpoint: string, request: InferRequest): Promise<InferAnswer>;
  endpoints(): Promise<Endpoint[]>;
  /** Throws a 404 where there is none. */
  endpoint(name: string): Promise<Endpoint>;
  /** Newest first. */
  rollouts(endpoint: string, limit: number): Promise<Rollout[]>;
  /** Ends the running rollout in favour of the stable version. Throws a 409 where none runs. */
  rollback(endpoint: string, reason: string): Promise<Rollout>;
  /** Labels of predictions by their ids; a later one replaces an earlier one. A label may come before its prediction is found in the log. */
  label(endpoint: string, labels: { id: string; label: number | boolean }[], at: Date): Promise<number>;
  /** Throws a 404 where there is none. */
  prediction(id: string): Promise<Prediction>;
  /** Newest first. */
  predictions(endpoint: string, query: Span & { limit: number }): Promise<Prediction[]>;
  /**
   * The prediction log as a relation for DuckDB, for the time of `work`: id, at (timestamptz, when it was asked), as_of (timestamptz, as
   * of when the features are), version, route, prediction, label and labelled_at (null where none came), `r_<request column>` and
   * `f_<feature>`.
   */
  usePredictions<T>(endpoint: string, span: Span, work: (connection: DuckDBConnection, relation: string) => Promise<T>): Promise<T>;
  loggedPredictions: LoggedPredictions;
  /** Runs a version on features that were logged. Throws where it can't be loaded or fails. */
  scorer(endpoint: string, version: number): Promise<{ features: Feature[]; predict(columns: Columns, rows: number): Promise<Float64Array> }>;
  /** Frees the memory of its model's versions. Whoever asks next brings them back. */
  unload(endpoint: string): Promise<void>;
  stop(): Promise<void>;
}
