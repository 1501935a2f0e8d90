import { fileURLToPath } from "node:url";
import { Worker, type WorkerOptions } from "node:worker_threads";

/**
 * A thread that runs the module of this name beside the one whose `import.meta.url` is given. From the sources, which only tests and benchmarks run, a thread
 * has to be told how TypeScript is loaded: it does not take that over.
 */
export function startThread(beside: string, name: string, options: WorkerOptions = {}): Worker {
  if (!beside.endsWith(".ts")) return new Worker(new URL(`${name}.js`, beside), options);
  const source = new URL(`${name}.ts`, beside);
  const code = `import { register } from ${JSON.stringify(import.meta.resolve("tsx/esm/api"))}; register(); await import(${JSON.stringify(source.href)});`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), options);
}

/** As `startThread`, a process of Node's: what to start, and with which arguments. `flags` go before the module. */
export function nodeProgram(beside: string, name: string, flags: readonly string[] = []): { command: string; args: string[] } {
  const source = beside.endsWith(".ts");
  const loading = source ? ["--conditions=millrace-source", "--import", import.meta.resolve("tsx")] : [];
  return { command: process.execPath, args: [...flags, ...loading, fileURLToPath(new URL(`${name}.${source ? "ts" : "js"}`, beside))] };
}
