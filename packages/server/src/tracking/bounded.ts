import { sql, type Transaction } from "kysely";
import { ApiError, type Database } from "../platform/index.js";

/** What a person waits for ends after so long, so that nobody's search holds a connection for good. Answers undefined then. */
export async function within<T>(db: Database, ms: number, work: (transaction: Transaction<unknown>) => Promise<T>): Promise<T | undefined> {
  try {
    return await db.transaction().execute(async (transaction) => {
      await sql`select set_config('statement_timeout', ${String(ms)}, true)`.execute(transaction);
      return work(transaction);
    });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "57014") return undefined;
    throw error;
  }
}

export const tooSlow = (): ApiError =>
  new ApiError(503, "TOO_SLOW", "This search takes too long. Narrow it: fewer experiments, another order, or a filter by a metric or by time.");
