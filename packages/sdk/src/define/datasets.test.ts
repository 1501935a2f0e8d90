import { expect, expectTypeOf, test } from "vitest";
import {
  byKey,
  byTime,
  compile,
  csv,
  dataset,
  expectation,
  float64,
  int64,
  ProjectError,
  pipeline,
  project,
  schema,
  splitByGroup,
  splitByHash,
  string,
  type Table,
  timestamp,
  writeDataset,
} from "../index.js";

const trips = schema({ name: "trips", columns: { id: int64(), rider: string(), km: float64(), at: timestamp() } });
const raw = dataset({ name: "raw", schema: trips, format: csv({ delimiter: ";" }), partition: byTime("day", { zone: "Europe/Oslo" }), timestamp: "at" });
const clean = dataset({ name: "clean", schema: trips, partition: byKey("rider", "id") });
const other = dataset({ name: "other", schema: schema({ name: "other", columns: { name: string() } }) });
const nodesOf = (make: () => void) =>
  compile(project({ name: "p", definitions: [pipeline({ name: "one", params: {} }, make)] }), { folder: import.meta.dirname });

test("rows are divided into tables of the same columns by the names of the shares, and written to a dataset of those columns", () => {
  const compiled = nodesOf(() => {
    const rows = raw.upTo("latest");
    const { train, check } = splitByGroup(rows, { columns: ["rider"], shares: { train: 0.8, check: 0.2 } });
    expectTypeOf(train).toEqualTypeOf(rows);
    const { a } = splitByHash(check, { key: ["id"], shares: { a: 0.5, b: 0.5 }, seed: "7", name: "again" });
    // @ts-expect-error: there is no such share
    splitByHash(check, { key: ["id"], shares: { a: 0.5, b: 0.5 }, name: "third" }).c;
    const written = writeDataset(a, clean, { mode: "snapshot" });
    expectTypeOf(written.rows).toExtend<Table>();
    // @ts-expect-error: the dataset has other columns
    writeDataset(a, other, { name: "wrong" });
  });
  const nodes = Object.fromEntries(compiled.pipelines[0]?.nodes.map((node) => [node.id, node]) ?? []);
  const shares = (...of: [string, number][]) => of.map(([name, share]) => ({ name, share }));
  expect(nodes.split).toMatchObject({
    ...{ kind: "split_by_group", config: { columns: ["rider"], shares: shares(["train", 0.8], ["check", 0.2]) } },
    inputs: { rows: { node: "read_raw", output: "rows" } },
    outputs: [
      { name: "train", type: "table" },
      { name: "check", type: "table" },
    ],
  });
  expect(nodes.again).toMatchObject({ kind: "split_by_hash", config: { columns: ["id"], seed: "7" }, inputs: { rows: { node: "split", output: "check" } } });
  expect(nodes.write_clean).toMatchObject({ kind: "write_dataset", config: { dataset: "clean", mode: "snapshot" } });
  expect(compiled.datasets.find(({ name }) => name === "raw")).toMatchObject({
    format: { kind: "csv", delimiter: ";" },
    partition: { by: "time", each: "day", zone: "Europe/Oslo" },
  });
  expect(compiled.datasets.find(({ name }) => name === "clean")?.partition).toEqual({ by: "key", columns: ["rider", "id"] });
});

test("shares that are no whole are an error where they are written", () => {
  expect(() => nodesOf(() => splitByHash(raw.upTo("latest"), { key: ["id"], shares: { a: 0.5, b: 0.4 } }))).toThrow(ProjectError);
  expect(() => nodesOf(() => splitByGroup(raw.upTo("latest"), { columns: [], shares: { a: 1 } }))).toThrow("needs the columns");
});

test("a function of an expectation is given rows of the schema's types, with null where a column may be null", () => {
  const shared = expectation({ name: "shared", check: (row: { km: number | null }) => row.km === null || row.km < 500, maxFailing: 0.1 });
  const known = expectation({ name: "cells", check: ({ city }) => city !== "" });
  expectTypeOf(known.check).parameter(0).toEqualTypeOf<Record<string, string | number | boolean | Date | null>>();
  const legs = schema({
    name: "legs",
    columns: {
      km: float64(),
      city: string({ maxNullShare: 0 }),
      at: timestamp({ maxNullShare: 0 }),
      maybe: string({ maxNullShare: 0, required: false }),
      label: int64({ maxNullShare: 0, environments: ["training"] }),
    },
    expectations: [
      shared,
      known,
      { name: "in_sql", sql: "km > 0" },
      {
        name: "typed",
        severity: "warn",
        check(row) {
          expectTypeOf(row).toEqualTypeOf<{
            readonly km: number | null;
            readonly city: string;
            readonly at: Date;
            readonly maybe: string | null;
            readonly label: number | null;
          }>();
          return row.at.getTime() > 0 && row.city !== "";
        },
      },
      // @ts-expect-error: km may be null
      { name: "null", check: (row) => row.km.toFixed() !== "" },
      // @ts-expect-error: there is no such column
      { name: "stranger", check: (row) => row.speed !== null },
      // @ts-expect-error: it answers no boolean
      { name: "text", check: (row) => row.city },
      // @ts-expect-error: the schema has no such column
      expectation({ name: "other", check: (row: { speed: number }) => row.speed > 0 }),
    ],
  });
  const { schemas } = compile(project({ name: "p", definitions: [legs] }), { folder: import.meta.dirname });
  const [first, , , fourth] = schemas[0]?.expectations ?? [];
  expect(first).toEqual({ name: "shared", maxFailing: 0.1, bundle: expect.stringMatching(/^datasets\.test\.ts:\d+$/), definedAt: expect.any(String) });
  expect(fourth).toEqual({ name: "typed", severity: "warn", bundle: schemas[0]?.definedAt });
  const files = [{ path: "a.mjs", digest: `sha256:${"0".repeat(64)}`, size: 1 }];
  expect(() => compile(project({ name: "p", definitions: [legs] }), { folder: import.meta.dirname, files })).toThrow(/which is no file of the project/);
});
