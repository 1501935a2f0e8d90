import type { Access } from "../access/index.js";
import type { Datasets } from "../datasets/index.js";
import type { LineageService } from "../lineage/index.js";
import type { Pipelines } from "../pipelines/index.js";
import type { Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import type { Registry } from "../registry/index.js";
import type { Secrets } from "../secrets/index.js";
import type { Serving } from "../serving/index.js";
import { createDeploy, type Deploy } from "./deploy.js";
import { createEnvironments, type Environments } from "./environments.js";
import { createGates } from "./gates/index.js";
import { createPromotions, type Promotions } from "./promotions.js";
import { createReleases, type Releases } from "./releases.js";
import { createRemote } from "./remote.js";
import { createRepositories, type Repositories } from "./repositories/service.js";

export interface Delivery {
  releases: Releases;
  environments: Environments;
  promotions: Promotions;
  deploy: Deploy;
  repositories: Repositories;
  /** Begins to look after promotions, once all capabilities are there. */
  launch(): void;
  stop(): Promise<void>;
}

export function createDelivery(
  platform: Platform,
  on: {
    access: Access;
    projects: Projects;
    registry: Registry;
    serving: Serving;
    pipelines: Pipelines;
    datasets: Datasets;
    lineage: LineageService;
    secrets: Secrets;
  },
): Delivery {
  const releases = createReleases(platform, on);
  const environments = createEnvironments(platform, { ...on, released: () => releases.projects() });
  const deploy = createDeploy(platform, { ...on, releases, environments });
  const promotions = createPromotions(platform, {
    ...on,
    ...{ environments, releases, deploy, judge: createGates(platform, on), remote: createRemote(platform, on) },
  });
  const repositories = createRepositories(platform, { ...on, releases, environments, promotions });
  return {
    ...{ releases, environments, promotions, deploy, repositories },
    launch() {
      promotions.launch();
      repositories.launch();
    },
    async stop() {
      await repositories.stop();
      await promotions.stop();
    },
  };
}
