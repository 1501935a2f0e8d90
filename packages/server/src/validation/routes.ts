import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import path from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ValidationReport } from "@millrace/sdk/api";
import { type DatasetSpec, Name, SchemaSpec } from "@millrace/sdk/spec";
import { type Static, Type } from "@sinclair/typebox";
import { ApiError, type Http, invalid, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { givenSchema } from "./given.js";
import type { Tables } from "./history.js";
import type { Validation } from "./service.js";

const gigabyte = 1024 ** 3;
const largestFile = gigabyte;
const largestSchema = 4 * 1024 ** 2;

interface On {
  projects: Pick<Projects, "require">;
  tables: () => Tables;
}
/** A file is checked as the next arrival of `dataset`, where one is named. */
export function validationRoutes(app: Http, validation: Validation, { config }: Pick<Platform, "config">, { projects, tables }: On): void {
  void app.register(async (plain) => {
    const scope: Http = plain as Http;
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    /** Does `work` with the body as a Parquet file of this machine, and removes it. `file` is what it is called where it comes from. */
    async function uploaded<T>(bytes: Readable, { file, ...as }: Sent, work: (file: string) => Promise<T>): Promise<T> {
      const folder = path.join(config.dataDir, "uploads", randomUUID());
      await mkdir(folder, { recursive: true });
      const target = path.join(folder, "sent");
      let size = 0;
      const limit = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          size += chunk.length;
          done(size > largestFile ? new ApiError(413, "TOO_LARGE", `More than ${largestFile} bytes were sent.`) : null, chunk);
        },
      });
      try {
        await pipeline(bytes, limit, createWriteStream(target, { flags: "wx", mode: 0o600 }));
        const name = path.basename(file ?? "sent.parquet");
        const read = async () => work(await tables().asParquet({ name, path: target, size: (await stat(target)).size }, { ...as, folder }));
        return await read().catch((error: Error) => {
          if (error instanceof ApiError) throw error;
          throw new ApiError(
            422,
            "NOT_PARQUET",
            `The body is no Parquet file that can be read: ${(error.message.split("\n")[0] ?? "").replaceAll(target, "it")}`,
          );
        });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }
    const File = Type.Optional(Type.String({ maxLength: 200, pattern: "^[^/\\\\]+$", description: "Its name, which says whether it is CSV or JSON lines." }));
    scope.post(
      "/api/v1/schemas/infer",
      {
        config: { permission: "datasets:read" },
        bodyLimit: largestFile,
        schema: { tags: ["datasets"], querystring: Type.Object({ name: Type.Optional(Name), file: File }), response: { 200: SchemaSpec } },
      },
      async ({ body, query }) =>
        uploaded(streamOf(body), { file: query.file, dataset: undefined, schema: undefined }, (file) => validation.infer(query.name ?? "inferred", [file])),
    );
    const ValidateQuery = Type.Object({ environment: Type.Optional(Name), dataset: Type.Optional(Name), file: File });
    async function checked(schema: SchemaSpec, bytes: Readable, { file: called, ...query }: Static<typeof ValidateQuery>): Promise<ValidationReport> {
      const dataset = query.dataset === undefined ? undefined : (await projects.require("dataset", query.dataset)).spec;
      const around = tables().around({ dataset: query.dataset });
      return uploaded(bytes, { file: called, dataset, schema }, (file) => validation.validate(schema, [file], { environment: query.environment, around }));
    }
    scope.post(
      "/api/v1/schemas/:name/validate",
      {
        config: { permission: "datasets:read" },
        bodyLimit: largestFile,
        schema: { tags: ["datasets"], params: Type.Object({ name: Name }), querystring: ValidateQuery, response: { 200: ValidationReport } },
      },
      async ({ body, params, query }) => checked((await projects.require("schema", params.name)).spec, streamOf(body), query),
    );
    const GivenQuery = Type.Object({ ...ValidateQuery.properties, schemaBytes: Type.Integer({ minimum: 2, maximum: largestSchema }) });
    scope.post(
      "/api/v1/schemas/validate",
      {
        config: { permission: "datasets:read" },
        bodyLimit: largestFile + largestSchema,
        schema: {
          ...{ tags: ["datasets"], querystring: GivenQuery, response: { 200: ValidationReport } },
          description: "The body is a schema as JSON, `schemaBytes` long, and then the file.",
        },
      },
      async ({ body, query: { schemaBytes, ...query } }) => {
        const { first, rest } = await divided(streamOf(body), schemaBytes);
        return checked(givenSchema(parsed(first)), rest, query);
      },
    );
  });
}

interface Sent {
  file: string | undefined;
  dataset: DatasetSpec | undefined;
  schema: SchemaSpec | undefined;
}

const streamOf = (body: unknown): Readable => (body as IncomingMessage | undefined) ?? Readable.from([]);

/** The first bytes of a stream, and what comes after them. */
async function divided(stream: Readable, bytes: number): Promise<{ first: Buffer; rest: Readable }> {
  const chunks: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]();
  let taken = Buffer.alloc(0);
  while (taken.length < bytes) {
    const next = await chunks.next();
    if (next.done === true) break;
    taken = Buffer.concat([taken, next.value]);
  }
  async function* rest() {
    yield taken.subarray(bytes);
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
  }
  return { first: taken.subarray(0, bytes), rest: Readable.from(rest(), { objectMode: false }) };
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw invalid("The first `schemaBytes` bytes of the body are no JSON: send the schema there, and the file after it.");
  }
}
