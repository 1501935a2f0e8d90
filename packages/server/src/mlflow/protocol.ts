/** MLflow's REST protocol: its addresses and errors, and what its bodies, protocol buffers as JSON, may hold. */
import { isUtf8 } from "node:buffer";
import type { FastifyReply, FastifyRequest } from "fastify";
import { ApiError, errorAnswer, type Http, type Permission, type Platform } from "../platform/index.js";
import { codeFor, invalidValue } from "./errors.js";
import type { KeyValue } from "./types.js";

const largestBody = 32 * 1024 * 1024;
/** Of one process and one part of the API. */
const mostAtOnce = { requests: 1_000, bytes: 128 * 1024 * 1024 };
export type Body = Record<string, unknown>;
type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
type Handler = (given: Body, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

export interface Protocol {
  scope: Http;
  /** `path` is below `…/mlflow/`; `given` is what the body, the query and the address say together. An answer that is a text is JSON already. */
  on(method: Method, path: string, permission: Permission, answer: Handler): void;
}

/** Routes under all the addresses of MLflow's API, with its errors. */
export function mlflowScope(app: Http, platform: Pick<Platform, "log">, routes: (protocol: Protocol) => void, most = mostAtOnce): void {
  const under = { requests: 0, bytes: 0 };
  /** What waits, waits in memory: more of it than will be served soon is sent away, and its client comes again. */
  async function admitted<Answer>(bytes: number, work: () => Promise<Answer>): Promise<Answer> {
    if (under.requests >= most.requests || (under.requests > 0 && under.bytes + bytes > most.bytes))
      throw new ApiError(503, "UNAVAILABLE", "The server has more to do than it can at the moment. Send the request again.");
    under.requests++;
    under.bytes += bytes;
    try {
      return await work();
    } finally {
      under.requests--;
      under.bytes -= bytes;
    }
  }
  void app.register(async (plain) => {
    const scope = plain as Http;
    scope.setErrorHandler((error, request, reply) => {
      const { status: told, body, retryAfter } = errorAnswer(error, platform.log, request.url);
      const status = told === 415 ? 400 : told;
      if (told === 415) body.error.message = "Bad Request. Content-Type must be application/json.";
      if (retryAfter !== undefined) void reply.header("retry-after", retryAfter);
      void reply.code(status).send({ error_code: codeFor(body.error.code), message: body.error.message });
    });
    // Bodies are only looked into by name: what they could say of prototypes, for which the usual parser looks first, reaches nothing.
    scope.addContentTypeParser<Buffer>("application/json", { parseAs: "buffer" }, (_request, body, done) => {
      // It would be read as another text than was meant.
      if (!isUtf8(body)) return done(invalidValue("The body is not encoded in UTF-8."));
      try {
        done(null, body.length === 0 ? undefined : JSON.parse(body.toString("utf8")));
      } catch (error) {
        done(invalidValue(`The body is no JSON: ${error instanceof Error ? error.message : String(error)}`));
      }
    });
    routes({
      scope,
      on(method, path, permission, answer) {
        const options = { config: { permission }, bodyLimit: largestBody, schema: { hide: true } };
        for (const prefix of ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow"]) {
          scope.route({
            ...options,
            method,
            url: `${prefix}/${path}`,
            handler: async (request, reply) => {
              const given = { ...asBody(request.query), ...asBody(request.body), ...asBody(request.params) };
              const answered = await admitted(Number(request.headers["content-length"] ?? 0), () => answer(given, request, reply));
              if (typeof answered === "string") return reply.type("application/json; charset=utf-8").send(answered);
              return answered ?? {};
            },
          });
        }
      },
    });
  });
}
export function asBody(given: unknown): Body {
  if (given === undefined || given === null) return {};
  if (typeof given !== "object" || Array.isArray(given)) throw invalidValue("A JSON object is expected as the body.");
  return given as Body;
}

// ---------------------------------------------------------------------------------------- what comes in
export function text(given: Body, name: string): string {
  const value = optional(given, name);
  if (value === undefined || value === "") throw invalidValue(`Missing value for required parameter '${name}'.`);
  return value;
}
export function optional(given: Body, name: string): string | undefined {
  const value = given[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw invalidValue(`Invalid value ${shown(value)} for parameter '${name}' supplied: a text is expected.`);
  // Neither can be kept: PostgreSQL has no zero characters, and half of a surrogate pair is no character.
  if (/\0|\p{Surrogate}/u.test(value))
    throw invalidValue(`Invalid value for parameter '${name}' supplied: a text has no zero characters and no halves of surrogate pairs.`);
  return value;
}
/** A name or the number that stands for it, as protocol buffers write what is one of a few. */
export function oneOf(given: Body, name: string, names: readonly string[]): string | undefined {
  const value = given[name];
  const told = typeof value === "number" ? String(value) : optional(given, name);
  return told === undefined || told === "" ? undefined : /^\d{1,2}$/.test(told) ? (names[Number(told)] ?? told) : told;
}
export function optionalNumber(given: Body, name: string): number | undefined {
  const value = given[name];
  if (value === undefined || value === null || value === "") return undefined;
  const number = typeof value === "string" || typeof value === "number" ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number))
    throw invalidValue(`Invalid value ${shown(value)} for parameter '${name}' supplied: a whole number between -2^53 and 2^53 is expected.`);
  return number;
}
export function optionalBoolean(given: Body, name: string): boolean | undefined {
  const value = given[name];
  if (value === undefined || value === null) return undefined;
  if (value === true || value === "true") return true;
  if (value === false || value === "false") return false;
  throw invalidValue(`Invalid value ${shown(value)} for parameter '${name}' supplied: true or false is expected.`);
}
/** Of lists and objects only what they are: how deeply they lie in each other is up to the client, and writing them out would end at some depth. */
export const shown = (value: unknown): string =>
  Array.isArray(value) ? "[…]" : value !== null && typeof value === "object" ? "{…}" : (JSON.stringify(value) ?? "nothing").slice(0, 200);
