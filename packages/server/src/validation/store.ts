import type { ColumnStatistics, TableStatistics } from "@millrace/sdk/api";
import { type Kysely, sql } from "kysely";

type Db = Kysely<unknown>;
/** Of how statistics are made: others than these are made anew. */
const form = 1;

export async function findStatistics(db: Db, digest: string): Promise<TableStatistics | undefined> {
  const { rows } = await sql<{ rows: number; columns: ColumnStatistics[] }>`
    select rows::float8 as rows, columns from table_statistics where digest = ${digest} and form = ${form}`.execute(db);
  return rows[0];
}

export async function keepStatistics(db: Db, digest: string, { rows, columns }: TableStatistics, at: Date): Promise<void> {
  await sql`
    insert into table_statistics (digest, form, rows, columns, made_at) values (${digest}, ${form}, ${rows}, ${JSON.stringify(columns)}::jsonb, ${at})
    on conflict (digest) do update set form = excluded.form, rows = excluded.rows, columns = excluded.columns, made_at = excluded.made_at
      where table_statistics.form <> excluded.form`.execute(db);
}
