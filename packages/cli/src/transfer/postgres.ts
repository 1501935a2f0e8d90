/** A PostgreSQL database, read in one transaction that changes nothing and sees one state of it. */
import pg from "pg";
import { CliError } from "../errors.js";
import type { Row, Tables } from "./sql.js";

const atOnce = 5_000;

export async function openPostgres(url: string): Promise<Tables> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 15_000, application_name: "millrace import" });
  try {
    await client.connect();
    await client.query("begin transaction isolation level repeatable read read only");
  } catch (error) {
    await client.end().catch(() => {});
    throw new CliError(`The database at ${withoutPassword(url)} can't be opened: ${error instanceof Error ? error.message || "nothing answers" : error}.`);
  }
  let cursors = 0;
  return {
    async *rows(query, values = []) {
      let n = 0;
      const cursor = `millrace_${++cursors}`;
      // A statement that fails must not end the transaction that all others are in.
      await client.query("savepoint before_query");
      try {
        await client.query(`declare ${cursor} no scroll cursor for ${query.replaceAll("?", () => `$${++n}`)}`, [...values]);
      } catch (error) {
        await client.query("rollback to savepoint before_query");
        throw error;
      }
      for (;;) {
        const { rows } = await client.query<Row>(`fetch ${atOnce} from ${cursor}`);
        yield* rows;
        if (rows.length < atOnce) break;
      }
      await client.query(`close ${cursor}`);
    },
    close: () => client.end(),
  };
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  shown.password = "";
  return shown.href;
}
