/** Projects: what users define, version by version. Every other capability reads its definitions here. */
import type {
  DatasetSpec,
  EndpointSpec,
  EntitySpec,
  FeatureServiceSpec,
  FeatureViewSpec,
  MonitorSpec,
  PipelineSpec,
  SchemaSpec,
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
  monitor: MonitorSpec;
  trigger: TriggerSpec;
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

export interface Projects {
  /** The definition as applied last, from memory; every process hears of a new one. */
  get<K extends DefinitionKind>(kind: K, name: string): Promise<Definition<K> | undefined>;
  /** As `get`, and a 404 where there is none. */
  require<K extends DefinitionKind>(kind: K, name: string): Promise<Definition<K>>;
  list<K extends DefinitionKind>(kind: K): Promise<Definition<K>[]>;
  /** The newest version of a project: its code's files, its folder on the client's machine, its commit. */
  current(
    project: string,
  ): Promise<{ version: number; files: { path: string; digest: string; size: number }[]; folder: string; commit: string | null; dirty: boolean }>;
}
