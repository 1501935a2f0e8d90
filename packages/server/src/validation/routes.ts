import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import path from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Name, SchemaSpec } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { ApiError, type Http, type Platform } from "../platform/index.js";
import type { Validation } from "./service.js";

const gigabyte = 1024 ** 3;
const largestFile = gigabyte;

export function validationRoutes(app: Http, validation: Validation, { config }: Pick<Platform, "config">): void {
  void app.register(async (plain) => {
    const scope: Http = plain as Http;
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    scope.post(
      "/api/v1/schemas/infer",
      {
        config: { permission: "datasets:read" },
        bodyLimit: largestFile,
        schema: { tags: ["datasets"], querystring: Type.Object({ name: Type.Optional(Name) }), response: { 200: SchemaSpec } },
      },
      async (request) => {
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
          await pipeline((request.body as IncomingMessage | undefined) ?? Readable.from([]), limit, createWriteStream(file, { flags: "wx", mode: 0o600 }));
          return await validation.infer(request.query.name ?? "inferred", [file]).catch((error: Error) => {
            throw new ApiError(
              422,
              "NOT_PARQUET",
              `The body is no Parquet file that can be read: ${(error.message.split("\n")[0] ?? "").replaceAll(file, "it")}`,
            );
          });
        } finally {
          await rm(file, { force: true });
        }
      },
    );
  });
}
