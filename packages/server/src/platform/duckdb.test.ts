import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DuckDb, openDuckDb } from "./duckdb.js";
import { literal, parquet } from "./sql.js";

let folder: string;
let duckdb: DuckDb;
const file = (name: string) => path.join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  duckdb = openDuckDb({ memoryMb: 400, threads: 2, spillFolder: path.join(folder, "spill") });
  await writeFile(file("secret.csv"), "password\nopen sesame\n");
  for (const [name, sql] of [
    ["a", "select 1::bigint as x"],
    ["b", "select 1.5::double as x, 'new' as y"],
  ])
    await duckdb.rows(`copy (${sql}) to ${literal(file(`${name}.parquet`))} (format parquet)`);
});
afterAll(async () => {
  await duckdb.close();
  await rm(folder, { recursive: true, force: true });
});

test("a sandbox reads and writes the files that it is given, and nothing else", async () => {
  const access = { reads: [file("a.parquet")], writes: [file("out.parquet")] };
  const given = parquet([file("a.parquet")]);
  await duckdb.sandbox(access, async (connection) => {
    expect(await duckdb.rows(`select x from ${given}`, connection)).toEqual([{ x: 1 }]);
    await connection.run(`copy (select x + 1 as x from ${given}) to ${literal(file("out.parquet"))} (format parquet)`);
    for (const sql of [
      "select * from read_csv('/etc/passwd')",
      "from '/etc/passwd'",
      "select * from read_text('/proc/self/environ')",
      "select * from read_blob('/etc/hostname')",
      "select * from glob('/*')",
      "select * from sniff_csv('/etc/passwd')",
      `select * from read_csv(${literal(file("secret.csv"))})`,
      `select * from ${parquet([file("b.parquet")])}`,
      `select * from ${parquet([file("*.parquet")])}`,
      `select * from ${parquet([path.join(folder, "x", "..", "b.parquet")])}`,
      `attach ${literal(file("other.db"))} as other`,
      `copy (select 1) to ${literal(file("stolen.csv"))}`,
      `export database ${literal(file("dump"))}`,
      "import database '/tmp'",
      "install httpfs",
      "load httpfs",
      "load '/tmp/evil.duckdb_extension'",
      "select * from read_csv('http://127.0.0.1:1/x.csv')",
      "select * from read_parquet('s3://bucket/x.parquet')",
      "set enable_external_access = true",
      "set allowed_directories = ['/']",
      "set global allowed_paths = ['/etc/passwd']",
      "reset lock_configuration",
      "set lock_configuration = false",
      "pragma enable_external_access = true",
      "pragma memory_limit = '100GB'",
      "set memory_limit = '100GB'",
      "set temp_directory = '/tmp/elsewhere'",
      "create persistent secret s (type s3)",
      "select getenv('HOME')",
    ])
      await expect(connection.run(sql), sql).rejects.toThrow();
  });
  expect((await readdir(folder)).sort()).toEqual(["a.parquet", "b.parquet", "out.parquet", "secret.csv", "spill"]);
  expect(await duckdb.rows(`select x from ${parquet([file("out.parquet")])}`)).toEqual([{ x: 2 }]);
});

test("SQL that does not end is ended, and says so; the next one works", async () => {
  const endless = duckdb.sandbox({ reads: [], limitMs: 200 }, (connection) =>
    connection.run("select count(*) from range(1000000000000) a, range(1000000) b where a.range = -1"),
  );
  await expect(endless).rejects.toMatchObject({ status: 400, message: expect.stringContaining("longer than 0.2 seconds") });
  expect(await duckdb.sandbox({ reads: [] }, (connection) => duckdb.rows("select 1 as x", connection))).toEqual([{ x: 1 }]);
});

test("files whose columns differ are read as one table: the type that holds all, null where there is none", async () => {
  const rows = await duckdb.rows(`select * from ${parquet([file("a.parquet"), file("b.parquet")])}`);
  expect(rows).toEqual([
    { x: 1, y: null },
    { x: 1.5, y: "new" },
  ]);
});

test("what needs more memory than there is spills, of several at once each into files of its own", async () => {
  const small = openDuckDb({ memoryMb: 64, threads: 1, spillFolder: file("spill") });
  const rows = 1_200_000;
  async function digest(connection: DuckDBConnection, by: number): Promise<unknown> {
    await connection.run(`create temp table wide as select md5((i * ${by})::varchar) as a, repeat(md5(i::varchar), 3) as b from range(${rows}) t(i)`);
    return await small.rows(`select count(*) as rows, sum(hash(a))::varchar as a, sum(hash(b))::varchar as b from wide`, connection);
  }
  try {
    const alone = await small.sandbox({ reads: [] }, (connection) => digest(connection, 3));
    expect(alone).toMatchObject([{ rows }]);
    const together = await Promise.all([
      small.use((connection) => digest(connection, 5)),
      small.sandbox({ reads: [] }, (connection) => digest(connection, 3)),
      small.sandbox({ reads: [] }, (connection) => digest(connection, 3)),
    ]);
    expect(together[0]).not.toEqual(alone);
    expect(together.slice(1)).toEqual([alone, alone]);
  } finally {
    await small.close();
  }
});
