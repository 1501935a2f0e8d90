import { sql, type Transaction } from "kysely";
import type { Database } from "../platform/index.js";

type Db = Database | Transaction<unknown>;

/** How many versions that answered before are known. */
const mostEarlier = 10;

/** The version that answers, by endpoint. */
export async function stableVersions(db: Db): Promise<Map<string, number | null>> {
  const { rows } = await sql<{ endpoint: string; stable: number | null }>`select endpoint, stable from endpoint_state`.execute(db);
  return new Map(rows.map(({ endpoint, stable }) => [endpoint, stable]));
}
export async function lockState(transaction: Transaction<unknown>, endpoint: string): Promise<{ stable: number | null }> {
  await sql`insert into endpoint_state (endpoint) values (${endpoint}) on conflict do nothing`.execute(transaction);
  const { rows } = await sql<{ stable: number | null }>`select stable from endpoint_state where endpoint = ${endpoint} for update`.execute(transaction);
  return { stable: rows[0]?.stable ?? null };
}
export async function setStable(transaction: Transaction<unknown>, endpoint: string, version: number): Promise<void> {
  await sql`
    update endpoint_state set stable = ${version}::int,
      earlier = (array_remove(case when stable is null then earlier else array_prepend(stable, array_remove(earlier, stable)) end, ${version}::int))[1:${sql.lit(mostEarlier)}]
    where endpoint = ${endpoint}`.execute(transaction);
}
/** The version that answered before answers again. Undefined: there is none. */
export async function goBack(transaction: Transaction<unknown>, endpoint: string): Promise<number | undefined> {
  const { rows } = await sql<{ stable: number }>`
    update endpoint_state set stable = earlier[1], earlier = earlier[2:] where endpoint = ${endpoint} and earlier <> '{}' returning stable`.execute(
    transaction,
  );
  return rows[0]?.stable;
}
/** Answers whether that changed anything. */
export async function setKilled(
  transaction: Transaction<unknown>,
  endpoint: string,
  killed: { at: Date; by: string; reason: string } | null,
): Promise<boolean> {
  const { rows } = await sql`
    update endpoint_state set killed_at = ${killed?.at ?? null}, killed_by = ${killed?.by ?? null}, killed_reason = ${killed?.reason ?? null}
    where endpoint = ${endpoint} and (killed_at is null) = ${killed !== null} returning endpoint`.execute(transaction);
  return rows.length > 0;
}
/** Rows predicted and requests failed since the endpoint was made. */
export interface Counts {
  predictions: number;
  errors: number;
  logged: number;
  sampledOut: number;
  dropped: number;
}
export async function countsOf(db: Db, endpoint: string): Promise<Counts> {
  const { rows } = await sql<Counts>`
    select predictions::float8, errors::float8, logged::float8, sampled_out::float8 as "sampledOut", dropped::float8
    from endpoint_state where endpoint = ${endpoint}`.execute(db);
  return rows[0] ?? { predictions: 0, errors: 0, logged: 0, sampledOut: 0, dropped: 0 };
}
export async function addCounts(db: Db, endpoint: string, { predictions, errors, logged, sampledOut, dropped }: Counts): Promise<void> {
  await sql`
    insert into endpoint_state as e (endpoint, predictions, errors, logged, sampled_out, dropped)
    values (${endpoint}, ${predictions}, ${errors}, ${logged}, ${sampledOut}, ${dropped})
    on conflict (endpoint) do update set predictions = e.predictions + excluded.predictions, errors = e.errors + excluded.errors,
      logged = e.logged + excluded.logged, sampled_out = e.sampled_out + excluded.sampled_out, dropped = e.dropped + excluded.dropped`.execute(db);
}

export async function writeLabels(db: Db, endpoint: string, labels: { id: string; label: number }[], at: Date): Promise<void> {
  const unique = new Map(labels.map(({ id, label }) => [id, label]));
  await sql`
    insert into prediction_label (endpoint, id, label, at)
    select ${endpoint}, id, label, ${at} from unnest(${[...unique.keys()]}::text[], ${[...unique.values()]}::float8[]) as told (id, label)
    on conflict (endpoint, id) do update set label = excluded.label where prediction_label.label <> excluded.label`.execute(db);
}

/** Labels that were told from a moment on. */
export async function countLabels(db: Db, endpoint: string, from: Date): Promise<number> {
  const { rows } = await sql<{
    labels: number;
  }>`select count(*)::float8 as labels from prediction_label where endpoint = ${endpoint} and at >= ${from}`.execute(db);
  return rows[0]?.labels ?? 0;
}
