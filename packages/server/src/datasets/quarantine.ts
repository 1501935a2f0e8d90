/** What people decide about versions that validation refused. */
import type { DatasetVersion, QuarantineDecision } from "@millrace/sdk/api";
import { type Kysely, sql } from "kysely";
import { conflict, notFound, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import * as store from "./store.js";
import { tableDigest } from "./table.js";

type Db = Kysely<unknown>;

export interface Quarantine {
  /** Refused versions, the newest first; those that nobody decided about yet, unless `decided`. */
  list(of: { dataset?: string | undefined; decided: boolean; limit: number; after?: string | undefined }): Promise<{ items: DatasetVersion[]; next?: string }>;
  /**
   * Makes a new version of a refused arrival: versions that were accepted meanwhile stay what they are. Accepting again answers the same. Throws a 409
   * where it was rejected, is no refused version, or can't be read.
   */
  accept(dataset: string, version: number, reason: string, by: string): Promise<DatasetVersion>;
  /** It stays where it is, and no longer waits for anybody. */
  reject(dataset: string, version: number, reason: string, by: string): Promise<DatasetVersion>;
}

interface DecisionRow {
  dataset: string;
  version: number;
  decision: "accepted" | "rejected";
  reason: string;
  decided_by: string;
  decided_at: Date;
  accepted_as: number | null;
}
const decisionOf = (row: DecisionRow): QuarantineDecision => ({
  ...{ decision: row.decision, version: row.version, acceptedAs: row.accepted_as, reason: row.reason, by: row.decided_by, at: row.decided_at.toISOString() },
});

/** The versions with what was decided about them, or what made them. */
export async function withDecisions<T extends Pick<DatasetVersion, "dataset" | "version">>(
  db: Db,
  versions: T[],
): Promise<(T & { quarantine?: QuarantineDecision })[]> {
  if (versions.length === 0) return [];
  const { rows } = await sql<DecisionRow>`
    select d.* from quarantine_decision d
    join unnest(${versions.map((one) => one.dataset)}::text[], ${versions.map((one) => one.version)}::int[]) as asked (dataset, version)
      on d.dataset = asked.dataset and (d.version = asked.version or d.accepted_as = asked.version)`.execute(db);
  return versions.map((one) => {
    const row = rows.find(({ dataset, version, accepted_as }) => dataset === one.dataset && (version === one.version || accepted_as === one.version));
    return row === undefined ? one : { ...one, quarantine: decisionOf(row) };
  });
}

export function createQuarantine(platform: Pick<Platform, "db" | "events" | "clock">, projects: Pick<Projects, "require">): Quarantine {
  const { db, events, clock } = platform;

  async function one(row: store.VersionRow): Promise<DatasetVersion> {
    const [version] = await withDecisions(db, [store.versionOf(row)]);
    return version ?? store.versionOf(row);
  }

  async function decide(dataset: string, version: number, decision: "accepted" | "rejected", reason: string, by: string): Promise<DatasetVersion> {
    await projects.require("dataset", dataset);
    const row = await db.transaction().execute(async (transaction) => {
      await store.lockDataset(transaction, dataset);
      const refused = await store.findVersion(transaction, dataset, version);
      if (refused === undefined) throw notFound("dataset version", `${dataset}/${version}`);
      if (refused.status !== "quarantined") throw conflict(`Version ${version} of "${dataset}" is not in quarantine: it was accepted when it came.`);
      const [known] = (await sql<DecisionRow>`select * from quarantine_decision where dataset = ${dataset} and version = ${version}`.execute(transaction)).rows;
      if (known !== undefined) {
        if (known.decision !== decision) throw conflict(`Version ${version} of "${dataset}" was ${known.decision} by ${known.decided_by} already.`);
        return known.accepted_as === null ? refused : ((await store.findVersion(transaction, dataset, known.accepted_as)) ?? refused);
      }
      const made = decision === "accepted" ? await acceptedFrom(transaction, refused) : undefined;
      await sql`
        insert into quarantine_decision (dataset, version, decision, reason, decided_by, decided_at, accepted_as)
        values (${dataset}, ${version}, ${decision}, ${reason}, ${by}, ${clock.now()}, ${made?.version ?? null})`.execute(transaction);
      await events.append(transaction, "dataset.quarantine_decided", dataset, { version, decision, reason, by, acceptedAs: made?.version ?? null });
      if (made !== undefined) {
        const { file, added_rows: rows } = made;
        await events.append(transaction, "dataset.version_accepted", dataset, { version: made.version, file, rows, quarantined: version, by, reason });
      }
      return made ?? refused;
    });
    return one(row);
  }

  async function acceptedFrom(transaction: Parameters<typeof store.insertVersion>[0], refused: store.VersionRow): Promise<store.VersionRow> {
    const { dataset, mode } = refused;
    const report = await store.reportOf(transaction, dataset, refused.version);
    const unreadable = report?.anomalies.find(({ kind }) => kind === "file");
    if (unreadable !== undefined && refused.added_rows === 0)
      throw conflict(`Version ${refused.version} of "${dataset}" can't be accepted: ${unreadable.message}`);
    const latest = await store.findVersion(transaction, dataset, "latest");
    const before = latest === undefined || mode === "snapshot" ? [] : await store.partsOf(transaction, latest);
    const same = latest === undefined || mode === "snapshot" ? undefined : await store.findArrival(transaction, latest, { source: refused.source });
    if (same !== undefined) throw conflict(`"${dataset}" has this content already, since version ${same.version}.`);
    const added = await store.addedParts(transaction, refused);
    const row: store.VersionRow = {
      ...refused,
      version: await store.nextVersion(transaction, dataset),
      status: "accepted",
      mode,
      digest: tableDigest([...before, ...added].map((part) => part.digest)),
      rows: before.reduce((sum, part) => sum + part.rows, refused.added_rows),
      bytes: before.reduce((sum, part) => sum + part.bytes, refused.added_bytes),
      // Of all parts together, which are read when somebody asks.
      columns: null,
      created_at: clock.now(),
    };
    await store.insertVersion(transaction, row, added, report);
    return row;
  }

  return {
    async list({ dataset, decided, limit, after }) {
      const [afterName, afterVersion] = after?.split("/") ?? [];
      const { rows } = await sql<{ dataset: string; version: number }>`
        select dataset, version from dataset_version v where status = 'quarantined'
          ${dataset === undefined ? sql`` : sql`and dataset = ${dataset}`}
          ${decided ? sql`` : sql`and not exists (select 1 from quarantine_decision d where d.dataset = v.dataset and d.version = v.version)`}
          ${afterName === undefined || afterVersion === undefined ? sql`` : sql`and (dataset, -version) > (${afterName}, ${-Number(afterVersion)})`}
        order by dataset, version desc limit ${limit + 1}`.execute(db);
      const found = await Promise.all(rows.slice(0, limit).map((row) => store.findVersion(db, row.dataset, row.version)));
      const items = await withDecisions(
        db,
        found.flatMap((row) => (row === undefined ? [] : [store.versionOf(row)])),
      );
      const last = items.at(-1);
      return rows.length > limit && last !== undefined ? { items, next: `${last.dataset}/${last.version}` } : { items };
    },
    accept: (dataset, version, reason, by) => decide(dataset, version, "accepted", reason, by),
    reject: (dataset, version, reason, by) => decide(dataset, version, "rejected", reason, by),
  };
}
