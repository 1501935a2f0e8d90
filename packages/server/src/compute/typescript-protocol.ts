/** What is said between the platform and a process that runs functions of bundles. */
import type { StepNote } from "./files.js";
import type { CheckAnswer, CheckMessage } from "./row-checks-protocol.js";

export interface RunMessage {
  kind: "run";
  /** The bundle's file; its name is its digest, so that what was loaded once can be used again. */
  bundle: string;
  step: string;
  note: StepNote;
  /** The working folder. */
  folder: string;
  environment: Record<string, string>;
  maxLogBytes: number;
}
export type ToRunner = RunMessage | CheckMessage | { kind: "cancel" };
export type FromRunner =
  | CheckAnswer
  | { kind: "line"; stream: "stdout" | "stderr"; text: string }
  /** Progress and metrics, as the reports of other processes. */
  | { kind: "report"; text: string }
  | {
      kind: "end";
      /** In one line; the rest of it was said on standard error. */
      error: string | null;
      memoryBytes: number;
      cpuSeconds: number;
      /** Nothing of the step goes on in it. */
      reusable: boolean;
    };
