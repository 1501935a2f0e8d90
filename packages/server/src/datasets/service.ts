import type { Readable } from "node:stream";
import type { Dataset, DatasetVersion, DatasetVersionDetail } from "@millrace/sdk/api";
import { ApiError, type Digest, notFound, type Platform } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import type { Validation } from "../validation/index.js";
import { detailOf, ingest } from "./ingest.js";
import { withDecisions } from "./quarantine.js";
import { readDatasetStep, splitByTimeStep } from "./steps.js";
import * as store from "./store.js";
import type { Datasets } from "./types.js";
import { lookIntoFolders } from "./watch.js";

const gigabyte = 1024 ** 3;
export const largestFile = 4 * gigabyte;

/** What the routes use beside what other capabilities may. */
export interface DatasetsService extends Datasets {
  list(): Promise<Dataset[]>;
  get(name: string): Promise<Dataset>;
  versions(
    name: string,
    query: { status?: string | undefined; after?: string | undefined; limit: number },
  ): Promise<{ items: DatasetVersion[]; next?: string }>;
  /** Makes the bytes of a Parquet file a version. Throws a 422 with the report where they are refused. */
  put(name: string, file: string, body: Readable | Buffer): Promise<DatasetVersion>;
}

export function createDatasets(platform: Platform, { projects, validation }: { projects: Projects; validation: Validation }): DatasetsService {
  const { db, objects, clock } = platform;
  const parts = { platform, projects, validation };

  async function latest(name: string): Promise<DatasetVersionDetail | undefined> {
    const row = await store.findVersion(db, name, "latest");
    return row === undefined ? undefined : detailOf(db, row);
  }
  async function describe({ spec, project }: Definition<"dataset">, counts: Awaited<ReturnType<typeof store.countVersions>>): Promise<Dataset> {
    const row = await store.findVersion(db, spec.name, "latest");
    return {
      name: spec.name,
      project,
      description: spec.description ?? null,
      mode: spec.mode,
      schema: spec.schema ?? null,
      latest: row === undefined ? null : store.versionOf(row),
      versions: counts.get(spec.name)?.accepted ?? 0,
      quarantined: counts.get(spec.name)?.quarantined ?? 0,
    };
  }

  clock.onTick("datasets", () => lookIntoFolders(parts, largestFile));
  return {
    stepKinds: { read_dataset: readDatasetStep(latest), split_by_time: splitByTimeStep(platform) },
    latest,
    async version(name, version) {
      const row = await store.findVersion(db, name, version);
      if (row === undefined) throw notFound("dataset version", `${name}/${version}`);
      const detail = await detailOf(db, row);
      const [decided] = await withDecisions(db, [detail]);
      return decided ?? detail;
    },
    partFiles: async (version) =>
      Promise.all(version.parts.map(async ({ digest, bytes }) => ({ digest, path: await objects.localPath(digest as Digest), size: bytes }))),
    async list() {
      const counts = await store.countVersions(db);
      return Promise.all((await projects.list("dataset")).map((definition) => describe(definition, counts)));
    },
    get: async (name) => describe(await projects.require("dataset", name), await store.countVersions(db)),
    async versions(name, { status, after, limit }) {
      await projects.require("dataset", name);
      const rows = await store.listVersions(db, name, { status, before: after === undefined ? undefined : Number(after), limit: limit + 1 });
      const items = await withDecisions(db, rows.slice(0, limit).map(store.versionOf));
      const last = items.at(-1);
      return rows.length > limit && last !== undefined ? { items, next: String(last.version) } : { items };
    },
    async put(name, file, body) {
      const dataset = (await projects.require("dataset", name)).spec;
      const content = await objects.put(body, { maxBytes: largestFile });
      const start = await objects.read(content.digest, { start: 0, end: 3 });
      const magic = Buffer.concat(await start.toArray()).toString("latin1");
      if (magic !== "PAR1") throw new ApiError(422, "NOT_PARQUET", `The body is no Parquet file: those begin with PAR1. Nothing was ingested.`);
      const { version } = await ingest(parts, { dataset, file, content });
      if (version.status === "accepted") return version;
      const reasons = (version.report?.anomalies ?? []).filter((anomaly) => anomaly.severity === "block").map((anomaly) => anomaly.message);
      throw new ApiError(422, "REFUSED", `${file} was refused, and is kept as version ${version.version}: ${reasons.join(" ")}`, {
        version: version.version,
        report: version.report,
      });
    },
  };
}
