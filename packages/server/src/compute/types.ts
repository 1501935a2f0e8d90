/** What compute offers, and what it is given. */
import type { Artifact } from "@millrace/sdk/api";
import type { Backend } from "./backend.js";

/** A Python that can run steps. */
export interface Interpreter {
  /** The path of its executable. */
  path: string;
  /** `3.12`: what decides whether an environment can be used again. */
  version: string;
}
/** What a script is given and must leave, by name. */
export interface ScriptInput {
  type: Artifact["type"] | "value";
  /** Files on this machine. */
  paths: string[];
  /** Of a JSON file, or of a param. */
  value?: unknown;
}
export interface ScriptOutput {
  type: Artifact["type"];
  /** Where it is to be written. */
  path: string;
}
export interface PythonScript {
  interpreter: Interpreter;
  /** Relative to `folder`. */
  script: string;
  /** The working folder, which holds the project's files. */
  folder: string;
  /** Where the script's inputs and outputs are written down for it. */
  notes: string;
  inputs: Record<string, ScriptInput>;
  outputs: Record<string, ScriptOutput>;
  params: Record<string, string | number | boolean | null>;
  environment: Record<string, string>;
  timeoutMs: number;
  signal: AbortSignal;
  onLine(stream: "stdout" | "stderr", text: string): void;
}

export interface Compute {
  /** By its name; `local` without one. Throws an error that says which there are. */
  backend(name?: string): Backend;
  /** The names of those that are set up here. */
  backends: string[];
  stop(): Promise<void>;
  /** Python 3.10 or newer of this machine. Throws an error that says what to install. */
  python(): Promise<Interpreter>;
  /** The Python of an environment with exactly what the locked requirements (with hashes) name, made where it is not there yet. */
  environment(requirements: { file: string; digest: string }, progress: { signal: AbortSignal; onLine(text: string): void }): Promise<Interpreter>;
  /** Resolves when the script ended well. Throws an error with the end of what it said where not. */
  runPython(script: PythonScript): Promise<void>;
}
