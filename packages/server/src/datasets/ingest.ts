import { createHash } from "node:crypto";
import type { Anomaly, DatasetOrigin, DatasetVersion, DatasetVersionDetail, TableColumn, ValidationReport } from "@millrace/sdk/api";
import type { DatasetSpec, FormatSpec, SchemaSpec } from "@millrace/sdk/spec";
import type { Transaction } from "kysely";
import { type Digest, identifier, type Platform, parquet } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { columnType, type Validation, withoutPlaces } from "../validation/index.js";
import { columnsOf, knownTypes } from "./columns.js";
import { describe, toParquet } from "./formats/convert.js";
import { ContentError } from "./formats/types.js";
import { misfits, type Prepared } from "./misfits.js";
import { divide } from "./partitions.js";
import * as store from "./store.js";
import { tableDigest } from "./table.js";
import { createTables } from "./tables.js";
import { openWork } from "./work.js";

type Parts = Pick<Platform, "config" | "db" | "objects" | "duckdb" | "events" | "clock">;
export interface IngestParts {
  platform: Parts;
  projects: Projects;
  validation: Pick<Validation, "validate">;
}
/** What is to become one version. Its bytes are in the store already. */
export interface Arrival {
  dataset: DatasetSpec;
  /** What it is called: a file's name, an address, a run's step. */
  name: string;
  files: { name: string; digest: Digest; size: number }[];
  /** Equal sources come in once. Default the digest of the files' contents. */
  source?: string;
  origin: DatasetOrigin;
  format?: FormatSpec | undefined;
  mode?: "append" | "snapshot" | undefined;
  /** Types of columns that are known from where they come, as DuckDB names them. */
  types?: { name: string; type: string }[];
  /** Names may come again with other content. */
  nameless?: boolean;
  /** What is to be true together with the version, in its transaction. Where it throws, there is no version. */
  settle?: (transaction: Transaction<unknown>, version: number) => Promise<void>;
  /** Whether a refusal is kept in quarantine, as it is unless said otherwise. Where it is not, a NotKept is thrown. */
  keepRefused?: boolean;
}
/** An arrival was refused, and whoever brought it did not want that kept. */
export class NotKept extends Error {}

type Known = Arrival & { source: string; mode: "append" | "snapshot" };

/** The rules that an arrival must pass, and a digest of them. */
export async function rulesOf(projects: Projects, dataset: DatasetSpec): Promise<{ schema: SchemaSpec | undefined; rules: string }> {
  const schema = dataset.schema === undefined ? undefined : (await projects.require("schema", dataset.schema)).spec;
  const { mode, timestamp = null, format = null, zone = null, key = null, partition = null } = dataset;
  const text = JSON.stringify([mode, timestamp, schema === undefined ? null : withoutPlaces(schema), { format, zone, key, partition }]);
  return { schema, rules: createHash("sha256").update(text).digest("hex") };
}

/**
 * Makes an arrival a version: accepted, or quarantined with the report that says why. The same content makes no second version, so that
 * an arrival can be repeated when it was interrupted, and two processes can take the same one.
 */
