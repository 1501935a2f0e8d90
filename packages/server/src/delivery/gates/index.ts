/** Gates of environments: each says yes or no to what is to come, with what it decided by. */
import type { Decision } from "@millrace/sdk/api";
import type { EnvironmentGate } from "@millrace/sdk/spec";
import type { Access } from "../../access/index.js";
import { judgeGates, gateName as metricGate } from "../../evaluation/index.js";
import { ApiError, type Platform } from "../../platform/index.js";
import { createDataGate, type On as DataOn } from "./data.js";
import { keepEvidence } from "./evidence.js";
import { createRequestGates, type On as RequestOn } from "./requests.js";
import { signedBy } from "./signed.js";
import type { Candidate, Verdict } from "./types.js";

export type { Candidate } from "./types.js";
export interface GateVerdict extends Verdict {
  gate: string;
  /** Whether a no keeps it out. */
  blocks: boolean;
  evidence: Decision["evidence"];
}
/** Undefined where the gate is not about such a thing. What can't be judged does not pass. */
export type JudgeGate = (gate: EnvironmentGate, candidate: Candidate, signal: AbortSignal) => Promise<GateVerdict | undefined>;

export function createGates(platform: Pick<Platform, "objects" | "address" | "log">, on: DataOn & RequestOn & { access: Access }): JudgeGate {
  const dataValidated = createDataGate(on);
  const requests = createRequestGates(platform, on);

  async function judged(gate: EnvironmentGate, candidate: Candidate, signal: AbortSignal): Promise<Verdict | undefined> {
    if (gate.kind === "signed") return signedBy(gate, candidate);
    if (candidate.kind === "release") return gate.kind === "checked" ? check(candidate.release.checks[0]) : undefined;
    const { version } = candidate;
    switch (gate.kind) {
      case "checked":
        return undefined;
      case "data_validated":
        return dataValidated(gate, version);
      case "same_signature":
        return requests.sameSignature(version);
      case "fits":
        return requests.fits(gate, version);
      case "smoke":
        return requests.smoke(gate, version);
      case "load":
        return requests.load(gate, version, signal);
      case "at_least":
      case "at_most": {
        // What was registered by another client has metrics, and no evaluation of Millrace's.
        const value = version.metrics[gate.metric];
        if (version.report !== null || value === undefined) break;
        const passed = gate.kind === "at_least" ? value >= gate.value : value <= gate.value;
        return { passed, message: `Its ${gate.metric} is ${value}; asked is ${gate.kind === "at_least" ? "at least" : "at most"} ${gate.value}.` };
      }
    }
    if (version.report === null) return { passed: false, message: "It was registered without an evaluation, so there is nothing to judge it by." };
    const [found] = judgeGates([gate], version.report);
    if (found === undefined) return undefined;
    return { ...found, evidence: [await keepEvidence(platform.objects, "the evaluation's report", version.report)] };
  }

  return async (gate, candidate, signal) => {
    try {
      const verdict = await judged(gate, candidate, signal);
      if (verdict === undefined) return undefined;
      return { gate: gateName(gate), blocks: gate.severity !== "warn", evidence: [], ...verdict };
    } catch (error) {
      if (signal.aborted) throw error;
      if (!(error instanceof ApiError)) platform.log.warn({ error, gate: gate.kind }, "a gate could not be judged");
      const message = `It could not be judged: ${error instanceof Error ? error.message : String(error)}`;
      return { gate: gateName(gate), blocks: gate.severity !== "warn", passed: false, message, evidence: [] };
    }
  };
}

function check(newest: { passed: boolean; summary: string; report: string | null; addedBy: string } | undefined): Verdict {
  if (newest === undefined) return { passed: false, message: "It was never checked." };
  const { passed, summary, report, addedBy } = newest;
  return {
    passed,
    message: `${passed ? "Its newest check passed" : "Its newest check failed"}, by ${addedBy}: ${summary}`,
    evidence: report === null ? [] : [{ what: "the check's report", digest: report }],
  };
}

function gateName(gate: EnvironmentGate): string {
  switch (gate.kind) {
    case "data_validated":
      return "data validated";
    case "same_signature":
      return "signature equal";
    case "fits":
      return "packages and memory fit";
    case "load":
      return `${gate.perSecond} requests/s at p99 ${gate.p99Ms} ms`;
    case "smoke":
      return "smoke requests";
    case "signed":
      return "signed";
    case "checked":
      return "checked";
    default:
      return metricGate(gate);
  }
}
