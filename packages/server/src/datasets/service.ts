import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import type {
  Dataset,
  DatasetComing,
  DatasetDiff,
  DatasetOrigin,
  DatasetPartition,
  DatasetVersion,
  DatasetVersionDetail,
  IngestionStart,
  RowsReceipt,
  SplitAnswer,
  SplitStart,
} from "@millrace/sdk/api";
import { ApiError, conflict, type Digest, invalid, limit, notFound, type Platform, type StoredObject } from "../platform/index.js";
import type { Definition, Projects } from "../projects/index.js";
import type { Validation } from "../validation/index.js";
import { createComing } from "./coming.js";
import { compareVersions } from "./diff.js";
import { guessFormat } from "./formats/types.js";
import { type Arrival, detailOf, ingest, withoutDetail } from "./ingest.js";
import { partitionsOf } from "./partitions.js";
import { createPushes, type SentRows } from "./push.js";
import { withDecisions } from "./quarantine.js";
import { type ReadFormat, readRows } from "./read.js";
import { fetchQuery } from "./sources/postgres.js";
import { fetchS3, listS3 } from "./sources/s3.js";
import { splitRows } from "./splits.js";
import { partitionsStep, readDatasetStep, splitByTimeStep, splitStep, writeDatasetStep } from "./steps.js";
import * as store from "./store.js";
import type { Datasets, TakeOnline } from "./types.js";
import { glob, lookIntoFolders } from "./watch.js";
import { clearWork } from "./work.js";

const gigabyte = 1024 ** 3;
export const largestFile = 64 * gigabyte;

/** What the routes use beside what other capabilities may. */
export interface DatasetsService extends Datasets {
  list(): Promise<Dataset[]>;
  get(name: string): Promise<Dataset>;
  /** What is still to come from where it watches. */
  coming(name: string): Promise<DatasetComing>;
  versions(
    name: string,
    query: { status?: string | undefined; after?: string | undefined; limit: number },
  ): Promise<{ items: DatasetVersion[]; next?: string }>;
  /** The newest version that was accepted by a moment. */
  asOf(name: string, at: Date): Promise<DatasetVersionDetail>;
  partitions(name: string, version: number): Promise<DatasetPartition[]>;
  /** Makes the bytes of a file a version. Throws a 422 with the report where they are refused. */
  put(name: string, file: string, body: Readable | Buffer, by?: string): Promise<DatasetVersion>;
  /** Keeps bytes for an ingestion that names them. */
  upload(name: string, body: Readable | Buffer): Promise<StoredObject>;
  /** Makes what lies elsewhere one version, wholly or not at all. Throws a 422 with the report where it is refused. */
  ingest(name: string, from: IngestionStart, by: string): Promise<DatasetVersion>;
  push(name: string, rows: SentRows): Promise<RowsReceipt>;
  /** Makes what was pushed a version now. Undefined where nothing waits. */
  flush(name: string): Promise<DatasetVersion | undefined>;
  read(version: DatasetVersionDetail, of: { format: ReadFormat; partition: string | undefined }): Promise<Readable>;
  /** The bytes of one part, as Parquet. */
  part(version: DatasetVersionDetail, digest: string): Promise<{ stream: Readable; size: number }>;
  diff(name: string, from: number, to: number, statistics: boolean): Promise<DatasetDiff>;
  split(version: DatasetVersionDetail, by: SplitStart): Promise<SplitAnswer>;
}

