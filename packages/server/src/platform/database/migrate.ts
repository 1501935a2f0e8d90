import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import type pg from "pg";

/**
 * Brings the database to the newest numbered migration, under a lock, each file in a transaction of its own. A file that was
 * applied and has changed since is an error: what ran must stay what is read.
 */
export async function migrate(pool: pg.Pool, folder: URL): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query("select pg_advisory_lock(hashtext('millrace migrations'))");
    await client.query("create table if not exists migration (name text primary key, digest text not null, applied_at timestamptz not null default now())");
    const applied = new Map((await client.query<{ name: string; digest: string }>("select name, digest from migration")).rows.map((r) => [r.name, r.digest]));
    const files = (await readdir(folder)).filter((f) => /^[0-9]{4}_[a-z0-9_]+\.sql$/.test(f)).sort();
    const unknown = [...applied.keys()].filter((name) => !files.includes(name));
    if (unknown.length > 0) throw new Error(`The database was written by a newer Millrace (it has the migration ${unknown[0]}). Start that version.`);
    const texts = await Promise.all(files.map(async (name) => ({ name, text: await readFile(new URL(name, folder), "utf8") })));
    for (const { name, text } of texts) {
      const digest = createHash("sha256").update(text).digest("hex");
      const before = applied.get(name);
      if (before === digest) continue;
      if (before !== undefined) throw new Error(`The migration ${name} has changed since it was applied.`);
      await client.query("begin");
      try {
        await client.query(text);
        await client.query("insert into migration (name, digest) values ($1, $2)", [name, digest]);
        await client.query("commit");
      } catch (error) {
        await client.query("rollback");
        throw new Error(`The migration ${name} failed: ${(error as Error).message}`, { cause: error });
      }
    }
  } finally {
    await client.query("select pg_advisory_unlock(hashtext('millrace migrations'))").catch(() => {});
    client.release();
  }
}