export async function ingest(parts: IngestParts, given: Arrival): Promise<{ version: DatasetVersionDetail; made: boolean }> {
  const { platform, projects, validation } = parts;
  const { db } = platform;
  const { dataset, name } = given;
  const [first] = given.files;
  const content = given.files.length === 1 && first !== undefined ? first.digest : tableDigest(given.files.map((file) => file.digest));
  const arrival: Known = { ...given, source: given.source ?? content, mode: given.mode ?? dataset.mode };
  const { schema, rules } = await rulesOf(projects, dataset);
  const known = await findKnown(db, arrival, rules);
  if (known !== undefined) return { version: await detailOf(platform, known), made: false };

  const work = await openWork(platform.config);
  try {
    const prepared = await prepare(platform, arrival, schema, work.folder);
    let report: ValidationReport | null = null;
    if ("problem" in prepared) {
      report = { schema: dataset.schema ?? "", passed: false, rows: 0, anomalies: [refusal("file", prepared.problem, schema)], statistics: [] };
    } else if (schema !== undefined) {
      const around = createTables(platform).around({ dataset: dataset.name });
      report = await validation.validate(schema, prepared.paths, { around, digest: tableDigest(prepared.parts.map((part) => part.digest)) });
    }
    const { version, made } = await db.transaction().execute(async (transaction) => {
      await store.lockDataset(transaction, dataset.name);
      const meanwhile = await findKnown(transaction, arrival, rules);
      if (meanwhile !== undefined) return { version: meanwhile, made: false };
      const latest = await store.findVersion(transaction, dataset.name, "latest");
      const before = latest === undefined || arrival.mode === "snapshot" ? undefined : latest;
      const earlier = before === undefined ? [] : await store.partsOf(transaction, before);
      let columns: TableColumn[] | null = null;
      if (!("problem" in prepared)) {
        const named = before === undefined || arrival.nameless === true ? undefined : await store.findArrival(transaction, before, { file: name });
        const own = await misfits(platform, { dataset, name, named, earlier, before, ...prepared });
        columns = own.columns;
        if (own.found.length > 0) {
          const rest = report ?? { schema: "", rows: prepared.rows, anomalies: [], statistics: [] };
          report = { ...rest, passed: false, anomalies: [...own.found.map((one) => refusal(one.kind, one.text, schema, one)), ...rest.anomalies] };
        }
      }
      const accepted = report === null || report.passed;
      const whole = accepted ? earlier : [];
      const added = "problem" in prepared ? arrival.files.map((file) => emptyPart(file)) : prepared.parts;
      // Objects may lie there since long: whoever will refer to them says so first.
      for (const part of added) await platform.objects.renew(part.digest as Digest);
      const bytes = added.reduce((sum, part) => sum + part.bytes, 0);
      const rows = added.reduce((sum, part) => sum + part.rows, 0);
      const times = (of: (part: (typeof added)[number]) => Date | null) => added.flatMap((part) => of(part)?.getTime() ?? []);
      const [starts, ends] = [times((part) => part.from_at), times((part) => part.to_at)];
      const row: store.VersionRow = {
        dataset: dataset.name,
        version: await store.nextVersion(transaction, dataset.name),
        status: accepted ? "accepted" : "quarantined",
        mode: arrival.mode,
        digest: tableDigest([...whole, ...added].map((part) => part.digest)),
        rows: whole.reduce((sum, part) => sum + part.rows, rows),
        bytes: whole.reduce((sum, part) => sum + part.bytes, bytes),
        added_digest: added.length === 1 ? (added[0]?.digest ?? content) : tableDigest(added.map((part) => part.digest)),
        added_rows: rows,
        added_bytes: bytes,
        file: name,
        added_from: starts.length === 0 ? null : new Date(Math.min(...starts)),
        added_to: ends.length === 0 ? null : new Date(Math.max(...ends)),
        rules,
        anomalies: report?.anomalies.length ?? 0,
        created_at: platform.clock.now(),
        source: arrival.source,
        origin: arrival.origin,
        columns,
      };
      if (!accepted && arrival.keepRefused === false) throw new NotKept();
      await store.insertVersion(transaction, row, added, report);
      await arrival.settle?.(transaction, row.version);
      if (accepted) await platform.events.append(transaction, "dataset.version_accepted", dataset.name, { version: row.version, file: name, rows });
      else
        await platform.events.append(transaction, "dataset.version_quarantined", dataset.name, { version: row.version, file: name, anomalies: row.anomalies });
      return { version: row, made: true };
    });
    return { version: await detailOf(platform, version), made };
  } finally {
    await work.remove();
  }
}

