import type { ColumnStatistics, TableStatistics } from "@millrace/sdk/api";
import { type Kysely, type RawBuilder, sql } from "kysely";

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

/** Frees what was made before a moment of tables that are in none of the lists. Should one of them come again, it is read again. */
export async function forgetStatistics(db: Db, tables: RawBuilder<unknown>[], before: Date): Promise<void> {
  const known = sql.join(
    tables.map((query) => sql`(${query})`),
    sql` union all `,
  );
  await sql`
    delete from table_statistics s where s.made_at < ${before}
      and not exists (select 1 from (${known}) as t (digest) where t.digest = s.digest)`.execute(db);
}
