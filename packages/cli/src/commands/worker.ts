import { exit } from "../errors.js";
import { print, tell } from "../output.js";
import { dataConfig, untilAsked, whyNot } from "./up.js";

/** Runs steps for a server, on its PostgreSQL and object store, until SIGTERM or SIGINT. */
export async function worker(options: { port: number; host: string; dataDir: string; logLevel: string }): Promise<void> {
  const stopping = untilAsked();
  process.noDeprecation = true;
  const { startWorker } = await import("@millrace/server");
  const config = { ...dataConfig(options.dataDir), host: options.host, port: options.port, logLevel: options.logLevel };
  const running = await Promise.resolve()
    .then(() => startWorker(config))
    .catch((error: unknown) => {
      tell(whyNot(error, config));
      process.exit(exit.failed);
    });
  print(`This worker takes steps; its health is at ${running.url}/health`);
  await stopping;
  await running.stop();
  process.exit(0);
}
