import { createHash } from "node:crypto";
import type { Anomaly, DatasetVersionDetail, ValidationReport } from "@millrace/sdk/api";
import type { DatasetSpec, SchemaSpec } from "@millrace/sdk/spec";
import { type Digest, identifier, literal, type Platform, parquet, type StoredObject } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { columnType, type Validation, withoutPlaces } from "../validation/index.js";
import * as store from "./store.js";
import { tableDigest } from "./table.js";
import { createTables } from "./tables.js";

type Parts = Pick<Platform, "db" | "objects" | "duckdb" | "events" | "clock">;
export interface IngestParts {
  platform: Parts;
  projects: Projects;
  validation: Pick<Validation, "validate">;
}
/** A file whose bytes are in the store already. */
export interface Arrival {
  dataset: DatasetSpec;
  file: string;
  content: StoredObject;
}
interface Described {
  rows: number;
  columns: { name: string; type: string }[];
  from: Date | null;
  to: Date | null;
}

/** The rules that an arrival must pass, and a digest of them. */
export async function rulesOf(projects: Projects, dataset: DatasetSpec): Promise<{ schema: SchemaSpec | undefined; rules: string }> {
  const schema = dataset.schema === undefined ? undefined : (await projects.require("schema", dataset.schema)).spec;
  const text = JSON.stringify([dataset.mode, dataset.timestamp ?? null, schema === undefined ? null : withoutPlaces(schema)]);
  return { schema, rules: createHash("sha256").update(text).digest("hex") };
}

/**
 * Makes an arrival a version: accepted, or quarantined with the report that says why. The same content makes no second version, so that
 * an arrival can be repeated when it was interrupted, and two processes can take the same one.
 */
export async function ingest(parts: IngestParts, arrival: Arrival): Promise<{ version: DatasetVersionDetail; made: boolean }> {
  const { platform, projects, validation } = parts;
  const { dataset, file, content } = arrival;
  const { schema, rules } = await rulesOf(projects, dataset);
  const known = await findKnown(platform.db, arrival, rules);
  if (known !== undefined) return { version: await detailOf(platform.db, known), made: false };

  const place = await platform.objects.localPath(content.digest);
  const described = await describe(platform, place, dataset);
  let report: ValidationReport | null = null;
  if (typeof described === "string") {
    report = {
      schema: dataset.schema ?? "",
      passed: false,
      rows: 0,
      anomalies: [refusal("file", `${file} can't be read as Parquet: ${described}`, schema)],
      statistics: [],
    };
  } else if (schema !== undefined) {
    const around = createTables(platform).around({ dataset: dataset.name });
    report = await validation.validate(schema, [place], { around, digest: tableDigest([content.digest]) });
  }

  const { version, made } = await platform.db.transaction().execute(async (transaction) => {
    await store.lockDataset(transaction, dataset.name);
    const meanwhile = await findKnown(transaction, arrival, rules);
    if (meanwhile !== undefined) return { version: meanwhile, made: false };
    const latest = await store.findVersion(transaction, dataset.name, "latest");
    const before = latest === undefined || dataset.mode === "snapshot" ? [] : await store.partsOf(transaction, latest);
    const own = typeof described === "string" ? [] : await misfits(platform, arrival, described, before);
    if (own.length > 0) {
      const rest = report ?? { schema: "", rows: typeof described === "string" ? 0 : described.rows, anomalies: [], statistics: [] };
      report = { ...rest, passed: false, anomalies: [...own.map((message) => refusal(message.kind, message.text, schema)), ...rest.anomalies] };
    }
    const accepted = typeof described !== "string" && (report === null || report.passed);
    const { rows, from, to } = typeof described === "string" ? { rows: 0, from: null, to: null } : described;
    const whole = accepted ? before : [];
    const row: store.VersionRow = {
      dataset: dataset.name,
      version: await store.nextVersion(transaction, dataset.name),
      status: accepted ? "accepted" : "quarantined",
      mode: dataset.mode,
      digest: tableDigest([...whole.map((part) => part.part_digest), content.digest]),
      rows: whole.reduce((sum, part) => sum + part.part_rows, rows),
      bytes: whole.reduce((sum, part) => sum + part.part_bytes, content.size),
      part_digest: content.digest,
      part_rows: rows,
      part_bytes: content.size,
      file,
      part_from: from,
      part_to: to,
      rules,
      anomalies: report?.anomalies.length ?? 0,
      created_at: platform.clock.now(),
    };
    await store.insertVersion(transaction, row, report);
    if (accepted) await platform.events.append(transaction, "dataset.version_accepted", dataset.name, { version: row.version, file, rows });
    else await platform.events.append(transaction, "dataset.version_quarantined", dataset.name, { version: row.version, file, anomalies: row.anomalies });
    return { version: row, made: true };
  });
  return { version: await detailOf(platform.db, version), made };
}

