import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ColumnType, Expr } from "@millrace/sdk/spec";
import { expect, test } from "vitest";
import { openDuckDb } from "../platform/index.js";
import { exprFunction, exprSql } from "./expr.js";
import { columnSql, jsonSql, readValue, type Value } from "./values.js";

const types: Record<string, ColumnType> = { n: "int64", x: "float64", s: "string", b: "boolean", t: "timestamp", d: "date" };
const col = (name: string): Expr => ({ op: "column", name });
const lit = (value: number | string | boolean | null): Expr => ({ op: "literal", value });

const moments = [
  ...["2013-03-10T06:59:59.999Z", "2013-03-10T07:00:00Z", "2013-11-03T05:59:59Z", "2013-11-03T06:00:00Z", "2012-12-31T23:59:59.999999Z"],
  ...["1969-12-31T23:59:59.5Z", "1950-06-01T00:00:00Z", "2100-02-28T12:34:56Z", "2024-02-29T03:15:00+05:30", "2013-07-01T12:00:00Z"],
];
const numbers = [0, -1, 1, 0.1, -2.5, 1e300, -1e-300, 3, 1 / 3, 2 ** 53];
const texts = ["", "a", "B", "é", "\u{1F6EB}", "\uFFFD", "2013-07-01T12:00:00Z", "it's", "a ", "zz"];

