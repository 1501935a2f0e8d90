/** Numbers of JSON, read from a body's bytes straight into an array of their datatype: each as JSON.parse would give it, and whole numbers of 64 bits exactly. */
import { type FixedData, type FixedDatatype, zeros } from "../../inference/index.js";

const powers = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
/** Each power as two halves of 26 bits, so that products of halves are exact (Dekker 1971, "A floating-point technique for extending the available precision"). */
const splitter = 134_217_729;
const upper = powers.map((power) => splitter * power - (splitter * power - power));
const lower = powers.map((power, at) => power - (upper[at] ?? 0));

const [digit0, minus, plus, point, comma, open, close] = [0x30, 0x2d, 0x2b, 0x2e, 0x2c, 0x5b, 0x5d];

/**
 * Reads the list that lies in `bytes` from `from`, a `[`, until `to`, just behind its `]`, into an array as long as it. Lists in it are taken as their values, up to
 * `depth` deep; `null` is NaN among floats. Answers undefined where it is not such a list, or is one that takes more than this to read.
 */
export function readNumbers(bytes: Uint8Array, from: number, to: number, datatype: FixedDatatype, count: number, depth: number): FixedData | undefined {
  if (datatype === "BOOL" || datatype === "FP16") return undefined;
  const into = zeros(datatype, count);
  if (into instanceof Float32Array || into instanceof Float64Array) return readFloats(bytes, from, to, into, depth) ? into : undefined;
  const values = new Float64Array(count);
  if (!readFloats(bytes, from, to, values, depth)) return undefined;
  if (into instanceof BigInt64Array || into instanceof BigUint64Array)
    return values.every(Number.isSafeInteger) ? bigs(into, values) : exact(into, bytes, from, to);
  for (let at = 0; at < count; at++) {
    into[at] = values[at] ?? 0;
    if (into[at] !== (values[at] ?? 0) + 0) return undefined;
  }
  return into;
}
function bigs(into: BigInt64Array | BigUint64Array, values: Float64Array): FixedData | undefined {
  for (let at = 0; at < values.length; at++) {
    into[at] = BigInt(values[at] ?? 0);
    if (Number(into[at]) !== (values[at] ?? 0) + 0) return undefined;
  }
  return into;
}
/** Whole numbers beyond 2^53, of a list whose form is known to be right. */
function exact(into: BigInt64Array | BigUint64Array, bytes: Uint8Array, from: number, to: number): FixedData | undefined {
  const texts = textOf(bytes, from, to)
    .replaceAll(/[[\]\s]/g, "")
    .split(",");
  for (const [at, text] of texts.entries()) {
    const value = /^-?[0-9]{1,20}$/.test(text) ? BigInt(text) : Number.isSafeInteger(Number(text)) ? BigInt(Number(text)) : undefined;
    if (value === undefined) return undefined;
    into[at] = value;
    if (into[at] !== value) return undefined;
  }
  return into;
}