export function createDatasets(platform: Platform, { projects, validation }: { projects: Projects; validation: Validation }): DatasetsService {
  const { db, objects, clock, log } = platform;
  const parts = { platform, projects, validation };

  async function latest(name: string): Promise<DatasetVersionDetail | undefined> {
    const row = await store.findVersion(db, name, "latest");
    return row === undefined ? undefined : detailOf(platform, row);
  }
  async function describe({ spec, project }: Definition<"dataset">, counts: Awaited<ReturnType<typeof store.countVersions>>): Promise<Dataset> {
    const row = await store.findVersion(db, spec.name, "latest");
    const nodes = (await projects.list("pipeline")).flatMap(({ spec: pipeline }) => pipeline.nodes.map((node) => ({ pipeline: pipeline.name, node })));
    const using = (kind: string) => [
      ...new Set(
        nodes.flatMap(({ pipeline, node }) => (node.kind === kind && "dataset" in node.config && node.config.dataset === spec.name ? [pipeline] : [])),
      ),
    ];
    const views = (await projects.list("feature_view")).filter(({ spec: view }) => view.source.dataset === spec.name);
    return {
      name: spec.name,
      project,
      description: spec.description ?? null,
      mode: spec.mode,
      schema: spec.schema ?? null,
      timestamp: spec.timestamp ?? null,
      zone: spec.zone ?? null,
      key: spec.key ?? [],
      partition: spec.partition ?? null,
      watch: spec.watch ?? null,
      latest: row === undefined ? null : store.versionOf(row),
      versions: counts.get(spec.name)?.accepted ?? 0,
      quarantined: counts.get(spec.name)?.quarantined ?? 0,
      pendingRows: await pushes.pendingRows(spec.name),
      readers: [
        ...using("read_dataset").map((name) => ({ kind: "pipeline" as const, name })),
        ...views.map(({ spec: view }) => ({ kind: "feature_view" as const, name: view.name })),
      ],
      writers: using("write_dataset"),
    };
  }

  const coming = createComing(parts, latest);
  let takeOnline: TakeOnline | undefined;
  const pushes = createPushes(parts, (dataset, rows) => {
    if (takeOnline === undefined) throw invalid("This server keeps no features online.");
    return takeOnline(dataset, rows);
  });
  // Few at a time: each may need all the memory that there is for tables.
  const places = limit(2);
  async function take(arrival: Arrival): Promise<DatasetVersion> {
    const { version } = await places(() => ingest(parts, arrival));
    if (version.status === "accepted") return withoutDetail(version);
    const reasons = (version.report?.anomalies ?? []).filter((anomaly) => anomaly.severity === "block").map((anomaly) => anomaly.message);
    throw new ApiError(422, "REFUSED", `${arrival.name} was refused, and is kept as version ${version.version}: ${reasons.join(" ")}`, {
      version: version.version,
      report: version.report,
    });
  }
  const definition = async (name: string) => (await projects.require("dataset", name)).spec;
  const origin = (kind: DatasetOrigin["kind"], of: string | null, by: string | null): DatasetOrigin => ({ kind, of, by, run: null, step: null });

  // What this process makes meanwhile lives by its own name; nothing waits for this.
  void clearWork(platform.config).catch((error: unknown) => log.warn({ error }, "what killed ingestions left could not be removed"));
  clock.onTick("datasets", async () => {
    await lookIntoFolders(parts, largestFile);
    await pushes.flushDue();
  });
  return {
    stepKinds: {
      read_dataset: readDatasetStep(latest, coming),
      partitions: partitionsStep(platform, latest, coming),
      write_dataset: writeDatasetStep(parts),
      split_by_time: splitByTimeStep(platform),
      split_by_group: splitStep(platform, "split_by_group"),
      split_by_hash: splitStep(platform, "split_by_hash"),
    },
    latest,
    async version(name, version) {
      const row = await store.findVersion(db, name, version);
      if (row === undefined) throw notFound("dataset version", `${name}/${version}`);
      const detail = await detailOf(platform, row);
      const [decided] = await withDecisions(db, [detail]);
      return decided ?? detail;
    },
    async added(name, version) {
      const row = await store.findVersion(db, name, version);
      if (row === undefined) throw notFound("dataset version", `${name}/${version}`);
      return { parts: (await store.addedParts(db, row)).map(store.partOf) };
    },
    partFiles: async (version) =>
      Promise.all(version.parts.map(async ({ digest, bytes }) => ({ digest, path: await objects.localPath(digest as Digest), size: bytes }))),
    async list() {
      const counts = await store.countVersions(db);
      return Promise.all((await projects.list("dataset")).map((definition) => describe(definition, counts)));
    },
    get: async (name) => describe(await projects.require("dataset", name), await store.countVersions(db)),
    coming: coming.of,
    async versions(name, { status, after, limit }) {
      await projects.require("dataset", name);
      const rows = await store.listVersions(db, name, { status, before: after === undefined ? undefined : Number(after), limit: limit + 1 });
      const items = await withDecisions(db, rows.slice(0, limit).map(store.versionOf));
      const last = items.at(-1);
      return rows.length > limit && last !== undefined ? { items, next: String(last.version) } : { items };
    },
    async asOf(name, at) {
      await definition(name);
      const row = await store.findVersionAt(db, name, at);
      if (row === undefined) throw new ApiError(404, "NOT_FOUND", `The dataset "${name}" had no accepted version at ${at.toISOString()}.`);
      return detailOf(platform, row);
    },
    async partitions(name, version) {
      const row = await store.findVersion(db, name, version);
      if (row === undefined) throw notFound("dataset version", `${name}/${version}`);
      return partitionsOf((await store.partsOf(db, row)).map(store.partOf));
    },
    async put(name, file, body, by) {
      const dataset = await definition(name);
      const content = await objects.put(body, { maxBytes: largestFile });
      if ((dataset.format ?? guessFormat(file) ?? { kind: "parquet" }).kind === "parquet") {
        const start = await objects.read(content.digest, { start: 0, end: 3 });
        const magic = Buffer.concat(await start.toArray()).toString("latin1");
        if (magic !== "PAR1") throw new ApiError(422, "NOT_PARQUET", `The body is no Parquet file: those begin with PAR1. Nothing was ingested.`);
      }
      const format = dataset.format ?? (guessFormat(file) === undefined ? { kind: "parquet" as const } : undefined);
      return take({ dataset, name: file, files: [{ name: file, ...content }], format, origin: origin("file", null, by ?? null) });
    },
    async upload(name, body) {
      await definition(name);
      return objects.put(body, { maxBytes: largestFile });
    },
    async ingest(name, { from, format, mode, name: called }, by) {
      const dataset = await definition(name);
      if (from.kind === "files") {
        const files = await Promise.all(
          from.files.map(async ({ name: file, digest }) => {
            const stored = await objects.renew(digest as Digest);
            if (stored === undefined)
              throw invalid(`The bytes of "${file}" (${digest}) were not uploaded. Send them to /api/v1/datasets/${name}/uploads first.`);
            return { name: file, digest: stored.digest, size: stored.size };
          }),
        );
        const only = files.length === 1 ? files[0]?.name : undefined;
        return take({
          dataset,
          name: called ?? only ?? `${files.length} files`,
          files,
          format,
          mode,
          origin: origin("file", called ?? null, by),
          nameless: only === undefined,
        });
      }
      if (from.kind === "s3") {
        const matches = glob(from.pattern ?? "*");
        const listed = (await listS3(platform.config, from.url)).filter((object) => matches.test(object.name.slice(object.name.lastIndexOf("/") + 1)));
        if (listed.length === 0)
          throw invalid(`There are no files at "${from.url}"${from.pattern === undefined ? "" : ` that are called as ${from.pattern}`}.`);
        const files: Arrival["files"] = [];
        for (const object of listed) files.push({ name: object.name, ...(await fetchS3(platform, object)) });
        return take({ dataset, name: called ?? from.url, files, format, mode, origin: origin("s3", from.url, by), nameless: true });
      }
      const { content, columns } = await fetchQuery(platform, from.connection, from.query);
      const file = `${from.connection}.csv`;
      const source = `query:${createHash("sha256")
        .update(JSON.stringify([content.digest, columns]))
        .digest("hex")}`;
      return take({
        ...{
          dataset,
          name: called ?? `query of ${from.connection}`,
          files: [{ name: file, ...content }],
          format: { kind: "csv" },
          mode,
          source,
          types: columns,
        },
        ...{ origin: origin("postgres", from.connection, by), nameless: true },
      });
    },
    onlineBy(take) {
      takeOnline = take;
    },
    push: async (name, rows) => pushes.push(await definition(name), rows),
    flush: async (name) => pushes.flush(await definition(name)),
    async read(version, of) {
      assertReadable(version);
      return readRows(platform, version, of);
    },
    async part(version, digest) {
      const part = version.parts.find((one) => one.digest === digest);
      if (part === undefined) throw notFound(`part of ${version.dataset}/${version.version}`, digest);
      return { stream: await objects.read(part.digest as Digest), size: part.bytes };
    },
    async diff(name, from, to, statistics) {
      const { key } = await definition(name);
      const [before, after] = await Promise.all([this.version(name, from), this.version(name, to)]);
      for (const version of [before, after]) assertReadable(version);
      return compareVersions(
        { duckdb: platform.duckdb, files: this.partFiles, statistics: statistics ? validation.statistics : undefined },
        { name, key, before, after },
      );
    },
    async split(version, by) {
      assertReadable(version);
      const dataset = await definition(version.dataset);
      const files = (await this.partFiles(version)).map((part) => part.path);
      return places(() => splitRows(platform, files, by.by === "time" ? { timestamp: dataset.timestamp, ...by } : by));
    },
  };
}

/** A refused file may be no table at all. */
function assertReadable({ dataset, version, status, columns, report }: DatasetVersionDetail): void {
  if (status === "accepted" || columns.length > 0) return;
  throw conflict(`Version ${version} of "${dataset}" is in quarantine and can't be read: ${report?.anomalies[0]?.message ?? "it is no table."}`);
}
