/** The composition: the one file that knows every capability. */
import { createAccess } from "./access/index.js";
import { createCompute } from "./compute/index.js";
import { createDatasets, datasetsRoutes } from "./datasets/index.js";
import { createPipelines, noTracking, pipelinesRoutes } from "./pipelines/index.js";
import { openHttp, type Platform, platformRoutes, type ServerConfig } from "./platform/index.js";
import { openPlatform } from "./platform/open.js";
import { createProjects, projectsRoutes } from "./projects/index.js";
import { createRegistry, registryRoutes } from "./registry/index.js";
import { createValidation, validationRoutes } from "./validation/index.js";

export type { ServerConfig } from "./platform/index.js";
export interface RunningServer {
  url: string;
  stop(): Promise<void>;
}

export async function startServer(config: ServerConfig): Promise<RunningServer> {
  const { platform, close } = await openPlatform(config);
  try {
    const { url, stop } = await compose(platform);
    return {
      url,
      async stop() {
        await stop();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function compose(platform: Platform): Promise<RunningServer> {
  const { config } = platform;
  const access = await createAccess(platform);
  await access.checkExposure();
  const app = await openHttp(platform, access.authorize);
  platformRoutes(app, platform);

  const projects = createProjects(platform);
  projectsRoutes(app, projects, platform.objects);

  const registry = createRegistry(platform);
  registryRoutes(app, registry, platform.objects);

  const validation = createValidation(platform, { projects });
  validationRoutes(app, validation, platform);
  const datasets = createDatasets(platform, { projects, validation });
  datasetsRoutes(app, datasets);

  const compute = createCompute(platform);
  const pipelines = createPipelines(platform, {
    projects,
    compute,
    tracking: noTracking,
    stepKinds: [validation.stepKinds.validate, datasets.stepKinds.read_dataset, datasets.stepKinds.split_by_time],
  });
  pipelinesRoutes(app, pipelines, platform.objects);

  await platform.events.start();
  const url = await app.listen({ host: config.host, port: config.port });
  // Steps speak to the server's own address.
  platform.address.url = url;
  await pipelines.launch();
  platform.clock.start();
  return {
    url,
    async stop() {
      await app.close();
      await pipelines.stop();
    },
  };
}
