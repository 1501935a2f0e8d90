import type { Decision, Held, Promotion, PromotionState } from "@millrace/sdk/api";
import { sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";

type Db = Database | Transaction<unknown>;

export interface PromotionRow {
  id: string;
  project: string;
  environment: string;
  kind: Promotion["kind"];
  name: string;
  release: string | null;
  version: number | null;
  /** The digest of the release, or of the version. */
  content: string;
  rollback: boolean;
  state: PromotionState;
  message: string | null;
  reason: string | null;
  authors: string[];
  approved_by: string[];
  requested_by: string;
  requested_at: Date;
  began_at: Date | null;
  finished_at: Date | null;
}
export interface Answer {
  environment: string;
  approved: boolean;
  by: string;
  at: string;
  comment: string | null;
}
/** What of an environment something takes the place of. */
export type Place = Pick<PromotionRow, "project" | "environment" | "kind" | "name">;
/** What comes there: a release, or a version of the model. */
export type Subject = Pick<PromotionRow, "kind" | "name" | "release" | "version" | "content">;

const columns = sql`p.id, p.project, p.environment, p.kind, p.name, p.release, p.version, p.content, p.rollback, p.state, p.message, p.reason, p.authors, p.requested_by,
  p.requested_at, p.began_at, p.finished_at,
  coalesce((select array_agg(distinct d.by order by d.by) from promotion_decision d where d.promotion = p.id and d.kind = 'approved'), '{}') as approved_by`;
const open = sql`p.state in ('checking', 'waiting', 'deploying')`;
const isPlace = ({ project, environment, kind, name }: Place) =>
  sql`p.project = ${project} and p.environment = ${environment} and p.kind = ${kind} and p.name = ${name}`;
const isSubject = ({ content, version }: Subject) => sql`p.content = ${content} and p.version is not distinct from ${version}`;

/** Those who ask for something to come to a place follow one another. */
export async function lockPlace(transaction: Transaction<unknown>, place: Place): Promise<void> {
  const text = `${place.project}/${place.environment}/${place.kind}/${place.name}`;
  await sql`select pg_advisory_xact_lock(hashtext('promotion'), hashtext(${text}))`.execute(transaction);
}
/** Answers whether it is new. */
export async function insertPromotion(
  transaction: Transaction<unknown>,
  row: Omit<PromotionRow, "approved_by" | "began_at" | "finished_at">,
): Promise<boolean> {
  const { rows } = await sql`
    insert into promotion (id, project, environment, kind, name, release, version, content, rollback, state, message, reason, authors, requested_by, requested_at)
    values (${row.id}, ${row.project}, ${row.environment}, ${row.kind}, ${row.name}, ${row.release}, ${row.version}, ${row.content}, ${row.rollback}, ${row.state}, ${row.message},
      ${row.reason}, ${JSON.stringify(row.authors)}::jsonb, ${row.requested_by}, ${row.requested_at})
    on conflict do nothing returning id`.execute(transaction);
  return rows.length > 0;
}
export async function findPromotion(db: Db, id: string): Promise<PromotionRow | undefined> {
  return (await sql<PromotionRow>`select ${columns} from promotion p where id = ${id}`.execute(db)).rows[0];
}
/** Newest first; `after` is a promotion's id. */
export async function listPromotions(
  db: Db,
  query: {
    project?: string | undefined;
    environment?: string | undefined;
    state?: PromotionState | "open" | undefined;
    limit: number;
    after?: string | undefined;
  },
): Promise<PromotionRow[]> {
  const { project, environment, state, limit, after } = query;
  const conditions = [
    project === undefined ? sql`true` : sql`p.project = ${project}`,
    environment === undefined ? sql`true` : sql`p.environment = ${environment}`,
    state === undefined ? sql`true` : state === "open" ? open : sql`p.state = ${state}`,
    after === undefined ? sql`true` : sql`p.n < (select n from promotion where id = ${after})`,
  ];
  return (await sql<PromotionRow>`select ${columns} from promotion p where ${sql.join(conditions, sql` and `)} order by p.n desc limit ${limit}`.execute(db))
    .rows;
}
/** Oldest first. */
export async function openPromotions(db: Db): Promise<string[]> {
  return (await sql<{ id: string }>`select p.id from promotion p where ${open} order by p.n`.execute(db)).rows.map(({ id }) => id);
}
/** Of a place, those that are not over; oldest first. */
export async function openAt(db: Db, place: Place): Promise<PromotionRow[]> {
  return (await sql<PromotionRow>`select ${columns} from promotion p where ${isPlace(place)} and ${open} order by p.n`.execute(db)).rows;
}
/** What came to a place last, and is there. */
export async function heldAt(db: Db, place: Place): Promise<PromotionRow | undefined> {
  const { rows } =
    await sql<PromotionRow>`select ${columns} from promotion p where ${isPlace(place)} and p.state = 'deployed' order by p.n desc limit 1`.execute(db);
  return rows[0];
}
/** Whether it was ever there. */
export async function wasAt(db: Db, place: Place, subject: Subject): Promise<PromotionRow | undefined> {
  const { rows } = await sql<PromotionRow>`
    select ${columns} from promotion p where ${isPlace(place)} and ${isSubject(subject)} and p.state = 'deployed' order by p.n desc limit 1`.execute(db);
  return rows[0];
}
/** What was at a place before what is there came for the first time. */
export async function heldBefore(db: Db, place: Place, subject: Subject): Promise<PromotionRow | undefined> {
  const { rows } = await sql<PromotionRow>`
    select ${columns} from promotion p where ${isPlace(place)} and p.state = 'deployed' and not (${isSubject(subject)}) and p.n < (
      select max(p.n) from promotion p where ${isPlace(place)} and ${isSubject(subject)} and p.state = 'deployed' and not p.rollback
    ) order by p.n desc limit 1`.execute(db);
  return rows[0];
}
/** What each environment of a project holds. */
export async function heldBy(db: Db, project: string): Promise<PromotionRow[]> {
  const { rows } = await sql<PromotionRow>`
    select distinct on (p.environment, p.kind, p.name) ${columns} from promotion p where p.project = ${project} and p.state = 'deployed'
    order by p.environment, p.kind, p.name, p.n desc`.execute(db);
  return rows;
}
/** Only from the state that it was seen in: of two who decide, one does. */
export async function moveOn(
  transaction: Transaction<unknown>,
  id: string,
  from: readonly PromotionState[],
  to: PromotionState,
  message: string | null,
  finishedAt: Date | null,
): Promise<boolean> {
  const { rows } = await sql`
    update promotion set state = ${to}, message = ${message}, finished_at = ${finishedAt} where id = ${id} and state = any(${[...from]}::text[]) returning id`.execute(
    transaction,
  );
  return rows.length > 0;
}
/** What it waits for. */
export async function note(db: Db, id: string, message: string): Promise<void> {
  await sql`update promotion set message = ${message} where id = ${id} and state in ('waiting', 'deploying') and message is distinct from ${message}`.execute(
    db,
  );
}
export async function setBegan(db: Db, id: string, at: Date): Promise<void> {
  await sql`update promotion set began_at = ${at} where id = ${id} and began_at is null`.execute(db);
}

export type NewDecision = Pick<Decision, "by" | "kind" | "message"> & Partial<Pick<Decision, "gate" | "passed" | "evidence">>;
export async function addDecision(transaction: Transaction<unknown>, promotion: string, at: Date, decision: NewDecision): Promise<void> {
  const { by, kind, message, gate = null, passed = null, evidence = [] } = decision;
  await sql`
    insert into promotion_decision (promotion, at, by, kind, gate, passed, message, evidence)
    values (${promotion}, ${at}, ${by}, ${kind}, ${gate}, ${passed}, ${message}, ${JSON.stringify(evidence)}::jsonb)`.execute(transaction);
}
/** In the order in which they were made. */
export async function decisionsOf(db: Db, promotion: string): Promise<Decision[]> {
  const { rows } = await sql<Omit<Decision, "at"> & { at: Date }>`
    select at, by, kind, gate, passed, message, evidence from promotion_decision where promotion = ${promotion} order by n limit 2000`.execute(db);
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}
/** What people answered to promotions of a model's version, in that order. */
export async function answersTo(db: Db, model: string, version: number, content: string): Promise<Answer[]> {
  const { rows } = await sql<Omit<Answer, "at"> & { at: Date }>`
    select p.environment, d.kind = 'approved' as approved, d.by, d.at, nullif(d.message, '') as comment from promotion_decision d join promotion p on p.id = d.promotion
    where p.kind = 'model' and p.name = ${model} and p.version = ${version} and p.content = ${content} and d.kind in ('approved', 'rejected') order by d.n limit 500`.execute(
    db,
  );
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}

export const toPromotion = (row: PromotionRow): Promotion => ({
  id: row.id,
  project: row.project,
  environment: row.environment,
  kind: row.kind,
  release: row.release,
  model: row.kind === "model" ? row.name : null,
  version: row.version,
  rollback: row.rollback,
  state: row.state,
  message: row.message,
  reason: row.reason,
  authors: row.authors,
  approvedBy: row.approved_by,
  requestedBy: row.requested_by,
  requestedAt: row.requested_at.toISOString(),
  finishedAt: row.finished_at?.toISOString() ?? null,
});
export const toHeld = (row: PromotionRow): Held => ({
  kind: row.kind,
  release: row.release,
  model: row.kind === "model" ? row.name : null,
  version: row.version,
  since: (row.finished_at ?? row.requested_at).toISOString(),
  promotion: row.id,
});
