/** The tables of an export, as Parquet: their columns, by DuckDB's types, and what each means. */
const run = ["VARCHAR", "the run"] as const;
const millis = (what: string) => ["BIGINT", `${what}, in milliseconds since 1970`] as const;
const map = (what: string) => ["MAP(VARCHAR, VARCHAR)", what] as const;

export const tables = {
  experiments: {
    experiment_id: ["VARCHAR", ""],
    name: ["VARCHAR", ""],
    lifecycle_stage: ["VARCHAR", "active or deleted"],
    creation_time: millis("when it was made"),
    last_update_time: millis("when it was changed last"),
    artifact_location: ["VARCHAR", "mlflow-artifacts:/<path>: the files of its runs are below files/<path>/"],
    tags: map("its tags"),
  },
  runs: {
    run_id: run,
    experiment_id: ["VARCHAR", ""],
    run_name: ["VARCHAR", ""],
    user_id: ["VARCHAR", ""],
    status: ["VARCHAR", "RUNNING, SCHEDULED, FINISHED, FAILED or KILLED"],
    start_time: millis("when it began"),
    end_time: millis("when it ended"),
    lifecycle_stage: ["VARCHAR", "active or deleted"],
    deleted_time: millis("when it was deleted"),
    points: ["BIGINT", "how many rows of metrics it has"],
  },
  params: { run_id: run, key: ["VARCHAR", ""], value: ["VARCHAR", ""] },
  tags: { run_id: run, key: ["VARCHAR", ""], value: ["VARCHAR", ""] },
  metrics: {
    run_id: run,
    key: ["VARCHAR", "the metric"],
    step: ["BIGINT", ""],
    timestamp: millis("when it was logged"),
    value: ["DOUBLE", "NaN and infinities are what they are"],
  },
  latest_metrics: {
    run_id: run,
    key: ["VARCHAR", "the metric"],
    step: ["BIGINT", "the largest; of equal steps the latest, then the largest value"],
    timestamp: millis("when it was logged"),
    value: ["DOUBLE", ""],
  },
  inputs: {
    run_id: run,
    name: ["VARCHAR", "of a dataset that the run read"],
    digest: ["VARCHAR", "of the dataset"],
    source_type: ["VARCHAR", ""],
    source: ["VARCHAR", ""],
    schema: ["VARCHAR", ""],
    profile: ["VARCHAR", ""],
    tags: map("of this reading, as its context"),
  },
  run_models: { run_id: run, model_id: ["VARCHAR", "a logged model"], role: ["VARCHAR", "input or output"], step: ["BIGINT", ""] },
  logged_models: {
    model_id: ["VARCHAR", ""],
    experiment_id: ["VARCHAR", ""],
    name: ["VARCHAR", ""],
    status: ["VARCHAR", ""],
    model_type: ["VARCHAR", ""],
    source_run_id: ["VARCHAR", "the run that logged it"],
    lifecycle_stage: ["VARCHAR", "active or deleted"],
    creation_time: millis("when it was made"),
    last_update_time: millis("when it was changed last"),
    params: map("its params"),
    tags: map("its tags"),
  },
  logged_model_metrics: {
    model_id: ["VARCHAR", ""],
    key: ["VARCHAR", "the metric"],
    run_id: ["VARCHAR", "the run that logged it"],
    dataset_name: ["VARCHAR", "on which it was measured, if it was told"],
    dataset_digest: ["VARCHAR", ""],
    step: ["BIGINT", ""],
    timestamp: millis("when it was logged"),
    value: ["DOUBLE", ""],
  },
  registered_models: {
    name: ["VARCHAR", ""],
    description: ["VARCHAR", ""],
    creation_time: millis("when it was made"),
    last_update_time: millis("when it was changed last"),
    last_version: ["BIGINT", "the number that was given out last"],
    tags: map("its tags; prompts have mlflow.prompt.is_prompt"),
  },
  model_versions: {
    name: ["VARCHAR", "the registered model"],
    version: ["BIGINT", ""],
    creation_time: millis("when it was made"),
    last_update_time: millis("when it was changed last"),
    description: ["VARCHAR", ""],
    user_id: ["VARCHAR", ""],
    stage: ["VARCHAR", "None, Staging, Production or Archived"],
    source: ["VARCHAR", "where it was made from"],
    run_id: ["VARCHAR", "the run it is of"],
    run_link: ["VARCHAR", ""],
    logged_model_id: ["VARCHAR", "the logged model it is of"],
    tags: map("its tags"),
  },
  model_version_files: {
    name: ["VARCHAR", "the registered model"],
    version: ["BIGINT", ""],
    path: ["VARCHAR", "of the file within the version"],
    digest: ["VARCHAR", "sha256:<hex>; a file of the table artifacts with it is the same, others are below versions/<name>/<version>/"],
    size: ["BIGINT", "in bytes"],
  },
  model_aliases: { name: ["VARCHAR", "the registered model"], alias: ["VARCHAR", ""], version: ["BIGINT", ""] },
  artifacts: { path: ["VARCHAR", "below files/"], digest: ["VARCHAR", "sha256:<hex>"], size: ["BIGINT", "in bytes"] },
} as const satisfies Record<string, Record<string, readonly [type: string, meaning: string]>>;

export type TableName = keyof typeof tables;
export const tableNames = Object.keys(tables) as TableName[];
export type Cells = Readonly<Record<string, unknown>>;
export const exportFormat = "millrace-export/1";

export const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** `<folder>/<name>/<version>`: a model's name may hold what no folder's may. */
export const versionFolder = (name: string, version: number): string => `versions/${encodeURIComponent(name).replaceAll(".", "%2E")}/${version}`;

/** Refuses what would lead out of the folder: it comes from another machine. */
export function isSafe(file: string): boolean {
  return file !== "" && !/[\\\p{Cc}]|^[a-zA-Z]:/u.test(file) && !file.split("/").some((part) => part === "" || part === "." || part === "..");
}
