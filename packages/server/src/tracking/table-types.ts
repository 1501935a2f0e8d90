import type {
  ExperimentQuery,
  ExperimentSummary,
  RunColumns,
  RunCount,
  RunCountQuery,
  RunCsvQuery,
  RunFamily,
  RunMetric,
  RunTableQuery,
  RunTableRow,
  RunValues,
} from "@millrace/sdk/api";
import type { Page } from "../mlflow/index.js";

export interface RunTable {
  page(query: RunTableQuery): Promise<Page<RunTableRow>>;
  count(query: RunCountQuery): Promise<RunCount>;
  /** Lines of text; a page of runs at a time is in memory. Throws before the first line where the search is none. */
  csv(query: RunCsvQuery): Promise<AsyncGenerator<string>>;
}

export interface RunKeys {
  columns(experiment: string): Promise<RunColumns>;
  values(experiment: string, key: string, search: string): Promise<RunValues>;
}

export interface Overview {
  experiments(query: ExperimentQuery): Promise<Page<ExperimentSummary>>;
  /** Latest, smallest and largest value of each metric of a run. Throws a 404 where there is no such run. */
  metrics(run: string): Promise<RunMetric[]>;
  family(run: string): Promise<RunFamily>;
}
