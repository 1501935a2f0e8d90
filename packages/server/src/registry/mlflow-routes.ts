/** MLflow's REST API of registered models and their versions. */
import {
  type Body,
  invalidValue,
  keyValues,
  maxResults,
  mlflowScope,
  nextPage,
  optional,
  optionalBoolean,
  present,
  tagList,
  text,
  texts,
} from "../mlflow/index.js";
import type { Http, Permission, Platform } from "../platform/index.js";
import type { MlflowModel, MlflowRegistry, MlflowVersion } from "./mlflow-types.js";

export function mlflowRegistryRoutes(app: Http, registry: MlflowRegistry, platform: Pick<Platform, "log">): void {
  mlflowScope(app, platform, ({ on, scope }) => {
    const name = (given: Body) => text(given, "name");
    const model = (found: MlflowModel) => ({ registered_model: modelJson(found) });
    const version = (found: MlflowVersion) => ({ model_version: versionJson(found) });
    const tag = (given: Body) => ({ tag: { key: text(given, "key"), value: optional(given, "value") ?? "" } });
    const search = (given: Body, usual: number, most: number) => ({
      filter: optional(given, "filter") ?? "",
      orderBy: texts(given, "order_by"),
      limit: maxResults(given, usual, most),
      token: optional(given, "page_token"),
    });

    on("POST", "registered-models/create", "models:write", async (given) =>
      model(await registry.createModel(name(given), { description: optional(given, "description"), tags: keyValues(given, "tags") })),
    );
    on("GET", "registered-models/get", "models:read", async (given) => model(await registry.model(name(given))));
    on("GET", "registered-models/search", "models:read", async (given) => {
      const { items, next } = await registry.searchModels(search(given, 100, 1_000));
      return { registered_models: items.map(modelJson), ...nextPage(next) };
    });
    on("POST", "registered-models/rename", "models:write", async (given) => model(await registry.updateModel(name(given), { name: text(given, "new_name") })));
    on("PATCH", "registered-models/update", "models:write", async (given) =>
      model(await registry.updateModel(name(given), { description: optional(given, "description") ?? "" })),
    );
    on("DELETE", "registered-models/delete", "models:write", (given) => registry.deleteModel(name(given)));
    on("POST", "registered-models/set-tag", "models:write", async (given) => void (await registry.updateModel(name(given), tag(given))));
    on(
      "DELETE",
      "registered-models/delete-tag",
      "models:write",
      async (given) => void (await registry.updateModel(name(given), { removeTag: text(given, "key") })),
    );
    for (const method of ["GET", "POST"] as const) {
      on(method, "registered-models/get-latest-versions", "models:read", async (given) => ({
        model_versions: (await registry.latestVersions(name(given), texts(given, "stages"))).map(versionJson),
      }));
    }
    on("POST", "registered-models/alias", "models:write", (given) => registry.setAlias(name(given), text(given, "alias"), versionOf(given)));
    on("GET", "registered-models/alias", "models:read", async (given) => version(await registry.versionByAlias(name(given), text(given, "alias"))));
    on("DELETE", "registered-models/alias", "models:write", (given) => registry.deleteAlias(name(given), text(given, "alias")));

    on("POST", "model-versions/create", "models:write", async (given, request) =>
      version(
        await registry.createVersion({
          name: name(given),
          source: text(given, "source"),
          runId: optional(given, "run_id") || undefined,
          runLink: optional(given, "run_link") || undefined,
          description: optional(given, "description"),
          modelId: optional(given, "model_id") || undefined,
          userId: request.principal.name,
          tags: keyValues(given, "tags"),
        }),
      ),
    );
    on("GET", "model-versions/get", "models:read", async (given) => version(await registry.version(name(given), versionOf(given))));
    on("GET", "model-versions/search", "models:read", async (given) => {
      const { items, next } = await registry.searchVersions(search(given, 10_000, 200_000));
      return { model_versions: items.map(versionJson), ...nextPage(next) };
    });
    on("PATCH", "model-versions/update", "models:write", async (given) =>
      version(await registry.updateVersion(name(given), versionOf(given), { description: optional(given, "description") ?? "" })),
    );
    on("POST", "model-versions/transition-stage", "models:write", async (given) =>
      version(
        await registry.updateVersion(name(given), versionOf(given), {
          stage: text(given, "stage"),
          archiveOthers: optionalBoolean(given, "archive_existing_versions") ?? false,
        }),
      ),
    );
    on("DELETE", "model-versions/delete", "models:write", (given) => registry.deleteVersion(name(given), versionOf(given)));
    on("GET", "model-versions/get-download-uri", "models:read", async (given) => ({ artifact_uri: await registry.downloadUri(name(given), versionOf(given)) }));
    // Its pages link to a version's files here.
    scope.get("/model-versions/get-artifact", { config: { permission: "models:read" as Permission }, schema: { hide: true } }, async (request, reply) => {
      const given = request.query as Body;
      const folder = /^mlflow-artifacts:(.+)$/.exec(await registry.downloadUri(name(given), versionOf(given)))?.[1];
      if (folder === undefined) throw invalidValue("The files of this version are not kept by this server.");
      return reply.redirect(`/api/2.0/mlflow-artifacts/artifacts${folder}/${text(given, "path").split("/").map(encodeURIComponent).join("/")}`);
    });
    on("POST", "model-versions/set-tag", "models:write", async (given) => void (await registry.updateVersion(name(given), versionOf(given), tag(given))));
    on("DELETE", "model-versions/delete-tag", "models:write", async (given) => {
      await registry.updateVersion(name(given), versionOf(given), { removeTag: text(given, "key") });
    });
  });
}

function versionOf(given: Body): number {
  const version = text(given, "version");
  if (!/^[0-9]{1,9}$/.test(version)) throw invalidValue(`Model version must be an integer, got '${version.slice(0, 100)}'`);
  return Number(version);
}
const modelJson = (model: MlflowModel) =>
  present({
    name: model.name,
    creation_timestamp: model.created,
    last_updated_timestamp: model.updated,
    description: model.description,
    latest_versions: model.latest.map(versionJson),
    tags: tagList(model.tags),
    aliases: model.aliases,
  });
const versionJson = (version: MlflowVersion) =>
  present({
    name: version.name,
    version: String(version.version),
    creation_timestamp: version.created,
    last_updated_timestamp: version.updated,
    user_id: version.user_id,
    current_stage: version.stage,
    description: version.description,
    source: version.source,
    run_id: version.run_id,
    run_link: version.run_link,
    model_id: version.model_id,
    status: "READY",
    tags: tagList(version.tags),
    aliases: version.aliases,
  });
