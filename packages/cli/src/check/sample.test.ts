/** Samples of files as datasets have them: rows from all of the time, in the form that they came in. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import type { DatasetSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDuck } from "../transfer/duck.js";
import { filesOf, sizeOf, takeSample } from "./sample.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-sample-"));
  await mkdir(path.join(folder, "data"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const inFolder = (name: string) => path.join(folder, "data", name);
const dataset = (more: Partial<DatasetSpec>): DatasetSpec => ({ name: "orders", mode: "append", ...more });
const lines = async (file: string | undefined) => (await readFile(file ?? "", "utf8")).trimEnd().split("\n");

test("Parquet: rows are spread evenly over the newest files, and the newest moment is known", async () => {
  const duck = await openDuck();
  for (const month of [1, 2, 3]) {
    const rows = `select timestamp '2024-0${month}-01' + interval (i) minute as "at", ${month} as month from range(1000) as r(i)`;
    await duck.run(`copy (${rows}) to '${inFolder(`orders-2024-0${month}.parquet`)}' (format parquet)`);
  }
  const of = dataset({ timestamp: "at", watch: { folder: "data", pattern: "orders-*.parquet" } });
  const files = (await filesOf(folder, of, undefined)) ?? [];
  expect(files.map((file) => path.basename(file))).toEqual([1, 2, 3].map((month) => `orders-2024-0${month}.parquet`));
  const sample = await takeSample(of, files, 300, path.join(folder, "sample"));
  expect(sample).toMatchObject({ rows: 300, of: 3_000, from: 3, newest: new Date("2024-03-01T16:30:00Z") });
  const counted = await duck.rows(`select month, count(*) as n from read_parquet('${sample.files[0]?.path}') group by month order by month`);
  await duck.close();
  expect(counted).toEqual([1, 2, 3].map((month) => ({ month, n: 100 })));
  // Of a whole table that is replaced, the newest file is all there is.
  expect(await filesOf(folder, { ...of, mode: "snapshot" }, undefined)).toEqual(files.slice(-1));
});

test("CSV: records stay whole where text goes over lines, a file of other columns is left out, and gzip is read", async () => {
  await writeFile(inFolder("old.csv"), "id,other\n1,x\n");
  await writeFile(inFolder("new.csv.gz"), gzipSync(`id,note\r\n${Array.from({ length: 100 }, (_, i) => `${i},"say ""${i}"",\nand go on"`).join("\r\n")}\r\n`));
  const sample = await takeSample(dataset({}), [inFolder("old.csv"), inFolder("new.csv.gz")], 10, path.join(folder, "csv"));
  expect(sample).toMatchObject({ rows: 10, of: 100, files: [{ name: "new.csv" }] });
  const text = (await lines(sample.files[0]?.path)).join("\n");
  expect(text.startsWith('id,note\n0,"say ""0"",\nand go on"\n10,"say ""10"",\n')).toBe(true);
  expect(text.match(/and go on"/g)).toHaveLength(10);
});

test("JSON lines, and files without a header, have no line that is kept in any case", async () => {
  await writeFile(inFolder("events.jsonl"), Array.from({ length: 4 }, (_, id) => `${JSON.stringify({ id })}\n`).join(""));
  const json = await takeSample(dataset({}), [inFolder("events.jsonl")], 2, path.join(folder, "jsonl"));
  expect(await lines(json.files[0]?.path)).toEqual(['{"id":0}', '{"id":2}']);
  await writeFile(inFolder("plain.txt"), "1;a\n2;b\n3;c\n4;d\n");
  const bare = dataset({ format: { kind: "csv", delimiter: ";", header: false, columns: ["id", "name"] } });
  expect(await lines((await takeSample(bare, [inFolder("plain.txt")], "all", path.join(folder, "plain"))).files[0]?.path)).toHaveLength(4);
});

test("files that a check names are found, and what is not there is told", async () => {
  const of = dataset({});
  expect(await filesOf(folder, of, undefined)).toBeUndefined();
  expect((await filesOf(folder, of, ["data/orders-*.parquet"]))?.length).toBe(3);
  await expect(filesOf(folder, of, ["data/none.parquet"])).rejects.toThrow("there is no file data/none.parquet");
  await expect(filesOf(folder, of, ["data/none-*.parquet"])).rejects.toThrow("no file is called data/none-*.parquet");
});

test("the most that a check asks for is taken, else the usual number, and no less than a schema asks", () => {
  expect(sizeOf("orders", [])).toBe(2_000);
  expect(sizeOf("orders", [{}], 5_000)).toBe(5_000);
  expect(sizeOf("orders", [{ orders: 100 }, { other: "all" }], 5_000)).toBe(100);
  expect(sizeOf("orders", [{ orders: 100 }, 400])).toBe(400);
  expect(sizeOf("orders", [{ orders: 100 }, "all"])).toBe("all");
});
