/** Another server's HTTP: JSON and files, with patience where it is busy. */
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { setTimeout as delay } from "node:timers/promises";
import { CliError } from "../errors.js";

export interface Web {
  readonly url: string;
  get(path: string, query?: Query): Promise<Json>;
  post(path: string, body: unknown): Promise<Json>;
  /** Undefined where there is no such address. */
  find(path: string): Promise<string | undefined>;
  file(path: string, query?: Query): Promise<Readable>;
}
type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>;

const answerMs = 300_000;
const pausesMs = [300, 1_000, 3_000, 10_000];

/** A server's answer that says no. */
export class Refused extends Error {
  override readonly name = "Refused";
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** As MLflow's clients: a user and a password in the address or by MLFLOW_TRACKING_USERNAME and _PASSWORD, or a token by MLFLOW_TRACKING_TOKEN. */
export function openWeb(address: string, token = process.env.MLFLOW_TRACKING_TOKEN): Web {
  const url = new URL(address);
  const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  url.username = "";
  url.password = "";
  const base = url.href.replace(/[/?#]+$/, "");
  const headers = new Headers({ accept: "application/json" });
  const env = process.env;
  const basic = user === "" ? [env.MLFLOW_TRACKING_USERNAME, env.MLFLOW_TRACKING_PASSWORD] : [user, password];
  if (basic[0]) headers.set("authorization", `Basic ${Buffer.from(`${basic[0]}:${basic[1] ?? ""}`).toString("base64")}`);
  else if (token) headers.set("authorization", `Bearer ${token}`);

  async function ask(path: string, query: Query, init: RequestInit): Promise<Response> {
    const to = new URL(base + path);
    for (const [key, value] of Object.entries(query)) for (const one of [value ?? []].flat()) to.searchParams.append(key, String(one));
    for (let attempt = 0; ; attempt++) {
      const pause = pausesMs[attempt];
      try {
        const response = await fetch(to, { ...init, headers: new Headers([...headers, ...new Headers(init.headers)]) });
        if (![429, 502, 503, 504].includes(response.status) || pause === undefined) return response;
        await response.body?.cancel();
      } catch (error) {
        // What does not answer at first is not there.
        const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
        if (pause === undefined || (!reached && attempt > 0)) throw new CliError(`${base} can't be reached: ${reason || "nothing answers"}.`);
      }
      await delay(pause);
    }
  }
  let reached = false;
  async function text(path: string, query: Query, init: RequestInit): Promise<string> {
    const response = await ask(path, query, { ...init, signal: AbortSignal.timeout(answerMs) });
    reached = true;
    const body = await response.text();
    if (response.ok) return body;
    throw refusal(response.status, body, base, path);
  }
  return {
    url: base,
    get: async (path, query = {}) => parse(await text(path, query, {}), base, path),
    post: async (path, body) =>
      parse(await text(path, {}, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } }), base, path),
    async find(path) {
      try {
        return await text(path, {}, {});
      } catch (error) {
        if (error instanceof Refused && [404, 405].includes(error.status)) return undefined;
        throw error;
      }
    },
    async file(path, query = {}) {
      const response = await ask(path, query, { headers: { accept: "*/*" } });
      if (!response.ok || response.body === null) throw refusal(response.status, await response.text(), base, path);
      return Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
    },
  };
}

function refusal(status: number, body: string, base: string, path: string): Error {
  if (status === 401 || status === 403)
    return new CliError(`${base} wants to know who asks: set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.`);
  let said = body;
  try {
    const message = new Json(JSON.parse(body)).at("message").value;
    if (typeof message === "string") said = message;
  } catch {
    // A proxy's page.
  }
  return new Refused(
    status,
    `${base}${path} answered ${status}: ${said
      .replaceAll(/<[^>]*>|\s+/g, " ")
      .trim()
      .slice(0, 200)}`,
  );
}

function parse(body: string, base: string, path: string): Json {
  try {
    // MLflow writes numbers that are none as they are in Python. They stand where no text can: before a comma or a brace.
    return new Json(JSON.parse(/NaN|Infinity/.test(body) ? body.replaceAll(/:\s*(NaN|-?Infinity)(?=\s*[,}\]])/g, ':"$1"') : body));
  } catch {
    throw new CliError(`${base}${path} answered what is no JSON: is it a server of MLflow?`);
  }
}

/** A value of an answer, to be looked into. */
export class Json {
  constructor(readonly value: unknown) {}
  at(...keys: string[]): Json {
    return new Json(keys.reduce<unknown>((value, key) => (value === null || typeof value !== "object" ? undefined : Reflect.get(value, key)), this.value));
  }
  list(...keys: string[]): Json[] {
    const { value } = this.at(...keys);
    return Array.isArray(value) ? value.map((one) => new Json(one)) : [];
  }
  /** What PostgreSQL can't keep, a zero character, is shown as what it is: nothing that can be read. */
  text(...keys: string[]): string {
    return this.textOrNull(...keys) ?? "";
  }
  textOrNull(...keys: string[]): string | null {
    const { value } = this.at(...keys);
    return value === null || value === undefined ? null : String(value).replaceAll("\0", "\uFFFD");
  }
  /** Whole numbers may come as texts. */
  number(...keys: string[]): number {
    return Number(this.at(...keys).value ?? 0);
  }
  /** `[{key, value}]` as an object. */
  values(...keys: string[]): Record<string, string> {
    return Object.fromEntries(this.list(...keys).map((one) => [one.text("key"), one.text("value")]));
  }
}
