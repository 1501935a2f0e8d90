import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { populationStability } from "../evaluation/index.js";
import { type DuckDb, openDuckDb } from "../platform/index.js";
import { type Column, countInto, type Distribution, distributions } from "./distribution.js";

let folder: string;
let duckdb: DuckDb;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  duckdb = openDuckDb({ memoryMb: 200, threads: 1, spillFolder: folder });
});
afterAll(async () => {
  await duckdb.close();
  await rm(folder, { recursive: true, force: true });
});

const columns: Column[] = [
  { type: "float64", sql: "x" },
  { type: "string", sql: "color" },
  { type: "boolean", sql: "sunny" },
  { type: "int64", sql: "nothing" },
];
const reference = "(select i / 100.0::double as x, ['red', 'it''s'][1 + (i % 2)] as color, i < 25 as sunny, null::double as nothing from range(100) t(i))";
const distributed = (): Promise<Distribution[]> => duckdb.use((connection) => distributions({ duckdb, connection, relation: reference }, columns));
const counted = (found: Distribution[], relation: string) =>
  duckdb.use((connection) =>
    countInto(
      { duckdb, connection, relation },
      found.flatMap(({ bins }, i) => (columns[i] === undefined ? [] : [{ column: columns[i], bins }])),
    ),
  );

test("numbers fall into ten bins of equal share and other values on themselves; the rest and the missing have bins of their own", async () => {
  const found = await distributed();
  expect(found.map(({ counts }) => counts)).toEqual([
    [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0],
    [50, 50, 0, 0],
    [75, 25, 0, 0],
    [0, 100],
  ]);
  expect(found[1]?.bins).toEqual({ kind: "values", values: ["it's", "red"] });
  const { rows, counts } = await counted(
    found,
    `(values (-1e9::double, 'red', true, 1::double), (0.095, 'blue', null, null), ('nan'::double, null, false, null), (null, '', false, 2)) t(x, color, sunny, nothing)`,
  );
  expect(rows).toBe(4);
  expect(counts).toEqual([
    [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    [0, 1, 2, 1],
    [2, 1, 0, 1],
    [2, 2],
  ]);
});

test("a distribution is at no distance from itself, and far from one that has moved or is missing", async () => {
  const found = await distributed();
  const psi = async (relation: string) => {
    const { counts } = await counted(found, relation);
    return found.map((before, i) => populationStability(before.counts, counts[i] ?? []));
  };
  expect(await psi(reference)).toEqual([0, 0, 0, 0]);
  const moved = await psi("(select 2.0::double as x, 'green' as color, null::boolean as sunny, 1.0::double as nothing from range(50))");
  for (const index of moved) expect(index).toBeGreaterThan(2);
  expect(await psi("(select 1::double as x, '' as color, true as sunny, 1::double as nothing where false)")).toEqual([null, null, null, null]);
  // Shares of 0.5 and 0.5 that become 0.6 and 0.4: 0.1 ln 1.2 − 0.1 ln 0.8.
  expect(populationStability([50, 50], [60, 40])).toBeCloseTo(0.1 * Math.log(1.2) - 0.1 * Math.log(0.8), 12);
});

test("a constant column, infinite numbers and a column of nothing have bins that can be kept as JSON", async () => {
  const odd =
    "(select 5::double as x, 'red' as color, true as sunny, case i % 4 when 0 then 'inf'::double when 1 then '-inf'::double else 7 end as nothing from range(40) t(i))";
  const found = await duckdb.use((connection) => distributions({ duckdb, connection, relation: odd }, columns));
  expect(JSON.parse(JSON.stringify(found))).toEqual([
    { bins: { kind: "numbers", edges: [5] }, counts: [40, 0, 0] },
    { bins: { kind: "values", values: ["red"] }, counts: [40, 0, 0] },
    { bins: { kind: "values", values: ["true"] }, counts: [40, 0, 0] },
    { bins: { kind: "numbers", edges: [7] }, counts: [30, 10, 0] },
  ]);
  const { counts } = await counted(found, "(select 5.1::double as x, 'blue' as color, null::boolean as sunny, 7::double as nothing from range(10))");
  expect(counts).toEqual([
    [0, 10, 0],
    [0, 10, 0],
    [0, 0, 10],
    [10, 0, 0],
  ]);
  // A share of nothing is taken as 0.0001: all that was in one bin has gone to another, 2 · 0.9999 · ln 10000.
  expect(populationStability([40, 0, 0], [0, 10, 0])).toBeCloseTo(2 * 0.9999 * Math.log(10_000), 10);
});
