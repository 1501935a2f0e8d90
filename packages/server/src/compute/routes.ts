/** What nodes of a cluster ask for: the files of their jobs, with a token that was issued to the job. */
import type { IncomingMessage } from "node:http";
import { Digest as DigestText } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { type Digest, type Http, notFound, type ObjectStore } from "../platform/index.js";
import { limits } from "./layout.js";

const addressSeconds = 3_600;

export function computeRoutes(app: Http, objects: ObjectStore): void {
  const Params = Type.Object({ digest: DigestText });
  void app.register(async (plain) => {
    const scope: Http = plain as Http;
    // Bytes of any type go to the store as they come.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    scope.put(
      "/api/v1/compute/objects/:digest",
      {
        config: { permission: "compute:write" },
        bodyLimit: limits.outputBytes,
        schema: { tags: ["compute"], params: Params, response: { 200: Type.Object({ digest: DigestText, size: Type.Integer() }) } },
      },
      async (request) => {
        const body = request.body as IncomingMessage | undefined;
        // An empty file comes without a body.
        return objects.put(body ?? Buffer.alloc(0), { expect: request.params.digest as Digest, maxBytes: limits.outputBytes });
      },
    );
    scope.get(
      "/api/v1/compute/objects/:digest",
      {
        config: { permission: "compute:read" },
        schema: { tags: ["compute"], params: Params, querystring: Type.Object({ redirect: Type.Optional(Type.Boolean()) }) },
      },
      async (request, reply) => {
        const digest = request.params.digest as Digest;
        const found = await objects.stat(digest);
        if (found === undefined) throw notFound("object", digest);
        // Where data is in S3, large files come from there.
        if (request.query.redirect === true && objects.direct !== undefined)
          return reply.redirect(await objects.direct.downloadUrl(digest, { seconds: addressSeconds, disposition: "attachment" }));
        reply.header("content-length", found.size).header("x-content-type-options", "nosniff").header("content-disposition", "attachment");
        return reply.type("application/octet-stream").send(await objects.read(digest));
      },
    );
  });
}
