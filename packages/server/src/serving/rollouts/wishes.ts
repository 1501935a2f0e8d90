/** What aliases are to begin at endpoints: durable from when the alias was set until it has begun, as a version may take minutes to be ready. */
import { sql, type Transaction } from "kysely";
import type { Database } from "../../platform/index.js";

type Db = Database | Transaction<unknown>;

export interface Wish {
  endpoint: string;
  /** Of the rollout that it becomes. */
  id: string;
  alias: string;
  version: number;
}
type Slot = "champion" | "trial";
const slotOf = ({ alias }: Pick<Wish, "alias">): Slot => (alias === "champion" ? "champion" : "trial");

/** It takes the place of an older one of its slot, and what becomes the champion also that of an older trial, which it would end. */
export async function addWish(db: Database, wish: Wish): Promise<void> {
  const slot = slotOf(wish);
  await db.transaction().execute(async (transaction) => {
    await dropWishes(transaction, wish.endpoint, slot === "champion" ? ["champion", "trial"] : ["trial"]);
    await sql`
      insert into rollout_wish (endpoint, slot, id, alias, version) values (${wish.endpoint}, ${slot}, ${wish.id}, ${wish.alias}, ${wish.version})
      on conflict (endpoint, slot) do update set id = excluded.id, alias = excluded.alias, version = excluded.version`.execute(transaction);
  });
}
export async function wishingEndpoints(db: Db): Promise<string[]> {
  const { rows } = await sql<{ endpoint: string }>`select endpoint from rollout_wish group by endpoint order by min(asked)`.execute(db);
  return rows.map((row) => row.endpoint);
}
/** In the order in which they were asked for. */
export async function wishesOf(db: Db, endpoint: string): Promise<Wish[]> {
  const { rows } = await sql<Wish>`select endpoint, id, alias, version from rollout_wish where endpoint = ${endpoint} order by asked`.execute(db);
  return rows;
}
/** Endpoints where the version is to begin. */
export async function wishedAt(db: Db, version: number): Promise<string[]> {
  const { rows } = await sql<{ endpoint: string }>`select distinct endpoint from rollout_wish where version = ${version}`.execute(db);
  return rows.map((row) => row.endpoint);
}
export async function wishStands(db: Db, { endpoint, id }: Pick<Wish, "endpoint" | "id">): Promise<boolean> {
  return (await sql`select 1 from rollout_wish where endpoint = ${endpoint} and id = ${id}`.execute(db)).rows.length > 0;
}
/** Answers whether it was there until now. */
export async function takeWish(db: Db, { endpoint, id }: Pick<Wish, "endpoint" | "id">): Promise<boolean> {
  return (await sql`delete from rollout_wish where endpoint = ${endpoint} and id = ${id} returning id`.execute(db)).rows.length > 0;
}
export async function dropWishes(transaction: Transaction<unknown>, endpoint: string, slots: readonly Slot[]): Promise<void> {
  await sql`delete from rollout_wish where endpoint = ${endpoint} and slot = any(${[...slots]}::text[])`.execute(transaction);
}
