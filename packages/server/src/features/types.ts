import type {
  Columns,
  FeatureComparison,
  FeatureService,
  FeatureView,
  HistoricalFeatures,
  HistoricalRead,
  OnlineFeatures,
  PushResult,
} from "@millrace/sdk/api";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";
import type { StepKind } from "../pipelines/step.js";
import type { Feast } from "./feast.js";

/** What the comparison needs of the prediction log: rows as they were asked, and the features that they were given. */
export type LoggedPredictions = (query: {
  endpoint: string;
  sample: number;
  from: Date | undefined;
  to: Date | undefined;
}) => Promise<{ request: Columns; features: Columns; at: Date[] }>;

export interface ServiceModel {
  model: string;
  version: number;
}
/** Of each service the models with a version that was trained on it, and the newest such version. */
export type ModelsOfServices = () => Promise<Map<string, ServiceModel[]>>;

export interface Features {
  stepKinds: { historical_features: StepKind<"historical_features"> };
  /** The model's inputs for rows of a request, each at its own moment. Throws a 400 where the request does not fit the service. */
  readOnline(service: string, request: Columns, at: Date[]): Promise<OnlineFeatures>;
  /** The definition as applied last. Throws a 404 where there is none. */
  service(name: string): Promise<FeatureServiceSpec>;
  views(): Promise<FeatureView[]>;
  services(): Promise<FeatureService[]>;
  /** The same inputs, offline: from the datasets, each row as of the moment in its timestamp. */
  historical(service: string, read: HistoricalRead): Promise<HistoricalFeatures>;
  /** What Feast's feature server does. */
  feast: Feast;
  /** Durable when it resolves, and seen by every read that begins afterwards. */
  push(view: string, columns: Columns): Promise<PushResult>;
  /** Brings the dataset's newest version into the online store. Answers how many of its rows are there. */
  materialize(view: string): Promise<PushResult>;
  /** Features that were logged at prediction against those that are computed offline now, for the same rows and moments. */
  check(service: string, query: { endpoint: string; sample: number; from: Date | undefined; to: Date | undefined }): Promise<FeatureComparison>;
}
