/** How a server was asked to run. */
export interface ServerConfig {
  host: string;
  /** 0 takes any free port. */
  port: number;
  dataDir: string;
  /** An external PostgreSQL; without it one runs embedded in the data folder. */
  databaseUrl?: string;
  clock: { kind: "system" } | { kind: "replay"; from: Date };
  logLevel: string;
  /** Where the built console lies; without it `/` says how to build it. */
  consoleFolder?: string;
}
export const version = "0.1.0";
