/** The composition: the one file that knows every capability. */
import { createCompute } from "./compute/index.js";
import { createDatasets, datasetsRoutes } from "./datasets/index.js";
import { createPipelines, noTracking, pipelinesRoutes } from "./pipelines/index.js";
import { openHttp, type ServerConfig, version } from "./platform/index.js";
import { openPlatform } from "./platform/open.js";
import { createProjects, projectsRoutes } from "./projects/index.js";
import { createValidation, validationRoutes } from "./validation/index.js";

export type { ServerConfig } from "./platform/index.js";
export interface RunningServer {
  url: string;
  stop(): Promise<void>;
}

export async function startServer(config: ServerConfig): Promise<RunningServer> {
  const { platform, close } = await openPlatform(config);
  const app = await openHttp(platform.log, async () => ({ name: "local" }));

  app.get("/health", { config: { permission: "public" } }, async (_request, reply) => reply.type("text/plain").send("OK"));
  app.get("/version", { config: { permission: "public" } }, async (_request, reply) => reply.type("text/plain").send(version));
  app.get("/openapi.json", { config: { permission: "public" } }, async () => app.swagger());

  const projects = createProjects(platform);
  projectsRoutes(app, projects, platform.objects);

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
  platform.clock.start();
  const url = await app.listen({ host: config.host, port: config.port });
  // Steps speak to the server's own address.
  await pipelines.launch();
  return {
    url,
    async stop() {
      await app.close();
      await pipelines.stop();
      await close();
    },
  };
}
