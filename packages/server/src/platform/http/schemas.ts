/** What comes in and goes out is checked against each route's schemas. They are compiled when they are first needed: all at once would take half of a start's time. */
import ajvCompiler from "@fastify/ajv-compiler";
import serializerCompiler from "@fastify/fast-json-stringify-compiler";
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
  const serializer = serializerCompiler()();
  app.setSerializerCompiler((route) => {
    let compiled: ((data: unknown) => string) | undefined;
    return (data) => {
      compiled ??= serializer({ ...route, httpStatus: route.httpStatus ?? "default" });
      return compiled(data);
    };
  });
}
