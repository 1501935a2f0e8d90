/** Another Millrace as a source: what it answers is what it takes. */
import type { MovedAlias, MovedFile, MovedLoggedModel, MovedModel, MovedRun, MovedSeries, MovedVersion, TransferCounts } from "@millrace/sdk/api";
import { batches } from "./flow.js";
import type { FileFinder, Source, SourceExperiment } from "./source.js";
import type { Web } from "./web.js";

export const transferApi = "/api/v1/transfer";
/** So many that an address has room for their ids. */
const runsAtOnce = 200;

export async function isMillrace(web: Web): Promise<boolean> {
  const answer = await web.find(transferApi).catch(() => undefined);
  return answer?.includes('"loggedModels"') === true;
}

/** All pages of a list, each with where the next one begins. */
export async function* listed<T>(
  web: Web,
  what: string,
  query: Readonly<Record<string, string>> = {},
  after?: string,
): AsyncIterable<{ items: T[]; next: string | undefined }> {
  for (let from = after; ; ) {
    const answer = await web.get(`${transferApi}/${what}`, { ...query, after: from });
    // The server validates what it answers against the types it is written with.
    const { items, next } = answer.value as { items: T[]; next?: string };
    yield { items, next };
    if (next === undefined) return;
    from = next;
  }
}

export const countsOf = async (web: Web): Promise<TransferCounts> => (await web.get(transferApi)).value as TransferCounts;

export async function millraceSource(web: Web): Promise<Source> {
  const roots = new Map<string, string>();
  for await (const { items } of listed<SourceExperiment>(web, "experiments")) for (const one of items) roots.set(one.id, one.artifactLocation);
  const files =
    (below: string): FileFinder =>
    async () => {
      const folder = below.replace(/^mlflow-artifacts:\/+/, "");
      const found: MovedFile[] = [];
      for await (const { items } of listed<MovedFile>(web, "artifacts", { folder })) found.push(...items);
      return found.map(({ path, size, digest }) => ({ path: path.slice(folder.length + 1), size, digest, open: () => openObject(digest) }));
    };
  const openObject = (digest: string) => web.file(`${transferApi}/objects/${digest}`);
  async function* items<T>(what: string, query?: Readonly<Record<string, string>>): AsyncIterable<T[]> {
    for await (const page of listed<T>(web, what, query)) if (page.items.length > 0) yield page.items;
  }

  return {
    title: `Millrace at ${web.url}`,
    async counts() {
      const { experiments, runs, metrics, loggedModels, models, versions } = await countsOf(web);
      return { experiments, runs, points: metrics, loggedModels, models, versions };
    },
    leftOut: async () => [],
    experiments: () => items<SourceExperiment>("experiments"),
    async *runs() {
      for await (const page of items<MovedRun & { points: number }>("runs", { limit: String(runsAtOnce) })) {
        yield page.map((run) => {
          const artifactUri = `${roots.get(run.experiment) ?? ""}/${run.id}/artifacts`;
          return { ...run, points: String(run.points), artifactUri, files: files(artifactUri) };
        });
      }
    },
    async *series(runs) {
      for (const some of batches(
        runs.filter((run) => run.points !== "0"),
        runsAtOnce,
        Number.POSITIVE_INFINITY,
      )) {
        for await (const page of items<MovedSeries>("series", { runs: some.map(({ id }) => id).join(",") }))
          yield* batches(page, 1_000, Number.POSITIVE_INFINITY);
      }
    },
    async *loggedModels() {
      for await (const page of items<MovedLoggedModel>("logged-models")) {
        yield page.map((model) => {
          const artifactUri = `${roots.get(model.experiment) ?? ""}/models/${model.id}/artifacts`;
          return { ...model, artifactUri, files: files(artifactUri) };
        });
      }
    },
    models: () => items<MovedModel>("models"),
    versions: () => items<MovedVersion>("versions"),
    aliases: () => items<MovedAlias>("aliases"),
    openObject,
    close: async () => {},
  };
}
