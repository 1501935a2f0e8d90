import type { Plan, ProjectVersion } from "@millrace/sdk/api";
import type {
  DatasetSpec,
  EndpointSpec,
  EntitySpec,
  EnvironmentSpec,
  FeatureServiceSpec,
  FeatureViewSpec,
  InferenceGraphSpec,
  ModelCardSpec,
  MonitorSpec,
  PipelineSpec,
  ProjectSpec,
  ScheduleSpec,
  SchemaSpec,
  SweepSpec,
  TriggerSpec,
} from "@millrace/sdk/spec";

export interface DefinitionKinds {
  dataset: DatasetSpec;
  schema: SchemaSpec;
  entity: EntitySpec;
  feature_view: FeatureViewSpec;
  feature_service: FeatureServiceSpec;
  pipeline: PipelineSpec;
  endpoint: EndpointSpec;
  inference_graph: InferenceGraphSpec;
  monitor: MonitorSpec;
  trigger: TriggerSpec;
  schedule: ScheduleSpec;
  sweep: SweepSpec;
  model_card: ModelCardSpec;
  /** By the project's name and its own, as `flights/prod`. */
  environment: EnvironmentSpec;
}
export type DefinitionKind = keyof DefinitionKinds;
export interface Definition<K extends DefinitionKind> {
  kind: K;
  name: string;
  spec: DefinitionKinds[K];
  project: string;
  /** The project version that last changed it. */
  projectVersion: number;
}

/** A version of a project: its code's files, its folder on the client's machine, its commit. */
export interface ProjectSource {
  version: number;
  files: { path: string; digest: string; size: number }[];
  folder: string;
  commit: string | null;
  dirty: boolean;
}

export interface Projects {
  /** The definition as applied last, from memory; another process's change is seen within a tenth of a second. */
  get<K extends DefinitionKind>(kind: K, name: string): Promise<Definition<K> | undefined>;
  /** The definition as it was within the last second, from memory, and asked for beside where it is older than a third: for who is asked thousands of times in one. */
  glance<K extends DefinitionKind>(kind: K, name: string): Definition<K> | undefined | Promise<Definition<K> | undefined>;
  /** As `get`, and a 404 where there is none. */
  require<K extends DefinitionKind>(kind: K, name: string): Promise<Definition<K>>;
  /** All definitions of a kind by name. Never older than what was committed before the call. */
  list<K extends DefinitionKind>(kind: K): Promise<Definition<K>[]>;
  /** The newest version of a project. */
  current(project: string): Promise<ProjectSource>;
  /** One version of a project: what a run that began with it goes on with. */
  version(project: string, version: number): Promise<ProjectSource & ProjectVersion>;
  /** What its code differed from its commit by, where whoever applied it said so. */
  diff(project: string, version: number): Promise<string>;
  /** The newest version of every project. */
  projects(): Promise<ProjectVersion[]>;
  /** Whoever lets what was defined be edited says what holds in its place: `plan` and `apply` tell it. A conflict that is thrown keeps the document from being applied. */
  review(reviewer: (spec: ProjectSpec, act: "plan" | "apply") => Promise<string[]>): void;
  /** What `apply` would change. */
  plan(spec: ProjectSpec): Promise<Plan>;
  /** Makes the document the project's newest version, whole or not at all; what is applied already makes no version. */
  apply(spec: ProjectSpec, by: string): Promise<Plan & ProjectVersion>;
}
