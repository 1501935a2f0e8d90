import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";

/** The facts. Rows are typed where they are read: sql<Row>`select …`.execute(db). */
export type Database = Kysely<unknown>;

export interface OpenDatabase {
  db: Database;
  pool: pg.Pool;
  url: string;
  close(): Promise<void>;
}

export function connect(url: string, options: { max?: number; name?: string } = {}): OpenDatabase {
  const pool = new pg.Pool({ connectionString: url, max: options.max ?? 20, application_name: options.name ?? "millrace" });
  // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
  pool.on("error", () => {});
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  return { db, pool, url, close: () => db.destroy() };
}