/** The version that has the arrival's content already. */
async function findKnown(db: Platform["db"], { dataset, file, content }: Arrival, rules: string): Promise<store.VersionRow | undefined> {
  const latest = await store.findVersion(db, dataset.name, "latest");
  if (latest !== undefined) {
    // An older snapshot that comes again is news: the table goes back to it.
    const current = dataset.mode === "snapshot" ? [latest] : await store.partsOf(db, latest);
    const same = current.find((part) => part.part_digest === content.digest);
    if (same !== undefined) return same;
  }
  return store.findRefused(db, dataset.name, file, content.digest, rules);
}

export async function detailOf(db: Platform["db"], row: store.VersionRow): Promise<DatasetVersionDetail> {
  const [parts, report] = await Promise.all([store.partsOf(db, row), store.reportOf(db, row.dataset, row.version)]);
  return { ...store.versionOf(row), parts: parts.map(store.partOf), report };
}

const refusal = (kind: string, message: string, schema: SchemaSpec | undefined): Anomaly => ({
  kind,
  severity: "block",
  column: null,
  message,
  count: null,
  share: null,
  examples: [],
  rule: schema?.definedAt ?? null,
});

/** What makes an arrival not fit the versions before it, whatever its schema says. */
async function misfits(
  platform: Parts,
  { dataset, file }: Arrival,
  described: Described,
  before: store.VersionRow[],
): Promise<{ kind: string; text: string }[]> {
  const found: { kind: string; text: string }[] = [];
  const named = before.find((part) => part.file === file);
  if (named !== undefined) {
    const text = `${file} was accepted before with other content, as version ${named.version}, and its rows would count twice. Send only what is new, under a name of its own.`;
    found.push({ kind: "file", text });
  }
  if (dataset.timestamp !== undefined) {
    const column = described.columns.find((one) => one.name === dataset.timestamp);
    const type = column === undefined ? undefined : columnType(column.type);
    if (column === undefined) found.push({ kind: "missing_column", text: `The column "${dataset.timestamp}", the dataset's timestamp, is missing.` });
    else if (type !== "timestamp" && type !== "date") {
      found.push({ kind: "wrong_type", text: `The dataset's timestamp "${dataset.timestamp}" is ${column.type.toLowerCase()}; timestamp is expected.` });
    }
  }
  const newest = before.at(-1);
  if (newest === undefined) return found;
  const earlier = await describe(platform, await platform.objects.localPath(newest.part_digest as Digest), { ...dataset, timestamp: undefined });
  if (typeof earlier === "string") return found;
  for (const column of described.columns) {
    const old = earlier.columns.find((one) => one.name === column.name);
    if (old === undefined) continue;
    const [now, then] = [columnType(column.type), columnType(old.type)];
    const numbers = [now, then].every((type) => type === "int64" || type === "float64");
    if (now !== then && !numbers) {
      const text = `The column "${column.name}" is ${column.type.toLowerCase()}, and ${old.type.toLowerCase()} in the dataset so far.`;
      found.push({ kind: "wrong_type", text });
    }
  }
  return found;
}

/** What a Parquet file holds; text that says why, where it is none. */
async function describe(platform: Pick<Parts, "duckdb">, place: string, { timestamp }: { timestamp?: string | undefined }): Promise<Described | string> {
  try {
    return await platform.duckdb.use(async (connection) => {
      const source = parquet([place]);
      const columns = await platform.duckdb.rows<{ name: string; type: string }>(
        `select column_name as name, column_type as type from (describe select * from ${source})`,
        connection,
      );
      const type = columnType(columns.find((column) => column.name === timestamp)?.type ?? "");
      const time = timestamp === undefined || (type !== "timestamp" && type !== "date") ? undefined : `${identifier(timestamp)}::timestamptz`;
      const range = time === undefined ? "" : `, epoch_ms(min(${time}))::double as first, epoch_ms(max(${time}))::double as last`;
      const [row] = await platform.duckdb.rows<{ n: number; first?: number | null; last?: number | null }>(
        `select count(*) as n${range} from ${source}`,
        connection,
      );
      const date = (value: number | null | undefined) => (value === null || value === undefined ? null : new Date(value));
      return { rows: row?.n ?? 0, columns, from: date(row?.first), to: date(row?.last) };
    });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return (said.split("\n")[0] ?? "").replaceAll(literal(place), "the file").replaceAll(place, "it");
  }
}