test("an expression gives the same value in DuckDB and in the serving process", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const duckdb = openDuckDb({ memoryMb: 500, threads: 1, spillFolder: folder });
  const rows: Record<string, Value[]> = { n: [], x: [], s: [], b: [], t: [], d: [] };
  for (let i = 0; i < 100; i++) {
    const pick = <T extends Value>(list: T[], step: number): T | null => ((i * step + 3) % 11 === 0 ? null : (list[(i * step) % list.length] ?? null));
    rows.n?.push(pick([0, 1, -7, 12, 2013, 1_440], 7));
    rows.x?.push(pick(numbers, 3));
    rows.s?.push(pick(texts, 9));
    rows.b?.push(pick([true, false], 5));
    rows.t?.push(pick(moments, 1));
    rows.d?.push(pick(["2013-07-01", "1999-12-31"], 13));
  }
  for (const [name, type] of Object.entries(types)) rows[name] = (rows[name] ?? []).map((value) => readValue(value, type, name));

  const parts = (["year", "month", "day_of_month", "day_of_week", "hour", "minute"] as const).flatMap((op) =>
    ["America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"].map((zone): [Expr, ColumnType] => [{ op, of: col("t"), zone }, "int64"]),
  );
  const left: Expr = { op: "divide", left: col("x"), right: col("n") };
  const expressions: [Expr, ColumnType][] = [
    ...parts,
    ...(["add", "subtract", "multiply", "divide"] as const).flatMap((op): [Expr, ColumnType][] => [
      [{ op, left: col("n"), right: col("x") }, "float64"],
      [{ op, left: col("x"), right: lit(0) }, "int64"],
      [{ op, left: left, right: { op: "multiply", left: col("x"), right: col("x") } }, "float64"],
    ]),
    ...(["equal", "less", "less_or_equal"] as const).flatMap((op): [Expr, ColumnType][] => [
      [{ op, left: col("n"), right: col("x") }, "boolean"],
      [{ op, left: col("s"), right: lit("b") }, "boolean"],
      [{ op, left: col("s"), right: lit("\u{1F6EB}") }, "boolean"],
      [{ op, left: col("t"), right: lit("2013-07-01T08:00:00-04:00") }, "boolean"],
      [{ op, left: lit("2000-01-01"), right: col("d") }, "boolean"],
      [{ op, left: left, right: { op: "divide", left: lit(0), right: lit(0) } }, "int64"],
    ]),
    [{ op: "is_null", of: { op: "add", left: col("n"), right: col("x") } }, "boolean"],
    [{ op: "coalesce", of: [col("s"), lit("none")] }, "string"],
    [{ op: "coalesce", of: [col("t"), col("t")] }, "timestamp"],
    [{ op: "coalesce", of: [col("x"), col("n"), lit(-0.5)] }, "float64"],
    ...(["abs", "sqrt", "floor", "ceil", "round"] as const).flatMap((op): [Expr, ColumnType][] => [
      [{ op, of: col("x") }, "float64"],
      [{ op, of: left }, "int64"],
      [{ op: "is_null", of: { op, of: left } }, "boolean"],
    ]),
    ...(["lower", "upper", "trim"] as const).map((op): [Expr, ColumnType] => [{ op, of: col("s") }, "string"]),
    [{ op: "length", of: col("s") }, "int64"],
    [{ op: "modulo", left: col("x"), right: col("n") }, "float64"],
    [{ op: "modulo", left: col("n"), right: lit(-5) }, "int64"],
    ...(["least", "greatest"] as const).flatMap((op): [Expr, ColumnType][] => [
      [{ op, of: [col("n"), col("x"), lit(0.5)] }, "float64"],
      [{ op, of: [left, lit(1)] }, "float64"],
      [{ op, of: [col("s"), lit("b")] }, "string"],
      [{ op, of: [col("t"), col("t")] }, "timestamp"],
    ]),
    ...(["and", "or"] as const).map((op): [Expr, ColumnType] => [{ op, of: [col("b"), { op: "less", left: col("x"), right: col("n") }] }, "boolean"]),
    [{ op: "not", of: col("b") }, "boolean"],
    [{ op: "if", condition: col("b"), yes: col("n"), no: col("x") }, "float64"],
    [{ op: "if", condition: col("b"), yes: lit(null), no: col("s") }, "string"],
    [{ op: "one_of", of: col("s"), values: ["a", "it's", "\u{1F6EB}"] }, "boolean"],
    [{ op: "one_of", of: col("n"), values: [1, -7] }, "boolean"],
    [{ op: "one_of", of: col("d"), values: ["1999-12-31"] }, "boolean"],
    [{ op: "seconds_between", left: lit("2013-01-01T00:00:00Z"), right: col("t") }, "float64"],
    ...(["contains", "starts_with", "ends_with"] as const).flatMap((op): [Expr, ColumnType][] => [
      [{ op, left: col("s"), right: lit("a") }, "boolean"],
      [{ op, left: lit("it's a \u{1F6EB}"), right: col("s") }, "boolean"],
    ]),
    [{ op: "concat", of: [col("s"), lit("-"), col("s")] }, "string"],
    [{ op: "substring", of: { op: "concat", of: [lit("\u{1F6EB}b"), col("s")] }, start: 2, length: 3 }, "string"],
    [lit(null), "float64"],
    [col("d"), "date"],
    [col("b"), "float64"],
  ];
  try {
    await duckdb.use(async (connection) => {
      await connection.run("create temp table given (i int, n bigint, x double, s varchar, b boolean, t varchar, d varchar)");
      const appender = await connection.createAppender("given");
      for (let i = 0; i < 100; i++) {
        const text = (name: string) => {
          const value = rows[name]?.[i] ?? null;
          return value === null ? appender.appendNull() : appender.appendVarchar(String(value));
        };
        appender.appendInteger(i);
        const [n, x, b] = [rows.n?.[i] ?? null, rows.x?.[i] ?? null, rows.b?.[i] ?? null];
        n === null ? appender.appendNull() : appender.appendBigInt(BigInt(Number(n)));
        x === null ? appender.appendNull() : appender.appendDouble(Number(x));
        text("s");
        b === null ? appender.appendNull() : appender.appendBoolean(b === true);
        text("t");
        text("d");
        appender.endRow();
      }
      appender.closeSync();
      const cast = Object.entries(types).map(([name, type]) => `${columnSql(name, type)} as ${name}`);
      await connection.run(`create temp table typed as select i, ${cast.join(", ")} from given`);
      for (const [expr, type] of expressions) {
        const sql = jsonSql(exprSql(expr, types, type), type);
        const offline = (await connection.runAndReadAll(`select ${sql} from typed order by i`)).getColumnsJS()[0];
        const evaluate = exprFunction(expr, types, type);
        const online = Array.from({ length: 100 }, (_, i) => evaluate(rows, i));
        expect(online, JSON.stringify([expr, type])).toEqual(offline);
      }
    });
  } finally {
    await duckdb.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test("logarithms and powers are equal to 14 digits, and letters change one by one", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const duckdb = openDuckDb({ memoryMb: 500, threads: 1, spillFolder: folder });
  try {
    for (const op of ["log", "exp"] as const) {
      const expr: Expr = { op, of: { op: "multiply", left: col("x"), right: lit(1) } };
      const values = [null, 0, -1, 1, 2, 0.1, 1e300, 1e-300, 700, 3.7];
      const list = values.map((value) => (value === null ? "null" : `${value}::double`)).join(", ");
      const offline = (await duckdb.rows<{ v: number | null }>(`select ${exprSql(expr, types, "float64")} as v from (select unnest([${list}]) as x)`)).map(
        (row) => row.v,
      );
      const online = values.map((_, row) => exprFunction(expr, types, "float64")({ x: values }, row));
      online.forEach((value, i) => {
        const other = offline[i] ?? null;
        if (typeof value !== "number" || typeof other !== "number") expect(value).toBe(other);
        else expect(Math.abs(value - other)).toBeLessThanOrEqual(1e-14 * Math.abs(value));
      });
    }
    const all = Array.from({ length: 0x2fff - 32 }, (_, i) => i + 32);
    for (const op of ["lower", "upper"] as const) {
      const expr: Expr = { op, of: col("s") };
      const rows = await duckdb.rows<{ code: number; v: string }>(
        `select code, ${exprSql(expr, types, "string")} as v from (select range::int as code, chr(range::int) as s from range(32, 12287)) order by code`,
      );
      const evaluate = exprFunction(expr, types, "string");
      const s = all.map((code) => String.fromCodePoint(code));
      const wrong = rows.filter((row, i) => evaluate({ s }, i) !== row.v).map((row) => row.code.toString(16));
      expect(wrong, op).toEqual([]);
    }
  } finally {
    await duckdb.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test("what an expression can't mean is told when it is read", () => {
  expect(() => exprFunction({ op: "add", left: col("s"), right: lit(1) }, types, "int64")).toThrow("add takes numbers, not a string");
  expect(() => exprFunction({ op: "hour", of: col("t"), zone: "Mars/Olympus" }, types, "int64")).toThrow('There is no time zone "Mars/Olympus"');
  expect(() => exprSql(col("wind"), types, "int64")).toThrow('There is no column "wind"');
  expect(() => exprSql(col("s"), types, "float64")).toThrow("gives a string, not float64");
});