function readFloats(bytes: Uint8Array, from: number, to: number, into: Float32Array | Float64Array, depth: number): boolean {
  const single = into instanceof Float32Array;
  const { length } = into;
  let at = from;
  let level = 0;
  let lists = 0;
  let count = 0;
  let wanted = true;
  while (at < to) {
    let byte = bytes[at] ?? 0;
    if (byte === comma) {
      if (wanted || level === 0) return false;
      wanted = true;
      at++;
      continue;
    }
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      at++;
      continue;
    }
    if (byte === open) {
      if (!wanted || ++level > depth || ++lists > 3 * length + depth) return false;
      at++;
      continue;
    }
    if (byte === close) {
      if (wanted || level === 0) return false;
      at++;
      if (--level === 0) return at === to && count === length;
      continue;
    }
    if (!wanted || level === 0 || count === length) return false;
    wanted = false;
    if (byte === 0x6e) {
      if (bytes[at + 1] !== 0x75 || bytes[at + 2] !== 0x6c || bytes[at + 3] !== 0x6c || at + 4 >= to) return false;
      into[count++] = Number.NaN;
      at += 4;
      continue;
    }

    const start = at;
    const negative = byte === minus;
    if (negative) byte = bytes[++at] ?? 0;
    let digit = byte - digit0;
    if (digit < 0 || digit > 9) return false;
    // Up to nine digits, and up to nine more behind them: both are small enough for whole numbers of 32 bits.
    let head = 0;
    let heads = 0;
    let tail = 0;
    let tails = 0;
    let scale = 0;
    let longer = false;
    if (digit === 0) {
      digit = (bytes[++at] ?? 0) - digit0;
      if (digit >= 0 && digit <= 9) return false;
    } else {
      while (digit >= 0 && digit <= 9) {
        if (heads < 9) {
          head = Math.imul(head, 10) + digit;
          heads++;
        } else if (tails < 9) {
          tail = Math.imul(tail, 10) + digit;
          tails++;
        } else longer = true;
        digit = (bytes[++at] ?? 0) - digit0;
      }
    }
    byte = bytes[at] ?? 0;
    if (byte === point) {
      digit = (bytes[++at] ?? 0) - digit0;
      if (digit < 0 || digit > 9) return false;
      const behind = at;
      if (heads === 0) while (digit === 0) digit = (bytes[++at] ?? 0) - digit0;
      while (heads < 9 && digit >= 0 && digit <= 9) {
        head = Math.imul(head, 10) + digit;
        heads++;
        digit = (bytes[++at] ?? 0) - digit0;
      }
      while (tails < 9 && digit >= 0 && digit <= 9) {
        tail = Math.imul(tail, 10) + digit;
        tails++;
        digit = (bytes[++at] ?? 0) - digit0;
      }
      while (digit >= 0 && digit <= 9) {
        longer = true;
        digit = (bytes[++at] ?? 0) - digit0;
      }
      scale = behind - at;
      byte = bytes[at] ?? 0;
    }
    if (byte === 0x65 || byte === 0x45) {
      byte = bytes[++at] ?? 0;
      const down = byte === minus;
      if (down || byte === plus) byte = bytes[++at] ?? 0;
      if (byte < digit0 || byte > digit0 + 9) return false;
      let exponent = 0;
      while (byte >= digit0 && byte <= digit0 + 9) {
        if (exponent < 10_000) exponent = exponent * 10 + byte - digit0;
        byte = bytes[++at] ?? 0;
      }
      scale += down ? -exponent : exponent;
    }
    if (at >= to) return false;
    const size = longer ? Number.NaN : single ? singleOf(head, tail, tails, scale) : doubleOf(head, tail, heads + tails, tails, scale);
    // What takes more is read by who knows how; NaN is none of the numbers.
    into[count++] = Number.isNaN(size) ? Number(textOf(bytes, start, at)) : negative ? -size : size;
  }
  return false;
}

/** (head · 10^tails + tail) · 10^scale, as near as its nearest 32 bits are certain; NaN where they are not. */
function singleOf(head: number, tail: number, tails: number, scale: number): number {
  if (scale > 22 || scale < -22) return Number.NaN;
  const digits = head * (powers[tails] ?? 1) + tail;
  const value = scale < 0 ? digits / (powers[-scale] ?? 1) : digits * (powers[scale] ?? 1);
  // Three roundings of half a unit in the 53rd place are less than this.
  const doubt = value * 2 ** -50;
  return Math.fround(value - doubt) === Math.fround(value + doubt) ? value : Number.NaN;
}
/** (head · 10^tails + tail) · 10^scale, rounded as it should be; NaN where that takes more than this. */
function doubleOf(head: number, tail: number, digits: number, tails: number, scale: number): number {
  if (digits <= 15) {
    const value = head * (powers[tails] ?? 1) + tail;
    // Both are exact, so that one operation rounds once (Clinger 1990, "How to read floating point numbers accurately").
    if (scale <= 0 && scale >= -22) return value / (powers[-scale] ?? 1);
    return scale > 0 && scale <= 22 ? value * (powers[scale] ?? 1) : value === 0 ? 0 : Number.NaN;
  }
  if (scale > 0 || scale < -22) return Number.NaN;
  // All digits, as the sum of two doubles.
  const product = head * (powers[tails] ?? 1);
  const sum = product + tail;
  const rest = productError(head, tails, product) + (tail - (sum - product));
  if (scale === 0) return sum + rest;
  const divisor = powers[-scale] ?? 1;
  const quotient = sum / divisor;
  const back = quotient * divisor;
  const correction = (sum - back - productError(quotient, -scale, back) + rest) / divisor;
  // What is left out of the correction is far less than this: where it could decide, the digits are read by who knows them all.
  const doubt = Math.abs(correction) * 2 ** -48;
  const least = quotient + (correction - doubt);
  return least === quotient + (correction + doubt) ? least : Number.NaN;
}
/** What `product` lacks to value · 10^exponent. */
function productError(value: number, exponent: number, product: number): number {
  const high = splitter * value - (splitter * value - value);
  const low = value - high;
  const [otherHigh, otherLow] = [upper[exponent] ?? 0, lower[exponent] ?? 0];
  return low * otherLow - (product - high * otherHigh - low * otherHigh - high * otherLow);
}

function textOf(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let at = from; at < to; at++) text += String.fromCharCode(bytes[at] ?? 0);
  return text;
}
