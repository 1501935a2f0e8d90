/** What a version answers at the endpoints of its model, asked by its number through the server's own address: nothing of the traffic goes to it. */
import { freemem } from "node:os";
import { durationMs } from "@millrace/sdk";
import type { ModelVersionDetail } from "@millrace/sdk/api";
import { canonical } from "@millrace/sdk/release";
import type { SmokeRequest } from "@millrace/sdk/spec";
import type { Access } from "../../access/index.js";
import { invalid, newId, type Platform } from "../../platform/index.js";
import type { Projects } from "../../projects/index.js";
import { type Serving, trialIds } from "../../serving/index.js";
import { keepEvidence } from "./evidence.js";
import { runLoad } from "./load.js";
import type { GateOf, Verdict } from "./types.js";

export interface On {
  access: Access;
  projects: Pick<Projects, "list">;
  serving: Pick<Serving, "endpoint">;
}
interface Tensor {
  name: string;
  datatype: string;
  shape: number[];
}
interface Metadata {
  inputs: Tensor[];
  outputs: Tensor[];
}
interface Answered {
  outputs: (Tensor & { data: unknown[] })[];
}
const defaultWithin = 1e-6;
const requestMs = 60_000;

export function createRequestGates({ address, objects }: Pick<Platform, "objects" | "address">, on: On) {
  const headers = () => ({
    "content-type": "application/json",
    authorization: `Bearer ${on.access.issueToken("delivery", ["endpoints:read", "predictions:write"], 3_600_000)}`,
  });
  function urlOf(endpoint: string, version?: number): string {
    if (address.url === undefined) throw new Error("The server has no address yet.");
    return `${address.url}/v2/models/${encodeURIComponent(endpoint)}${version === undefined ? "" : `/versions/${version}`}`;
  }
  async function ask<T>(url: string, body?: string): Promise<T> {
    const asked = { method: body === undefined ? "GET" : "POST", headers: headers(), signal: AbortSignal.timeout(requestMs) };
    const answer = await fetch(url, body === undefined ? asked : { ...asked, body });
    const text = await answer.text();
    const read = JSON.parse(text) as T & { error?: string };
    if (!answer.ok) throw invalid(`it answered ${answer.status}: ${read.error ?? text.slice(0, 200)}`);
    return read;
  }
  /** Throws a 400 where the model has none: then nothing can be asked. */
  async function endpointsOf({ model }: ModelVersionDetail): Promise<string[]> {
    const found = (await on.projects.list("endpoint")).filter(({ spec }) => spec.model === model).map(({ name }) => name);
    if (found.length === 0) throw invalid(`no endpoint of this server has the model "${model}", so that nothing can be asked.`);
    return found;
  }
  const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

  return {
    async sameSignature(version: ModelVersionDetail): Promise<Verdict> {
      const differences: string[] = [];
      const same: string[] = [];
      for (const endpoint of await endpointsOf(version)) {
        const theirs = await ask<Metadata>(urlOf(endpoint, version.version));
        const { stable } = await on.serving.endpoint(endpoint);
        if (stable === null) {
          same.push(`at ${endpoint} nothing answers yet`);
          continue;
        }
        const ours = await ask<Metadata>(urlOf(endpoint, stable));
        const before = differences.length;
        for (const side of ["inputs", "outputs"] as const)
          differences.push(...differing(ours[side], theirs[side]).map((what) => `${endpoint}: the ${side} ${what}`));
        if (differences.length === before) same.push(`at ${endpoint} it takes and gives what v${stable} does`);
      }
      if (differences.length > 0) return { passed: false, message: `Whoever asks would have to ask otherwise. ${differences.slice(0, 10).join("; ")}.` };
      return { passed: true, message: `${same.join("; ")}.` };
    },

    async fits({ memory }: GateOf<"fits">, version: ModelVersionDetail): Promise<Verdict> {
      const bytes = version.files.reduce((sum, file) => sum + file.size, 0);
      const limit = memory === undefined ? undefined : bytesOf(memory);
      const size = `${mebibytes(bytes)} MiB of files`;
      if (limit !== undefined && bytes > limit)
        return { passed: false, message: `It has ${size}, which take at least as much memory; asked is at most ${memory}.` };
      if (bytes > freemem()) return { passed: false, message: `It has ${size}, and this machine has ${mebibytes(freemem())} MiB of memory left.` };
      // Whatever it needs is had when it is loaded.
      for (const endpoint of await endpointsOf(version)) {
        try {
          await ask(urlOf(endpoint, version.version));
        } catch (error) {
          return { passed: false, message: `It can't be loaded at ${endpoint}: ${reason(error)}` };
        }
      }
      return { passed: true, message: `It is loaded with all that it needs, of ${size}${memory === undefined ? "" : `; asked is at most ${memory}`}.` };
    },

    async smoke({ requests }: GateOf<"smoke">, version: ModelVersionDetail): Promise<Verdict> {
      const told: { endpoint: string; request: SmokeRequest; answer?: Answered; error?: string; wrong: string[] }[] = [];
      for (const endpoint of await endpointsOf(version)) {
        const { inputs } = await ask<Metadata>(urlOf(endpoint, version.version));
        for (const request of requests) {
          try {
            const answer = await ask<Answered>(`${urlOf(endpoint, version.version)}/infer`, bodyOf(request, inputs));
            told.push({ endpoint, request, answer, wrong: unexpected(request, answer) });
          } catch (error) {
            told.push({ endpoint, request, error: reason(error), wrong: [reason(error)] });
          }
        }
      }
      const evidence = [await keepEvidence(objects, "requests and answers", told)];
      const failed = told.filter(({ wrong }) => wrong.length > 0);
      if (failed.length === 0)
        return { passed: true, message: `It answers ${told.length === 1 ? "the request" : `all ${told.length} requests`} as expected.`, evidence };
      const shown = failed
        .slice(0, 5)
        .map(({ endpoint, request, wrong }) => `request ${requests.indexOf(request) + 1} at ${endpoint}: ${wrong.slice(0, 3).join(", ")}`);
      return { passed: false, message: `${failed.length} of ${told.length} requests are not answered as expected. ${shown.join("; ")}.`, evidence };
    },

    async load(gate: GateOf<"load">, version: ModelVersionDetail, signal: AbortSignal): Promise<Verdict> {
      const forMs = durationMs(gate.for ?? "10s");
      const found: ({ endpoint: string } & Awaited<ReturnType<typeof runLoad>>)[] = [];
      for (const endpoint of await endpointsOf(version)) {
        const { inputs } = await ask<Metadata>(urlOf(endpoint, version.version));
        const bodies = gate.requests.map((request) => bodyOf(request, inputs));
        // What is loaded at the first request is not what is measured.
        for (const body of bodies.slice(0, 10)) await ask(`${urlOf(endpoint, version.version)}/infer`, body);
        const options = { perSecond: gate.perSecond, forMs, signal };
        found.push({ endpoint, ...(await runLoad(`${urlOf(endpoint, version.version)}/infer`, headers(), bodies, options)) });
      }
      const evidence = [await keepEvidence(objects, "the load test", found)];
      const said = found.map(
        (one) =>
          `${one.endpoint} answered ${one.answered} of ${one.asked} requests, ${one.perSecond.toFixed(0)} a second, p50 ${one.p50Ms.toFixed(1)} ms, p99 ${one.p99Ms.toFixed(1)} ms`,
      );
      const passed = found.every((one) => one.answered === one.asked && one.p99Ms <= gate.p99Ms);
      return {
        passed,
        message: `${said.join("; ")}; asked is ${gate.perSecond} a second with a p99 of at most ${gate.p99Ms} ms, all of them answered.`,
        evidence,
      };
    },
  };
}

const mebibytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
const bytesOf = (text: string): number => Number.parseInt(text, 10) * 1024 ** (text.endsWith("GiB") ? 3 : 2);

function differing(ours: Tensor[], theirs: Tensor[]): string[] {
  const named = new Map(theirs.map((one) => [one.name, one]));
  const found = ours.flatMap((one) => {
    const other = named.get(one.name);
    named.delete(one.name);
    if (other === undefined) return [`lack ${one.name}`];
    const words = ({ datatype, shape }: Tensor) => `${datatype} ${JSON.stringify(shape)}`;
    return canonical([one.datatype, one.shape]) === canonical([other.datatype, other.shape]) ? [] : [`have ${one.name} as ${words(other)}, not ${words(one)}`];
  });
  return [...found, ...[...named.keys()].map((name) => `have ${name}, which is new`)];
}

/** The rows as the protocol's tensors: an input that no row has is left out, as what the endpoint does not need. */
function bodyOf({ rows }: SmokeRequest, inputs: readonly Tensor[]): string {
  const known = new Set(inputs.map(({ name }) => name));
  const strange = rows.flatMap((row) => Object.keys(row)).find((name) => !known.has(name));
  if (strange !== undefined) throw invalid(`there is no input "${strange}"; it takes ${[...known].join(", ")}.`);
  const tensors = inputs.flatMap(({ name, datatype, shape }) => {
    if (!rows.some((row) => name in row)) return [];
    const values = rows.map((row) => row[name] ?? null);
    const data = values.flat();
    const given = shape.slice(1);
    const each = data.length / rows.length;
    // Of one dimension that may be of any length the rows say which.
    const fixed = given.reduce((product, length) => product * Math.max(1, length), 1);
    return [{ name, datatype, shape: [rows.length, ...given.map((length) => (length < 0 ? each / fixed : length))], data }];
  });
  return JSON.stringify({ id: `${trialIds}${newId()}`, inputs: tensors });
}

function unexpected({ rows, expect = {}, within = defaultWithin }: SmokeRequest, { outputs }: Answered): string[] {
  return Object.entries(expect).flatMap(([name, values]) => {
    const output = outputs.find((one) => one.name === name);
    if (output === undefined) return [`there is no output ${name}, there is ${outputs.map((one) => one.name).join(", ")}`];
    const expected = values.flat();
    if (output.data.length !== expected.length) return [`${name} has ${output.data.length} values for ${rows.length} rows, expected are ${expected.length}`];
    return expected.flatMap((value, at) => {
      const answered = output.data[at];
      const equal = typeof value === "number" && typeof answered === "number" ? Math.abs(value - answered) <= within : value === answered;
      return equal
        ? []
        : [`${name}[${at}] is ${JSON.stringify(answered)}, expected is ${JSON.stringify(value)}${typeof value === "number" ? ` within ${within}` : ""}`];
    });
  });
}
