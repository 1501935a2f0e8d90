/** A SQLite file, read where it lies and never changed. */
import { mkdtemp, open, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { CliError } from "../errors.js";
import type { Row, Tables } from "./sql.js";

export async function openSqlite(file: string): Promise<Tables & { changed(): Promise<boolean> }> {
  const full = path.resolve(file);
  if ((await headOf(full)) !== "SQLite format 3\0") throw new CliError(`${file} is no SQLite database.`);
  for (const [end, why] of [
    ["-journal", "a change of it was not finished"],
    ["-wal", "a part of it is in a file beside it"],
  ] as const) {
    const beside = await stat(full + end).catch(() => undefined);
    if (beside !== undefined && beside.size > 0)
      throw new CliError(`${file} can't be read as it is: ${why} (${path.basename(file)}${end}). Stop MLflow, open the file once with it, then import.`);
  }
  const before = await stampOf(full);
  // The library writes its lock beside the file that it opens: it is given a link elsewhere, so that the store's folder stays as it is.
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-import-"));
  const { Database } = (await import("node-sqlite3-wasm")).default;
  try {
    const link = path.join(folder, "store.db");
    await symlink(full, link);
    const database = new Database(link, { readOnly: true, fileMustExist: true });
    return {
      async *rows(query, values = []) {
        const statement = database.prepare(query);
        try {
          for (const row of statement.iterate([...values])) yield row as Row;
        } finally {
          statement.finalize();
        }
      },
      changed: async () => (await stampOf(full)) !== before,
      async close() {
        database.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function stampOf(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file);
  return `${size} ${mtimeMs}`;
}
async function headOf(file: string): Promise<string> {
  const handle = await open(file, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(16), 0, 16, 0);
    return buffer.subarray(0, bytesRead).toString("latin1");
  } finally {
    await handle.close();
  }
}
