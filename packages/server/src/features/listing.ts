/** The registry of features: what there is, whose it is, and where it is used. */
import type { FeatureService, FeatureView } from "@millrace/sdk/api";
import type { FeatureViewSpec } from "@millrace/sdk/spec";
import type { Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import * as store from "./store.js";
import { formatTime } from "./times.js";
import type { ModelsOfServices, ServiceModel } from "./types.js";
import type { Views } from "./views.js";

/** Keys of `value` that are said. */
const said = <T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };

export async function listViews(db: Platform["db"], projects: Projects, views: Views): Promise<FeatureView[]> {
  const services = await projects.list("feature_service");
  return Promise.all(
    (await views.all()).map(async ({ spec, project }): Promise<FeatureView> => {
      const view = await views.view(spec.name);
      const { rows, newest } = await store.statistics(db, view);
      return {
        ...said({ description: spec.description, owner: spec.owner }),
        ...{ name: spec.name, project, kind: spec.kind, entity: spec.entity, tags: spec.tags ?? [] },
        keys: view.keys.map((key) => key.name),
        features: featuresOf(spec),
        ...{ dataset: spec.source.dataset, sql: spec.source.sql ?? null, timestamp: spec.timestamp ?? null, created: spec.created ?? null },
        ...{ ttl: spec.kind === "latest" ? (spec.ttl ?? null) : null, materialize: spec.materialize ?? null },
        services: services.filter((service) => service.spec.views.includes(spec.name)).map((service) => service.name),
        onlineRows: rows,
        newest: newest === null || view.timestamp === undefined ? null : formatTime(newest),
      };
    }),
  );
}

function featuresOf(spec: FeatureViewSpec): FeatureView["features"] {
  const own = ({ name, type, unit, description }: FeatureViewSpec["features"][number]) => ({ name, type, ...said({ unit, description }) });
  if (spec.kind === "latest") return spec.features.map(own);
  return spec.features.map((feature) => ({
    ...own(feature),
    aggregate: `${feature.aggregate}${feature.column === undefined ? "" : ` of ${feature.column}`} over ${feature.over}`,
  }));
}

export async function listServices(projects: Projects, models: ModelsOfServices | undefined): Promise<FeatureService[]> {
  const [services, endpoints, pipelines, versions] = await Promise.all([
    ...[projects.list("feature_service")],
    ...[projects.list("endpoint")],
    ...[projects.list("pipeline")],
    ...[models?.() ?? new Map<string, ServiceModel[]>()],
  ] as const);
  return services.map(({ name, project, spec }) => ({
    ...said({ description: spec.description, owner: spec.owner }),
    ...{ name, project, tags: spec.tags ?? [], request: spec.request, timestamp: spec.timestamp, views: spec.views, features: spec.features },
    computed: spec.compute.map((one) => one.name),
    usedBy: {
      models: versions.get(name) ?? [],
      endpoints: endpoints.filter((endpoint) => endpoint.spec.service === name).map((endpoint) => endpoint.name),
      pipelines: pipelines
        .filter(({ spec: { nodes } }) => nodes.some((node) => node.kind === "historical_features" && node.config.service === name))
        .map((pipeline) => pipeline.name),
    },
  }));
}