export function list(given: Body, name: string): Body[] {
  const value = given[name] ?? [];
  if (!Array.isArray(value) || value.some((one) => one === null || typeof one !== "object" || Array.isArray(one)))
    throw invalidValue(`Invalid value for parameter '${name}' supplied: a list of objects is expected.`);
  return value;
}
/** A list of texts; in an address one alone is no list. */
export function texts(given: Body, name: string): string[] {
  const value = given[name] ?? [];
  const all: unknown[] = Array.isArray(value) ? value : [value];
  return all.map((one) => text({ [name]: one }, name));
}
export const keyValue = (given: Body): KeyValue => ({ key: text(given, "key"), value: optional(given, "value") ?? "" });
export const keyValues = (given: Body, name: string): KeyValue[] => list(given, name).map(keyValue);
export function maxResults(given: Body, usual: number, most: number): number {
  const limit = optionalNumber(given, "max_results") ?? usual;
  if (limit < 1 || limit > most) throw invalidValue(`Invalid value ${limit} for parameter 'max_results' supplied: It must be at least 1 and at most ${most}.`);
  return limit;
}

/** Of what is absent nothing is said, as protocol buffers do. */
export function present<T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined | null> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null)) as {
    [K in keyof T]?: Exclude<T[K], undefined | null>;
  };
}
export const nextPage = (next: string | undefined): { next_page_token?: string } => (next === undefined ? {} : { next_page_token: next });
export const tagList = (tags: Record<string, string>): KeyValue[] => Object.entries(tags).map(([key, value]) => ({ key, value }));
/** JSON has no NaN and no infinity: protocol buffers write them as texts. */
export const number = (value: number): number | string => (Number.isFinite(value) ? value : String(value));
