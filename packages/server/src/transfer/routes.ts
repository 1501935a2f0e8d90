import {
  ExperimentPlace,
  ModelPlace,
  MovedAlias,
  MovedExperiment,
  MovedFile,
  MovedLoggedModel,
  MovedModel,
  MovedRun,
  MovedSeries,
  MovedVersion,
  Page,
  RunMark,
  TransferCounts,
  transferLimits,
} from "@millrace/sdk/api";
import { type TSchema, Type } from "@sinclair/typebox";
import { type Digest, type Http, invalid, notFound, type ObjectStore, type Permission } from "../platform/index.js";
import type { RegistryTransfer } from "../registry/index.js";
import type { After, TrackingTransfer } from "../tracking/index.js";

/** Longer than other lists' places: one of points has a metric's name in it. */
const Query = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 50_000 })),
  after: Type.Optional(Type.String({ maxLength: 4_000 })),
});
const base = "/api/v1/transfer";
const tags = ["transfer"];
const largestObject = 64 * 1024 ** 3;

export function transferRoutes(
  app: Http,
  { tracking, registry, objects }: { tracking: TrackingTransfer; registry: RegistryTransfer; objects: ObjectStore },
): void {
  const read = { config: { permission: "tracking:read" as Permission } };
  // Whoever moves in says who made what and when.
  const write = { config: { permission: "transfer:admin" as Permission }, bodyLimit: transferLimits.bytes };
  const page = ({ limit, after }: { limit?: number; after?: string }, most: number): After => ({ limit: Math.min(limit ?? most, most), after });
  const batch = <T extends TSchema>(item: T) => Type.Object({ items: Type.Array(item, { maxItems: transferLimits.items }) });
  const items = <T extends TSchema>(item: T) => Type.Object({ items: Type.Array(item) });
  const Done = Type.Object({});

  app.get(base, { ...read, schema: { tags, response: { 200: TransferCounts } } }, async () => ({ ...(await tracking.counts()), ...(await registry.counts()) }));

  app.get(
    `${base}/experiments`,
    { ...read, schema: { tags, querystring: Query, response: { 200: Page(Type.Object({ ...MovedExperiment.properties, artifactLocation: Type.String() })) } } },
    async ({ query }) => tracking.experiments(page(query, 1_000)),
  );
  app.post(
    `${base}/experiments`,
    { ...write, schema: { tags, body: batch(MovedExperiment), response: { 200: items(ExperimentPlace) } } },
    async ({ body }) => ({
      items: await taken(() => tracking.takeExperiments(body.items)),
    }),
  );
  app.get(
    `${base}/runs`,
    { ...read, schema: { tags, querystring: Query, response: { 200: Page(Type.Object({ ...MovedRun.properties, points: Type.Integer() })) } } },
    async ({ query }) => tracking.runs(page(query, 1_000)),
  );
  app.post(`${base}/runs`, { ...write, schema: { tags, body: batch(MovedRun), response: { 200: items(RunMark) } } }, async ({ body }) => ({
    items: await taken(() => tracking.takeRuns(body.items)),
  }));
  app.post(`${base}/runs/marks`, { ...write, schema: { tags, body: batch(RunMark), response: { 200: Done } } }, async ({ body }) => {
    await taken(() => tracking.markRuns(body.items));
    return {};
  });
  const SeriesQuery = Type.Object({ ...Query.properties, runs: Type.Optional(Type.String({ maxLength: 14_000, description: "Ids, comma-separated." })) });
  app.get(`${base}/series`, { ...read, schema: { tags, querystring: SeriesQuery, response: { 200: Page(MovedSeries) } } }, async ({ query }) =>
    tracking.series(page(query, 50_000), query.runs?.split(",")),
  );
  app.post(`${base}/series`, { ...write, schema: { tags, body: batch(MovedSeries), response: { 200: Done } } }, async ({ body }) => {
    const points = body.items.reduce((sum, { step }) => sum + step.length, 0);
    if (points > transferLimits.points) throw invalid(`${points} points are too many for one batch: send at most ${transferLimits.points}.`);
    await taken(() => tracking.takeSeries(body.items));
    return {};
  });
  app.get(`${base}/logged-models`, { ...read, schema: { tags, querystring: Query, response: { 200: Page(MovedLoggedModel) } } }, async ({ query }) =>
    tracking.loggedModels(page(query, 500)),
  );
  app.post(`${base}/logged-models`, { ...write, schema: { tags, body: batch(MovedLoggedModel), response: { 200: Done } } }, async ({ body }) => {
    await taken(() => tracking.takeLoggedModels(body.items));
    return {};
  });
  const ArtifactQuery = Type.Object({ ...Query.properties, folder: Type.Optional(Type.String({ maxLength: 1_000 })) });
  app.get(`${base}/artifacts`, { ...read, schema: { tags, querystring: ArtifactQuery, response: { 200: Page(MovedFile) } } }, async ({ query }) =>
    tracking.artifacts(query.folder ?? "", page(query, 10_000)),
  );

  // Files of versions, by their digests: what the server has needs not be sent.
  const DigestText = Type.String({ pattern: "^sha256:[0-9a-f]{64}$" });
  app.post(`${base}/objects/missing`, { ...write, schema: { tags, body: batch(DigestText), response: { 200: items(DigestText) } } }, async ({ body }) => {
    const absent: string[] = [];
    for (const digest of body.items) if ((await objects.renew(digest as Digest)) === undefined) absent.push(digest);
    return { items: absent };
  });
  void app.register(async (plain) => {
    const raw = plain as Http;
    raw.removeAllContentTypeParsers();
    raw.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    const schema = { tags, params: Type.Object({ digest: DigestText }), response: { 200: Done } };
    raw.put(`${base}/objects/:digest`, { ...write, bodyLimit: Number.MAX_SAFE_INTEGER, schema }, async (request) => {
      const body = request.body as typeof request.raw | undefined | null;
      await objects.put(body ?? request.raw, { expect: request.params.digest as Digest, maxBytes: largestObject });
      return {};
    });
    raw.get(`${base}/objects/:digest`, { ...read, schema: { tags, params: schema.params } }, async (request, reply) => {
      const digest = request.params.digest as Digest;
      const found = await objects.stat(digest);
      if (found === undefined) throw notFound("object", digest);
      // Bytes of clients are never shown as a page of this origin.
      void reply.header("content-length", found.size).header("x-content-type-options", "nosniff").header("content-disposition", "attachment");
      return reply.type("application/octet-stream").send(await objects.read(digest));
    });
  });

  app.get(`${base}/models`, { ...read, schema: { tags, querystring: Query, response: { 200: Page(MovedModel) } } }, async ({ query }) =>
    registry.models(page(query, 1_000)),
  );
  app.post(`${base}/models`, { ...write, schema: { tags, body: batch(MovedModel), response: { 200: items(ModelPlace) } } }, async ({ body }) => ({
    items: await taken(() => registry.takeModels(body.items)),
  }));
  app.get(`${base}/versions`, { ...read, schema: { tags, querystring: Query, response: { 200: Page(MovedVersion) } } }, async ({ query }) =>
    registry.versions(page(query, 500)),
  );
  const Taken = items(Type.Object({ files: Type.Integer() }));
  app.post(`${base}/versions`, { ...write, schema: { tags, body: batch(MovedVersion), response: { 200: Taken } } }, async ({ body }) => ({
    items: (await taken(() => registry.takeVersions(body.items))).map((files) => ({ files })),
  }));
  app.get(`${base}/aliases`, { ...read, schema: { tags, querystring: Query, response: { 200: Page(MovedAlias) } } }, async ({ query }) =>
    registry.aliases(page(query, 1_000)),
  );
  app.post(`${base}/aliases`, { ...write, schema: { tags, body: batch(MovedAlias), response: { 200: Done } } }, async ({ body }) => {
    await taken(() => registry.takeAliases(body.items));
    return {};
  });
}

/** PostgreSQL keeps no zero characters in texts: who sends one is told so. */
async function taken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "22021" || code === "22P05") throw invalid("A text of the batch has zero characters, which can't be kept.");
    throw error;
  }
}
