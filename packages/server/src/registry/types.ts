import type { Model, ModelVersion, ModelVersionDetail } from "@millrace/sdk/api";
import type { RegisteredVersion, VersionRegistry } from "../evaluation/index.js";

export interface Registry extends VersionRegistry {
  models(): Promise<Model[]>;
  /** Throws a 404 where there is none. */
  model(name: string): Promise<Model>;
  /** Newest first. */
  versions(model: string, page: { limit: number; before?: number }): Promise<ModelVersion[]>;
  /** With its files and report. Throws a 404 where there is none. */
  version(model: string, version: number): Promise<ModelVersionDetail>;
  /** As `version`, in the form that evaluation and serving take. */
  registered(model: string, version: number): Promise<RegisteredVersion>;
  /** Does nothing where there is no such alias. */
  deleteAlias(model: string, alias: string): Promise<void>;
}
