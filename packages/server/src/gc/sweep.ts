/** Objects that nobody refers to. */
import { type RawBuilder, sql } from "kysely";
import type { Digest, Platform } from "../platform/index.js";

export interface Swept {
  objects: number;
  objectBytes: number;
}
/** What nobody refers to, and is too new to be taken for something left over: its upload may be under way. */
export interface Young {
  youngObjects: number;
  youngObjectBytes: number;
}

const fetched = 10_000;
const deletedAtOnce = 16;

/**
 * Two lists in one order, read side by side, so that millions need no memory: what is referred to, as of the moment at which this begins, and
 * what there is. What is put or renewed after that moment is new; and whoever is about to refer to an object puts or renews it first.
 */
export async function sweep(
  { db, objects }: Pick<Platform, "db" | "objects">,
  references: RawBuilder<unknown>[],
  {
    before,
    dryRun,
    signal,
    freed,
    kept,
  }: {
    /** By the machine's clock. */
    before: Date;
    dryRun: boolean;
    signal: AbortSignal;
    freed: Swept;
    kept: Young;
  },
): Promise<void> {
  // A transaction that writes nothing keeps nobody's events waiting.
  await db
    .transaction()
    .setIsolationLevel("repeatable read")
    .setAccessMode("read only")
    .execute(async (transaction) => {
      const all = sql.join(
        references.map((query) => sql`(${query})`),
        sql` union all `,
      );
      await sql`
        declare referred no scroll cursor for select digest from (${all}) as r (digest) where digest is not null order by digest collate "C"`.execute(
        transaction,
      );
      const live = inOrder(fetchAll());
      async function* fetchAll(): AsyncGenerator<string> {
        for (;;) {
          const { rows } = await sql<{ digest: string }>`fetch ${sql.lit(fetched)} from referred`.execute(transaction);
          for (const { digest } of rows) yield digest;
          if (rows.length < fetched) return;
        }
      }
      async function remove(unwanted: { digest: Digest; size: number }[]): Promise<void> {
        await Promise.all(
          unwanted.map(async ({ digest, size }) => {
            if (!dryRun && !(await objects.deleteOlder(digest, before))) return;
            freed.objects++;
            freed.objectBytes += size;
          }),
        );
      }

      let next = await live.next();
      let last = "";
      let unwanted: { digest: Digest; size: number }[] = [];
      for await (const { digest, size, modified } of objects.list()) {
        signal.throwIfAborted();
        // Out of order, what is referred to would look as if it were not.
        if (digest <= last) throw new Error("The object store does not list its objects in order.");
        last = digest;
        while (!next.done && next.value < digest) next = await live.next();
        if (!next.done && next.value === digest) continue;
        if (modified >= before) {
          kept.youngObjects++;
          kept.youngObjectBytes += size;
          continue;
        }
        unwanted.push({ digest, size });
        if (unwanted.length < deletedAtOnce) continue;
        await remove(unwanted);
        unwanted = [];
      }
      await remove(unwanted);
    });
}

async function* inOrder(digests: AsyncIterable<string>): AsyncGenerator<string> {
  let last = "";
  for await (const digest of digests) {
    if (digest < last) throw new Error("PostgreSQL did not give digests in order.");
    last = digest;
    yield digest;
  }
}
