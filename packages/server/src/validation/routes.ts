import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import path from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ValidationReport } from "@millrace/sdk/api";
import { Name, SchemaSpec } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { ApiError, type Http, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import type { Tables } from "./history.js";
import type { Validation } from "./service.js";

const gigabyte = 1024 ** 3;
const largestFile = gigabyte;

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
    /** Does `work` with the body as a Parquet file of this machine, and removes it. */
    async function uploaded<T>(body: unknown, work: (file: string) => Promise<T>): Promise<T> {
      const folder = path.join(config.dataDir, "uploads");
      await mkdir(folder, { recursive: true });
      const file = path.join(folder, `${randomUUID()}.parquet`);
      let size = 0;
      const limit = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          size += chunk.length;
          done(size > largestFile ? new ApiError(413, "TOO_LARGE", `More than ${largestFile} bytes were sent.`) : null, chunk);
        },
      });
      try {
        await pipeline((body as IncomingMessage | undefined) ?? Readable.from([]), limit, createWriteStream(file, { flags: "wx", mode: 0o600 }));
        return await work(file).catch((error: Error) => {
          if (error instanceof ApiError) throw error;
          throw new ApiError(
            422,
            "NOT_PARQUET",
            `The body is no Parquet file that can be read: ${(error.message.split("\n")[0] ?? "").replaceAll(file, "it")}`,
          );
        });
      } finally {
        await rm(file, { force: true });
      }
    }
    scope.post(
      "/api/v1/schemas/infer",
      {
        config: { permission: "datasets:read" },
        bodyLimit: largestFile,
        schema: { tags: ["datasets"], querystring: Type.Object({ name: Type.Optional(Name) }), response: { 200: SchemaSpec } },
      },
      async ({ body, query }) => uploaded(body, (file) => validation.infer(query.name ?? "inferred", [file])),
    );
    const ValidateQuery = Type.Object({ environment: Type.Optional(Name), dataset: Type.Optional(Name) });
    scope.post(
      "/api/v1/schemas/:name/validate",
      {
        config: { permission: "datasets:read" },
        bodyLimit: largestFile,
        schema: { tags: ["datasets"], params: Type.Object({ name: Name }), querystring: ValidateQuery, response: { 200: ValidationReport } },
      },
      async ({ body, params, query }) => {
        const schema = (await projects.require("schema", params.name)).spec;
        const around = tables().around({ dataset: query.dataset });
        return uploaded(body, (file) => validation.validate(schema, [file], { environment: query.environment, around }));
      },
    );
  });
}
