import pg from "pg";
import { StartError } from "../errors.js";

const oldest = 14;

/** That an external PostgreSQL can be used; throws what to do about it where not. Says nothing of its password. */
export async function checkDatabase(url: string): Promise<void> {
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol))
    throw new StartError("DATABASE_URL is no address of a PostgreSQL: write postgres://user:password@host:5432/database.");
  const { hostname, port, username, pathname } = new URL(url);
  const place = `${hostname}:${port === "" ? "5432" : port}`;
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ version: string; encoding: string; may_create: boolean; readonly: string }>(
      `select current_setting('server_version_num') as version, current_setting('server_encoding') as encoding,
         has_schema_privilege(current_schema(), 'create') as may_create, current_setting('transaction_read_only') as readonly`,
    );
    const found = rows[0];
    const version = Math.floor(Number(found?.version) / 10_000);
    if (version < oldest) throw new StartError(`The PostgreSQL at ${place} is version ${version}: Millrace needs ${oldest} or newer.`);
    if (found?.encoding !== "UTF8")
      throw new StartError(`The database${pathname} at ${place} has the encoding ${found?.encoding}: make one with "create database … encoding 'UTF8'".`);
    if (found.readonly === "on") throw new StartError(`The PostgreSQL at ${place} is read-only: DATABASE_URL must name the primary.`);
    if (!found.may_create) throw new StartError(`The user "${username}" may not make tables in the database at ${place}: make it the owner of the database.`);
  } catch (error) {
    throw error instanceof StartError ? error : new StartError(`${reason(error, place, username, pathname.slice(1))} DATABASE_URL says where it is.`);
  } finally {
    await client.end().catch(() => {});
  }
}

function reason(error: unknown, place: string, user: string, database: string): string {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const code: unknown = typeof first === "object" && first !== null && "code" in first ? first.code : undefined;
  switch (code) {
    case "ECONNREFUSED":
      return `No PostgreSQL answers at ${place}.`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `The host of ${place} is not known.`;
    case "28P01":
    case "28000":
      return `The PostgreSQL at ${place} does not let "${user}" in: the user, the password or its pg_hba.conf is not right.`;
    case "3D000":
      return `The PostgreSQL at ${place} has no database "${database}": make it with "create database".`;
    case "53300":
      return `The PostgreSQL at ${place} has no connection left.`;
    default: {
      const message = first instanceof Error && first.message !== "" ? first.message : String(code ?? "it does not answer");
      return `The PostgreSQL at ${place} can't be used: ${message.replace(/\.?$/, ".")}`;
    }
  }
}
