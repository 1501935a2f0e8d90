/**
 * Arrays for `unnest` in the binary form of PostgreSQL's protocol, for paths on which thousands of values go in at once: neither side then
 * writes or reads numbers as text. A parameter that is a Buffer is sent as binary. (PostgreSQL's source: array_recv in
 * src/backend/utils/adt/arrayfuncs.c.)
 */
const header = 20;
const oids = { text: 25, int8: 20, float8: 701 };

export function texts<T>(list: readonly T[], of: (one: T) => string): Buffer {
  const values = list.map(of);
  const bytes = values.reduce((sum, value) => sum + 4 + Buffer.byteLength(value), 0);
  const array = begin(oids.text, values.length, bytes);
  let at = header;
  for (const value of values) {
    const length = array.write(value, at + 4);
    array.writeInt32BE(length, at);
    at += 4 + length;
  }
  return array;
}

/** Whole numbers that a double holds exactly. */
export function int8s<T>(list: readonly T[], of: (one: T) => number): Buffer {
  return eightBytes(oids.int8, list, (array, at, one) => {
    const value = of(one);
    const high = Math.floor(value / 2 ** 32);
    array.writeInt32BE(high, at);
    array.writeUInt32BE(value - high * 2 ** 32, at + 4);
  });
}

export function float8s<T>(list: readonly T[], of: (one: T) => number): Buffer {
  return eightBytes(oids.float8, list, (array, at, one) => array.writeDoubleBE(of(one), at));
}

function eightBytes<T>(oid: number, list: readonly T[], write: (array: Buffer, at: number, one: T) => void): Buffer {
  const array = begin(oid, list.length, 12 * list.length);
  let at = header;
  for (const one of list) {
    array.writeInt32BE(8, at);
    write(array, at + 4, one);
    at += 12;
  }
  return array;
}

/** One dimension without nulls, counted from 1. */
function begin(oid: number, length: number, bytes: number): Buffer {
  const array = Buffer.allocUnsafe(header + bytes);
  for (const [i, value] of [1, 0, oid, length, 1].entries()) array.writeInt32BE(value, 4 * i);
  return array;
}
