import type { IncomingMessage } from "node:http";
import { checkProject, formProblem } from "@millrace/sdk";
import { Page, Plan, ProjectVersion } from "@millrace/sdk/api";
import { Digest as DigestText, Name, ProjectSpec, projectSchema } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { type Digest, type Http, invalid, notFound, type ObjectStore } from "../platform/index.js";
import type { Projects } from "./types.js";

const gigabyte = 1024 ** 3;
/** Of a project: its definitions and the names of its files. */
const largestDocument = 16 * 1024 ** 2;
const largestObject = 2 * gigabyte;

export function projectsRoutes(app: Http, projects: Projects, objects: ObjectStore): void {
  app.get("/schema/project-v1.json", { config: { permission: "public" }, schema: { tags: ["projects"] } }, async (_request, reply) =>
    reply.type("application/schema+json").header("cache-control", "max-age=300").send(JSON.stringify(projectSchema())),
  );
  app.get(
    "/api/v1/projects",
    { config: { permission: "projects:read" }, schema: { tags: ["projects"], response: { 200: Page(ProjectVersion) } } },
    async () => ({
      items: await projects.projects(),
    }),
  );

  const Params = Type.Object({ name: Name });
  app.post(
    "/api/v1/projects/:name/plan",
    {
      config: { permission: "projects:write" },
      bodyLimit: largestDocument,
      attachValidation: true,
      schema: { tags: ["projects"], params: Params, body: ProjectSpec, response: { 200: Plan } },
    },
    async (request) => projects.plan(documentOf(request)),
  );
  app.put(
    "/api/v1/projects/:name",
    {
      config: { permission: "projects:write" },
      bodyLimit: largestDocument,
      attachValidation: true,
      schema: { tags: ["projects"], params: Params, body: ProjectSpec, response: { 200: Type.Composite([Plan, ProjectVersion]) } },
    },
    async (request) => projects.apply(documentOf(request), request.principal.name),
  );

  const ObjectParams = Type.Object({ digest: DigestText });
  void app.register(async (plain) => {
    const scope: Http = plain as Http;
    // Bytes of any type go to the store as they come.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    scope.put(
      "/api/v1/objects/:digest",
      {
        config: { permission: "projects:write" },
        bodyLimit: largestObject,
        schema: { tags: ["projects"], params: ObjectParams, response: { 200: Type.Object({ digest: DigestText, size: Type.Integer() }) } },
      },
      async (request) => {
        const body = request.body as IncomingMessage | undefined;
        // An empty file comes without a body.
        return objects.put(body ?? Buffer.alloc(0), { expect: request.params.digest as Digest, maxBytes: largestObject });
      },
    );
    scope.get(
      "/api/v1/objects/:digest",
      { config: { permission: "projects:read" }, schema: { tags: ["projects"], params: ObjectParams } },
      async (request, reply) => {
        const digest = request.params.digest as Digest;
        const found = await objects.stat(digest);
        if (found === undefined) throw notFound("object", digest);
        // Uploaded bytes are never shown as a page of this origin.
        reply.header("content-length", found.size).header("x-content-type-options", "nosniff").header("content-disposition", "attachment");
        return reply.type("application/octet-stream").send(await objects.read(digest));
      },
    );
  });
}

/** The document of a request, whole and right. Its form is told in words of its own: by those of JSON Schema, none of many kinds of steps would fit. */
function documentOf({ params, body, validationError }: { params: { name: string }; body: unknown; validationError?: Error | undefined }): ProjectSpec {
  if (validationError !== undefined) {
    const problem = formProblem(body);
    throw problem === undefined ? validationError : invalid(`The document is not well formed: ${problem}.`);
  }
  // Fastify has validated it.
  const spec = body as ProjectSpec;
  const { name } = params;
  if (spec.name !== name) throw invalid(`The document is of the project "${spec.name}", the address says "${name}".`);
  const problems = checkProject(spec);
  if (problems.length > 0) {
    const told = problems.slice(0, 20).map(({ at, message }) => (at === undefined ? message : `${at}: ${message}`));
    throw invalid(`The project can't be applied. ${told.join("; ")}`, { problems });
  }
  return spec;
}
