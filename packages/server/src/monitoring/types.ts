import type { Monitor, MonitorCheck, Performance } from "@millrace/sdk/api";

export interface Monitoring {
  monitors(): Promise<Monitor[]>;
  /** Throws a 404 where there is none. */
  monitor(name: string): Promise<Monitor>;
  /** Oldest first. */
  checks(name: string, query: { from?: Date | undefined; to?: Date | undefined; after?: Date | undefined; limit: number }): Promise<MonitorCheck[]>;
  /** The newest check of the monitor; the newest that knows the metric, where one is named. */
  latest(name: string, metric?: string): Promise<MonitorCheck | undefined>;
  /** On labelled predictions, of what answered, or of one version run on the features that were logged. */
  performance(
    name: string,
    query: { by: "day" | "month"; version?: number | undefined; from?: Date | undefined; to?: Date | undefined },
  ): Promise<Performance[]>;
}
