import { describe, expect, it } from "vitest";
import type { FixedDatatype } from "../../inference/index.js";
import { readNumbers } from "./numbers.js";

function read(text: string, length: number, datatype: FixedDatatype = "FP64", depth = 2) {
  const bytes = Buffer.from(`x${text}y`);
  const found = readNumbers(bytes, 1, bytes.length - 1, datatype, length, depth);
  return found === undefined ? undefined : Array.from<number | bigint>(found);
}

/** The same numbers every time. */
function random(seed: number) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
const next = random(7);
const bits = new DataView(new ArrayBuffer(8));
function anyDouble(): number {
  bits.setUint32(0, next() * 2 ** 32);
  bits.setUint32(4, next() * 2 ** 32);
  const value = bits.getFloat64(0);
  return Number.isFinite(value) ? value : 0;
}
const digits = (length: number) => Array.from({ length }, () => Math.floor(next() * 10)).join("");

describe("numbers of JSON", () => {
  it("are those that JSON.parse gives, bit by bit", () => {
    const made = [
      () => next(),
      () => next() * 10 ** Math.floor(next() * 12),
      () => (next() - 0.5) * 4,
      anyDouble,
      () => Math.floor(next() * 2 ** 53),
      () => `${Math.floor(next() * 1000)}.${digits(1 + Math.floor(next() * 20))}`,
      () => `-0.${digits(1 + Math.floor(next() * 22))}`,
      () => `${1 + Math.floor(next() * 9)}${digits(Math.floor(next() * 22))}`,
      () => `${Math.floor(next() * 10)}.${digits(14)}e${next() < 0.5 ? "-" : ""}${Math.floor(next() * 30)}`,
      () => `${Math.floor(next() * 100)}E+${Math.floor(next() * 25)}`,
      // Near the middle between two doubles.
      () => {
        const value = next();
        bits.setFloat64(0, value);
        bits.setUint32(4, bits.getUint32(4) ^ 1);
        return ((value + bits.getFloat64(0)) / 2).toPrecision(17 + Math.floor(next() * 3));
      },
    ];
    for (let round = 0; round < 400; round++) {
      const texts = Array.from({ length: 100 }, () => String(made[Math.floor(next() * made.length)]?.()));
      const text = `[${texts.join(next() < 0.5 ? "," : " ,\n ")}]`;
      const parsed: number[] = JSON.parse(text);
      expect(read(text, 100)).toEqual(parsed);
      expect(read(text, 100, "FP32")).toEqual(Array.from(Float32Array.from(parsed)));
    }
  });

  it("of 64 bits are exact", () => {
    expect(read("[9223372036854775807, -9223372036854775808, 9007199254740993, -1, 0, 12e2]", 6, "INT64")).toEqual([
      ...[9223372036854775807n, -9223372036854775808n, 9007199254740993n, -1n, 0n, 1200n],
    ]);
    expect(read("[18446744073709551615, 10000000000000000001]", 2, "UINT64")).toEqual([18446744073709551615n, 10000000000000000001n]);
    for (const [text, datatype] of [
      ["[9223372036854775808]", "INT64"],
      ["[-1]", "UINT64"],
      ["[18446744073709551616]", "UINT64"],
      ["[1.5]", "INT64"],
      ["[9007199254740993.0]", "INT64"],
      ["[128]", "INT8"],
      ["[-1]", "UINT8"],
      ["[0.5]", "INT32"],
      ["[null]", "INT32"],
    ] as const)
      expect([text, read(text, 1, datatype)]).toEqual([text, undefined]);
    expect(read("[127, -128, 1.0, -0]", 4, "INT8")).toEqual([127, -128, 1, 0]);
  });

  it("lie in lists in lists too, and null is NaN among floats", () => {
    expect(read("[[1, 2],[3,4]]", 4)).toEqual([1, 2, 3, 4]);
    expect(read(" [ 1 ]".trim(), 1)).toEqual([1]);
    expect(read("[1,null]", 2)).toEqual([1, Number.NaN]);
    expect(read("[[[1]]]", 1)).toBeUndefined();
    expect(read("[[[1]]]", 1, "FP64", 3)).toEqual([1]);
  });

  it("are not read from what JSON.parse refuses", () => {
    for (const text of [
      "[01]",
      "[+1]",
      "[.5]",
      "[1.]",
      "[1e]",
      "[1e+]",
      "[-]",
      "[1,]",
      "[,1]",
      "[1 2]",
      "[1]]",
      "[[1]",
      "[nul]",
      "[NaN]",
      "[0x1]",
      "[1_0]",
      "[--1]",
      "[1-]",
      "1]",
      "[1",
      "[]",
      '["1"]',
      "[true]",
    ])
      for (const length of [1, 2]) expect([text, read(text, length)]).toEqual([text, undefined]);
    for (const length of [0, 2]) expect(read("[1]", length)).toBeUndefined();
  });

  it("changed at random are refused, or are what JSON.parse reads", () => {
    const letters = "0123456789.,-+eE[] n\n";
    for (let round = 0; round < 20_000; round++) {
      const text = Array.from({ length: 1 + Math.floor(next() * 12) }, () => letters[Math.floor(next() * letters.length)]).join("");
      const list = `[${text}]`;
      let parsed: unknown;
      try {
        parsed = JSON.parse(list);
      } catch {
        parsed = undefined;
      }
      const flat = Array.isArray(parsed) ? parsed.flat(1) : [];
      const found = read(list, flat.length);
      if (parsed === undefined) expect([list, found]).toEqual([list, undefined]);
      else if (found !== undefined) expect(found).toEqual(flat);
    }
  });
});
