import { sql } from "kysely";
import type { Platform } from "../platform/index.js";

export function openStore({ db, clock }: Pick<Platform, "db" | "clock">) {
  return {
    async list(): Promise<{ name: string; set_by: string; set_at: Date }[]> {
      return (await sql<{ name: string; set_by: string; set_at: Date }>`select name, set_by, set_at from secret order by name`.execute(db)).rows;
    },
    async read(names: string[]): Promise<{ name: string; sealed: Buffer }[]> {
      return (await sql<{ name: string; sealed: Buffer }>`select name, sealed from secret where name = any(${names}::text[])`.execute(db)).rows;
    },
    async set(name: string, sealed: Buffer, by: string): Promise<Date> {
      const at = clock.now();
      await sql`
        insert into secret (name, sealed, set_by, set_at) values (${name}, ${sealed}, ${by}, ${at})
        on conflict (name) do update set sealed = excluded.sealed, set_by = excluded.set_by, set_at = excluded.set_at`.execute(db);
      return at;
    },
    async delete(name: string): Promise<boolean> {
      return (await sql`delete from secret where name = ${name} returning name`.execute(db)).rows.length > 0;
    },
  };
}
