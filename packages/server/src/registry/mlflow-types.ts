import type { KeyValue, Page } from "../mlflow/index.js";

export interface MlflowModel {
  name: string;
  description: string | null;
  created: number;
  updated: number;
  tags: Record<string, string>;
  aliases: { alias: string; version: string }[];
  /** The newest of each stage. */
  latest: MlflowVersion[];
}
export interface MlflowVersion {
  name: string;
  version: number;
  created: number;
  updated: number;
  user_id: string | null;
  stage: string;
  description: string | null;
  source: string | null;
  run_id: string | null;
  run_link: string | null;
  model_id: string | null;
  tags: Record<string, string>;
  aliases: string[];
}
export interface RegistrySearch {
  filter: string;
  orderBy: string[];
  limit: number;
  token: string | undefined;
}

/** The registry as MLflow's clients know it. */
export interface MlflowRegistry {
  createModel(name: string, options: { description?: string | undefined; tags: KeyValue[] }): Promise<MlflowModel>;
  model(name: string): Promise<MlflowModel>;
  searchModels(search: RegistrySearch): Promise<Page<MlflowModel>>;
  updateModel(name: string, change: { name: string } | { description: string } | { tag: KeyValue } | { removeTag: string }): Promise<MlflowModel>;
  /** With its versions; refused where a pipeline registered one of them. */
  deleteModel(name: string): Promise<void>;

  /** The files that lie at the source now are the version's for good. */
  createVersion(version: {
    name: string;
    source: string;
    runId?: string | undefined;
    runLink?: string | undefined;
    description?: string | undefined;
    modelId?: string | undefined;
    userId: string;
    tags: KeyValue[];
  }): Promise<MlflowVersion>;
  version(name: string, version: number): Promise<MlflowVersion>;
  versionByAlias(name: string, alias: string): Promise<MlflowVersion>;
  /** The newest of each stage, or of the given ones. */
  latestVersions(name: string, stages: string[]): Promise<MlflowVersion[]>;
  searchVersions(search: RegistrySearch): Promise<Page<MlflowVersion>>;
  updateVersion(
    name: string,
    version: number,
    change: { description: string } | { tag: KeyValue } | { removeTag: string } | { stage: string; archiveOthers: boolean },
  ): Promise<MlflowVersion>;
  deleteVersion(name: string, version: number): Promise<void>;
  /** Where a client takes the version's files from. */
  downloadUri(name: string, version: number): Promise<string>;

  setAlias(name: string, alias: string, version: number): Promise<void>;
  deleteAlias(name: string, alias: string): Promise<void>;
}
