/** HTTP as any client would speak it, over kept connections, and what a payment service says with it. */
import http from "node:http";
import type { Payment } from "../simulation/world.js";

export type Cell = string | number | boolean | null;
export interface Scored {
  id: string;
  probability: number;
  version: number;
}

export function openHttp(url: string, connections = 32) {
  const { hostname, port } = new URL(url);
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });

  /** The answer, or an error where it is none of success. `moment` is the time of the request, where a replayed clock allows to say it. */
  function ask<T>(method: string, path: string, body?: unknown, moment?: string): Promise<T> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const headers = {
        ...(text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
        ...(moment === undefined ? {} : { "millrace-time": moment }),
      };
      const request = http.request({ hostname, port, method, path, agent, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          const said = Buffer.concat(chunks).toString();
          if ((answer.statusCode ?? 0) >= 300) reject(new Error(`${method} ${path} answered ${answer.statusCode}: ${said.slice(0, 600)}`));
          else resolve((said === "" ? null : JSON.parse(said)) as T);
        });
      });
      request.on("error", reject);
      request.end(text);
    });
  }

  /** Scores rows, each as of the moment in its `at`. */
  async function score(endpoint: string, rows: readonly Record<string, Cell>[], id?: string): Promise<Scored[]> {
    const inputs = Object.keys(rows[0] ?? {}).map((name) => {
      const datatype = typeof rows[0]?.[name] === "number" ? "FP64" : "BYTES";
      return { name, datatype, shape: [rows.length], data: rows.map((row) => row[name]) };
    });
    const answer = await ask<{ model_version?: string; outputs: { name: string; data: Cell[] }[] }>("POST", `/v2/models/${endpoint}/infer`, {
      ...(id === undefined ? {} : { id }),
      inputs,
    });
    const output = (name: string) => answer.outputs.find((one) => one.name === name)?.data ?? [];
    const [ids, probabilities] = [output("prediction_id"), output("probability")];
    return ids.map((one, i) => ({ id: String(one), probability: Number(probabilities[i]), version: Number(answer.model_version) }));
  }
  /** Rows of a dataset that have just come to be, to every view that reads it. They count in whatever is read when this has answered. */
  async function push(dataset: string, rows: readonly object[]): Promise<void> {
    const all: readonly Readonly<Record<string, Cell>>[] = rows.map((row) => Object.fromEntries(Object.entries(row)));
    const [first] = all;
    if (first === undefined) return;
    await ask("POST", "/push", { push_source_name: dataset, df: Object.fromEntries(Object.keys(first).map((name) => [name, all.map((row) => row[name])])) });
  }
  return {
    get: <T>(path: string) => ask<T>("GET", path),
    post: <T>(path: string, body: unknown = {}, moment?: string) => ask<T>("POST", path, body, moment),
    score,
    push,
    close: () => agent.destroy(),
  };
}
export type Http = ReturnType<typeof openHttp>;

/** What is told of a payment that was booked. Nobody knows yet whether it was fraud. */
export const booked = ({ fraud: _unknown, ...payment }: Payment) => payment;
/** What the service of fraud takes of a payment. */
export const asked = ({ at, user_id, merchant_id, device_id, amount, channel, distance_km }: Payment): Record<string, Cell> => ({
  ...{ at, user_id, merchant_id, device_id, amount, channel, distance_km },
});
