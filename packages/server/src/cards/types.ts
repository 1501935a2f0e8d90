import type { ModelCard } from "@millrace/sdk/api";
import type { FeatureServiceSpec } from "@millrace/sdk/spec";

/** A card with what its text needs beside it. */
export interface Gathered {
  card: ModelCard;
  /** What a request brings, where the model has a feature service. */
  request: FeatureServiceSpec["request"] | undefined;
}
export interface Cards {
  /** All that is known of a version. Throws a 404 where there is none. */
  card(model: string, version: number): Promise<Gathered>;
}