type NewPart = Prepared["parts"][number];
const emptyPart = ({ name, digest, size }: Arrival["files"][number]): NewPart => ({
  ...{ digest, bytes: size, rows: 0, file: name, partition: null, from_at: null, to_at: null },
});
/** Files as Parquet, divided by partitions, in the store; or why they can't be. */
async function prepare(platform: Parts, arrival: Known, schema: SchemaSpec | undefined, folder: string): Promise<Prepared | { problem: string }> {
  const { duckdb, objects } = platform;
  const { dataset } = arrival;
  try {
    const files = await Promise.all(arrival.files.map(async ({ name, digest, size }) => ({ name, size, path: await objects.localPath(digest) })));
    const pinned = new Map((arrival.types ?? []).map(({ name, type }) => [name.toLowerCase(), type]));
    for (const [name, type] of await knownTypes(platform, { dataset, schema, mode: arrival.mode })) pinned.set(name, type);
    const tables = await toParquet(duckdb, files, { format: arrival.format ?? dataset.format, zone: dataset.zone, pinned, folder });
    const parts: NewPart[] = [];
    for (const table of tables) {
      for (const piece of await divide(duckdb, table, dataset, folder)) {
        const { rows, from, to } = await measure(duckdb, piece.path, piece.columns, dataset.timestamp);
        const original = piece.asItCame ? arrival.files[files.findIndex((file) => file.path === piece.path)] : undefined;
        const { digest, size } = original ?? (await objects.putFile(piece.path));
        parts.push({ digest, bytes: size, rows, file: piece.name, partition: piece.partition, from_at: from, to_at: to });
      }
    }
    const paths = await Promise.all(parts.map((part) => objects.localPath(part.digest as Digest)));
    const columns = await duckdb.use((connection) => describe({ duckdb, connection }, ...paths));
    return { parts, paths, columns, rows: parts.reduce((sum, part) => sum + part.rows, 0) };
  } catch (error) {
    if (error instanceof ContentError) return { problem: error.message };
    throw error;
  }
}

async function measure(duckdb: Platform["duckdb"], place: string, columns: TableColumn[], timestamp: string | undefined) {
  const type = columnType(columns.find((column) => column.name === timestamp)?.type ?? "");
  const time = timestamp === undefined || (type !== "timestamp" && type !== "date") ? undefined : `${identifier(timestamp)}::timestamptz`;
  const range = time === undefined ? "" : `, epoch_ms(min(${time}))::double as first, epoch_ms(max(${time}))::double as last`;
  const [row] = await duckdb.rows<{ n: number; first?: number | null; last?: number | null }>(`select count(*) as n${range} from ${parquet([place])}`);
  const date = (value: number | null | undefined) => (value === null || value === undefined ? null : new Date(value));
  return { rows: row?.n ?? 0, from: date(row?.first), to: date(row?.last) };
}

/** The version that has the arrival's content already. */
async function findKnown(db: Platform["db"], { dataset, name, source, mode }: Known, rules: string): Promise<store.VersionRow | undefined> {
  const latest = await store.findVersion(db, dataset.name, "latest");
  if (latest !== undefined) {
    // An older snapshot that comes again is news: the table goes back to it.
    const same =
      mode === "snapshot" ? (latest.mode === "snapshot" && latest.source === source ? latest : undefined) : await store.findArrival(db, latest, { source });
    if (same !== undefined) return same;
  }
  return store.findRefused(db, dataset.name, name, source, rules);
}

export async function detailOf(platform: Pick<Platform, "db" | "objects" | "duckdb">, row: store.VersionRow): Promise<DatasetVersionDetail> {
  const { db } = platform;
  const [parts, report, columns] = await Promise.all([store.partsOf(db, row), store.reportOf(db, row.dataset, row.version), columnsOf(platform, row)]);
  return { ...store.versionOf(row), parts: parts.map(store.partOf), report, columns };
}

/** A version without what only its own page shows. */
export const withoutDetail = ({ parts: _parts, report: _report, columns: _columns, ...version }: DatasetVersionDetail): DatasetVersion => version;

const refusal = (kind: string, message: string, schema: SchemaSpec | undefined, more: Partial<Anomaly> = {}): Anomaly => ({
  ...{ kind, severity: "block" as const, column: more.column ?? null, message, count: more.count ?? null, share: null },
  ...{ examples: more.examples ?? [], rule: schema?.definedAt ?? null },
});
