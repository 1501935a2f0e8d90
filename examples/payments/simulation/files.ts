/** The files that a payment service would hand over: what happened, and later what became of it. */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { day, settledAfter, type World } from "./world.js";

/** Columns with their types in DuckDB. */
const tables = {
  transactions: {
    transaction_id: "varchar",
    ...{ at: "timestamptz", booked_at: "timestamptz", user_id: "varchar", merchant_id: "varchar", device_id: "varchar" },
    ...{ amount: "double", channel: "varchar", distance_km: "double" },
  },
  settlements: {
    transaction_id: "varchar",
    ...{ at: "timestamptz", settled_at: "timestamptz", user_id: "varchar", merchant_id: "varchar", device_id: "varchar" },
    ...{ amount: "double", channel: "varchar", distance_km: "double", fraud: "boolean" },
  },
  profiles: {
    ...{ user_id: "varchar", at: "timestamptz", created_at: "timestamptz", member_since: "timestamptz" },
    ...{ birth_year: "bigint", income: "double", verified: "boolean" },
  },
  merchants: { merchant_id: "varchar", at: "timestamptz", created_at: "timestamptz", category: "varchar", online: "boolean" },
  loans: { loan_id: "varchar", at: "timestamptz", user_id: "varchar", amount: "double", defaulted: "boolean", known_at: "timestamptz" },
  repayments: { loan_id: "varchar", at: "timestamptz", user_id: "varchar", amount: "double", late: "boolean" },
  lapses: { at: "timestamptz", user_id: "varchar", lapsed: "boolean", known_at: "timestamptz" },
} as const;
export type TableName = keyof typeof tables;
export const tableNames = Object.keys(tables) as TableName[];

/** What of a table becomes known on a day: payments as they are made, what became of them a week later. */
function rowsOf(world: World, table: TableName, date: Date, from: Date): object[] {
  const before = (age: number) => new Date(date.getTime() - age);
  switch (table) {
    case "transactions":
      return world.payments(date);
    case "settlements":
      if (before(settledAfter) < from) return [];
      return world.payments(before(settledAfter)).map((one) => ({ ...one, settled_at: new Date(Date.parse(one.at) + settledAfter).toISOString() }));
    case "profiles":
      return world.profiles(date);
    case "merchants":
      return world.merchants(date);
    case "loans":
      // What came out of them is known 17 days after they were asked for.
      return before(17 * day) < from ? [] : world.loans(before(17 * day));
    case "repayments":
      // The first file has what came before, so that windows are full on the first day.
      return date.getTime() === from.getTime() ? Array.from({ length: 91 }, (_, i) => world.repayments(before((90 - i) * day))).flat() : world.repayments(date);
    case "lapses":
      return world.lapses(date);
  }
}

/** Writes what becomes known in [first, end) to a Parquet file for each table, `<table>-<label>.parquet`. It appears whole. Answers how many rows. */
export async function writeFiles(
  world: World,
  { folder, label, from, first, end }: { folder: string; label: string; from: Date; first: Date; end: Date },
  of: readonly TableName[] = tableNames,
): Promise<Record<TableName, number>> {
  await mkdir(folder, { recursive: true });
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  const written = Object.fromEntries(tableNames.map((name) => [name, 0])) as Record<TableName, number>;
  try {
    await connection.run("set TimeZone = 'UTC'");
    for (const table of of) {
      const lines = path.join(folder, `.${table}-${label}.jsonl`);
      const out = createWriteStream(lines);
      for (let date = first; date < end; date = new Date(date.getTime() + day)) {
        const rows = rowsOf(world, table, date, from);
        written[table] += rows.length;
        if (rows.length > 0 && !out.write(rows.map((row) => `${JSON.stringify(row)}\n`).join(""))) await once(out, "drain");
      }
      await new Promise<void>((resolve) => out.end(resolve));
      const made = path.join(folder, `.${table}-${label}.parquet`);
      const columns = Object.entries(tables[table]).map(([name, type]) => `"${name}": '${type}'`);
      if (written[table] > 0) {
        await connection.run(
          `copy (select * from read_json(${literal(lines)}, format = 'newline_delimited', columns = {${columns.join(", ")}})) to ${literal(made)} (format parquet)`,
        );
        await rename(made, path.join(folder, `${table}-${label}.parquet`));
      }
      await rm(lines);
    }
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
  return written;
}
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
