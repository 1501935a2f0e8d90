import type { ServerConfig } from "@millrace/server";
import { exit } from "../errors.js";
import { print, tell } from "../output.js";
import { dataConfig, untilAsked, whyNot } from "./up.js";

export interface ServeOptions {
  port: number;
  grpcPort?: number;
  host: string;
  workers: number;
  dataDir: string;
  logLevel: string;
}

/** Answers requests for a server, on its PostgreSQL and object store, until SIGTERM or SIGINT. */
export async function serve({ port, grpcPort, host, workers, dataDir, logLevel }: ServeOptions): Promise<void> {
  const stopping = untilAsked();
  process.noDeprecation = true;
  const { startProcesses, startServing } = await import("@millrace/server");
  const config: ServerConfig = { ...dataConfig(dataDir), host, port, logLevel, ...(grpcPort === undefined ? {} : { grpcPort }) };
  const running = await Promise.resolve()
    .then(() => (workers === 1 ? startServing(config) : startProcesses(config, workers)))
    .catch((error: unknown) => {
      tell(whyNot(error, config));
      process.exit(exit.failed);
    });
  print(`Millrace serves at ${running.url}${running.grpc === undefined ? "" : `, with gRPC at ${running.grpc}`}`);
  await stopping;
  await running.stop();
  process.exit(0);
}
