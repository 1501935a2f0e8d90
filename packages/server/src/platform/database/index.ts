import { Kysely, PostgresDialect, type RawBuilder } from "kysely";
import pg from "pg";

/** The facts. Rows are typed where they are read: sql<Row>`select …`.execute(db). */
export type Database = Kysely<unknown>;

/** Runs a statement that each connection plans once, under its name: for the few whose planning would take longer than their work. */
export type Prepared = <R extends object>(name: string, statement: RawBuilder<R>) => Promise<R[]>;

export interface OpenDatabase {
  db: Database;
  prepared: Prepared;
  pool: pg.Pool;
  url: string;
  close(): Promise<void>;
}

export function connect(url: string, options: { max?: number; name?: string } = {}): OpenDatabase {
  const pool = new pg.Pool({ connectionString: url, max: options.max ?? 20, application_name: options.name ?? "millrace" });
  // A connection that breaks is replaced at the next use, and whoever waits for it is told by the query; without listeners it would end the process,
  // idle or, as in a transaction between two statements, in somebody's hands.
  pool.on("error", () => {});
  pool.on("connect", (client) => void client.on("error", () => {}));
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  return {
    ...{ db, pool, url },
    async prepared<R extends object>(name: string, statement: RawBuilder<R>) {
      const { sql: text, parameters } = statement.compile(db);
      return (await pool.query<R>({ name, text, values: [...parameters] })).rows;
    },
    close: () => db.destroy(),
  };
}

const away = new Set(["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "57P01", "57P02", "57P03", "53300", "40P01", "40001"]);
/** Whether a statement failed for a reason that passes: a connection that broke, a PostgreSQL that starts again, two transactions in each other's way. */
export const isAway = (error: unknown): boolean =>
  error instanceof Error &&
  (("code" in error && typeof error.code === "string" && away.has(error.code)) ||
    /^Connection terminated|^Client has encountered a connection error/.test(error.message));
