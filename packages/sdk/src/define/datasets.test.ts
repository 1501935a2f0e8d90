import { expect, expectTypeOf, test } from "vitest";
import {
  byKey,
  byTime,
  compile,
  csv,
  dataset,
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
