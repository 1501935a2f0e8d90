import { type Static, Type } from "@sinclair/typebox";
import { ModelCardSpec } from "./cards.js";
import { closed, Digest, Name } from "./common.js";
import { DatasetSpec, SchemaSpec } from "./data.js";
import { EnvironmentSpec } from "./delivery.js";
import { EntitySpec, FeatureServiceSpec, FeatureViewSpec } from "./features.js";
import { InferenceGraphSpec } from "./graphs.js";
import { PipelineSpec } from "./pipelines.js";
import { ScheduleSpec } from "./schedules.js";
import { EndpointSpec, MonitorSpec, TriggerSpec } from "./serving.js";
import { SweepSpec } from "./sweeps.js";

export const ProjectSpec = Type.Object(
  {
    apiVersion: Type.Literal("millrace/v1"),
    name: Name,
    datasets: Type.Array(DatasetSpec),
    schemas: Type.Array(SchemaSpec),
    entities: Type.Array(EntitySpec),
    featureViews: Type.Array(FeatureViewSpec),
    featureServices: Type.Array(FeatureServiceSpec),
    pipelines: Type.Array(PipelineSpec),
    endpoints: Type.Array(EndpointSpec),
    inferenceGraphs: Type.Optional(Type.Array(InferenceGraphSpec)),
    monitors: Type.Array(MonitorSpec),
    triggers: Type.Array(TriggerSpec),
    schedules: Type.Optional(Type.Array(ScheduleSpec)),
    sweeps: Type.Optional(Type.Array(SweepSpec)),
    modelCards: Type.Optional(Type.Array(ModelCardSpec)),
    /** In the order in which they are come to. Without any: dev, staging, prod. */
    environments: Type.Optional(Type.Array(EnvironmentSpec, { maxItems: 20 })),
    /** The project's code: what a Python step finds in its working folder. Paths are relative, with `/`. */
    files: Type.Array(Type.Object({ path: Type.String({ maxLength: 1_000 }), digest: Digest, size: Type.Integer() }, closed), { maxItems: 10_000 }),
    source: Type.Optional(
      Type.Object(
        {
          commit: Type.Optional(Type.String({ maxLength: 200 })),
          branch: Type.Optional(Type.String({ maxLength: 1_000 })),
          dirty: Type.Boolean(),
          /** Where it is dirty: what differs from the commit, as `git diff` tells it; cut where it is longer. */
          diff: Type.Optional(Type.String({ maxLength: 1_048_576 })),
          /** Files that git does not know. */
          untracked: Type.Optional(Type.Array(Type.String({ maxLength: 1_000 }), { maxItems: 1_000 })),
        },
        closed,
      ),
    ),
    /** The folder on the client's machine; watched folders are relative to it. Only a server on the same machine can use it. */
    folder: Type.String(),
  },
  closed,
);
export type ProjectSpec = Static<typeof ProjectSpec>;
