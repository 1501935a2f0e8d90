/** MLflow's REST API of experiments, runs, logged models and artifacts. */

import { mlflowScope } from "../../mlflow/index.js";
import type { Http, Permission, Platform } from "../../platform/index.js";
import type { Tracking } from "../types.js";
import { artifactRoutes } from "./artifacts.js";
import { directRoutes } from "./direct.js";
import { experimentRoutes } from "./experiments.js";
import { modelRoutes } from "./models.js";
import { runRoutes } from "./runs.js";
import { seriesRoutes } from "./series.js";
import { tableRoutes } from "./table.js";

export function trackingRoutes(app: Http, tracking: Tracking, platform: Pick<Platform, "log">): void {
  tableRoutes(app, tracking);
  seriesRoutes(app, tracking);
  mlflowScope(app, platform, (protocol) => {
    const options = { config: { permission: "tracking:read" as Permission }, schema: { hide: true } };
    for (const prefix of ["/api", "/ajax-api"]) {
      protocol.scope.get(`${prefix}/3.0/mlflow/server-info`, options, async () => {
        // Clients decide by these whether large files go to the store and come from it past the server.
        const direct = tracking.artifacts.uploads !== undefined;
        return {
          store_type: "SqlStore",
          workspaces_enabled: false,
          multipart_uploads_enabled: direct,
          multipart_downloads_enabled: direct,
          presigned_upload_run_id_supported: direct,
          presigned_upload_model_id_supported: direct,
        };
      });
    }
    experimentRoutes(protocol, tracking);
    runRoutes(protocol, tracking);
    modelRoutes(protocol, tracking);
    artifactRoutes(protocol, tracking);
    directRoutes(protocol, tracking);
  });
}
