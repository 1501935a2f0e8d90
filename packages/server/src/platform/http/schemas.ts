/** What comes in and goes out is checked against each route's schemas. They are compiled when they are first needed: all at once would take half of a start's time. */
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";
import ajvCompiler from "@fastify/ajv-compiler";
import type { FastifySchemaCompiler } from "fastify";
import type { Http } from "./types.js";

const options = { removeAdditional: false, allErrors: false } as const;

export function compileWhenNeeded(app: Http): void {
  const build = ajvCompiler();
  // What stands in an address is text and becomes what its schema says. A body is JSON, in which 1 and "1" are not the same.
  const exact = build({}, { customOptions: { ...options, coerceTypes: false } });
  const fromText = build({}, { customOptions: { ...options, coerceTypes: "array" } });
  app.setValidatorCompiler<object>((route) => {
    let compiled: ReturnType<typeof exact> | undefined;
    const validate: ReturnType<FastifySchemaCompiler<object>> = (data) => {
      compiled ??= route.httpPart === "body" ? exact(route) : fromText(route);
      const fits = compiled(data) === true;
      validate.errors = compiled.errors ?? null;
      return fits;
    };
    return validate;
  });
  // An answer is what its handler gives. A compiled serializer of the union that a step is takes seconds to make, and is slower than this.
  app.setSerializerCompiler((route) => (process.env.MILLRACE_CHECK_ANSWERS === "1" ? checked(route) : JSON.stringify));
}

/** In tests an answer that is not what its schema says, with more or less in it, is an error. */
function checked(route: { schema: unknown; method: string; url: string; httpStatus?: string }): (data: unknown) => string {
  const compiler: typeof import("@fastify/fast-json-stringify-compiler") = createRequire(import.meta.url)("@fastify/fast-json-stringify-compiler");
  let exact: ((data: unknown) => string) | undefined;
  return (data) => {
    exact ??= compiler.default()()({ ...route, httpStatus: route.httpStatus ?? "default" });
    const given = JSON.stringify(data);
    const allowed = exact(data);
    if (!isDeepStrictEqual(JSON.parse(given), JSON.parse(allowed)))
      throw new Error(`${route.method} ${route.url} answers what its schema has not: ${given.slice(0, 2_000)} instead of ${allowed.slice(0, 2_000)}`);
    return given;
  };
}
