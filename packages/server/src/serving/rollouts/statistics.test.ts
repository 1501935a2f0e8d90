import { describe, expect, test } from "vitest";
import { placeOf, reallocate, type Share, versionAt } from "./assignment.js";
import { compareMeans, normalCdf, normalQuantile, ratioMismatch, sampleOf, sampleSize } from "./power.js";
import { confidenceSequence } from "./sequential.js";
import { addTo, merge, quantile, type Sketch, sameBins, sizeOf } from "./sketch.js";

/** mulberry32: the same numbers on every machine. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

describe("a confidence sequence", () => {
  const looks = 2_000;
  /** The share of trials in which, looking after each observation, zero was ever outside. */
  function alarms(trials: number, alpha: number, draw: (next: () => number) => number): number {
    let raised = 0;
    for (let trial = 0; trial < trials; trial++) {
      const next = random(trial + 1);
      const sequence = confidenceSequence({ from: -1, to: 1, alpha });
      for (let i = 0; i < looks; i++) {
        sequence.observe(draw(next));
        const { lower, upper } = sequence.interval;
        if (lower > 0 || upper < 0) {
          raised++;
          break;
        }
      }
    }
    return raised / trials;
  }

  test.each([
    ["mostly equal, now and then far apart", (next: () => number) => (next() < 0.9 ? 0 : next() < 0.5 ? 1 : -1)],
    ["skewed: rarely much better, mostly a little worse", (next: () => number) => (next() < 0.05 ? 0.95 : -0.05)],
    ["coins", (next: () => number) => (next() < 0.5 ? 1 : -1)],
  ])("raises a false alarm in less than alpha of the trials, looked at after each observation: %s", (_, draw) => {
    expect(alarms(1_000, 0.05, draw)).toBeLessThanOrEqual(0.05);
  });

  test("a test of a fixed sample, looked at as often, is wrong most of the time: that is what the sequence is for", () => {
    let raised = 0;
    for (let trial = 0; trial < 200; trial++) {
      const next = random(trial + 1);
      let [sum, squares] = [0, 0];
      for (let i = 1; i <= looks; i++) {
        const value = next() < 0.5 ? 1 : -1;
        sum += value;
        squares += value * value;
        if (i > 10 && Math.abs(sum) > 1.96 * Math.sqrt(squares)) {
          raised++;
          break;
        }
      }
    }
    expect(raised / 200).toBeGreaterThan(0.25);
  });

  test("finds a difference that is there, and its interval closes in on it", () => {
    const next = random(7);
    const sequence = confidenceSequence({ from: -1, to: 1, alpha: 0.05 });
    let found: number | undefined;
    for (let i = 0; i < 20_000; i++) {
      sequence.observe(0.05 + 0.2 * (next() - 0.5));
      if (found === undefined && sequence.interval.lower > 0) found = i;
    }
    expect(found).toBeLessThan(400);
    const { lower, upper } = sequence.interval;
    expect(lower).toBeLessThan(0.05);
    expect(upper).toBeGreaterThan(0.05);
    expect(upper - lower).toBeLessThan(0.01);
    expect(sequence.mean).toBeCloseTo(0.05, 2);
  });
});

describe("a fixed sample", () => {
  test("the normal distribution is that of the tables", () => {
    expect(normalQuantile(0.975)).toBeCloseTo(1.959964, 4);
    expect(normalQuantile(0.8)).toBeCloseTo(0.841621, 4);
    expect(normalCdf(-1.644854)).toBeCloseTo(0.05, 6);
  });
  test("a sample's size is the textbook's: 20% against 25%, alpha 5%, power 80%, 1,006 to 1,100 each by the usual approximations", () => {
    const size = sampleSize({ alpha: 0.05, power: 0.8, effect: 0.05, variance: 0.2 * 0.8 }, 1);
    expect(size).toBe(1005);
    expect(sampleSize({ alpha: 0.05, power: 0.8, effect: 0.05, variance: 0.16 }, 3)).toBeGreaterThan(size);
  });
  test("finds what is there as often as its power says, and what is not there as rarely as alpha", () => {
    const size = sampleSize({ alpha: 0.05, power: 0.8, effect: 0.1, variance: 0.25 }, 1);
    const next = random(3);
    const found = (p: number) => {
      let times = 0;
      for (let trial = 0; trial < 400; trial++) {
        const draw = (rate: number) => sampleOf(Array.from({ length: size }, () => (next() < rate ? 1 : 0)));
        if (compareMeans(draw(p), draw(0.5), 0.05).p < 0.05) times++;
      }
      return times / 400;
    };
    expect(found(0.6)).toBeGreaterThan(0.74);
    expect(found(0.5)).toBeLessThan(0.09);
  });
  test("a split that is not the declared one is seen", () => {
    expect(ratioMismatch([500, 500], [0.5, 0.5])).toBe(1);
    // χ² = 4 with one degree of freedom.
    expect(ratioMismatch([5_100, 4_900], [1, 1])).toBeCloseTo(0.0455, 4);
    // χ² = 2 with two degrees of freedom: exp(-1).
    expect(ratioMismatch([110, 100, 90], [1, 1, 1])).toBeCloseTo(Math.exp(-1), 9);
    expect(ratioMismatch([8_000, 4_000], [0.5, 0.5])).toBeLessThan(1e-10);
  });
});

describe("keys", () => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `customer-${i}`);
  const shareOf = (of: readonly (number | undefined)[], version: number | undefined) => of.filter((one) => one === version).length / of.length;
  const assign = (slots: Parameters<typeof versionAt>[0]) => keys.map((key) => versionAt(slots, placeOf(key)));

  test("stay with their version while its weight grows, however many versions there are", () => {
    const steps: Share[][] = [
      [{ version: 2, weight: 0.05 }],
      [
        { version: 2, weight: 0.1 },
        { version: 3, weight: 0.1 },
      ],
      [
        { version: 2, weight: 0.1 },
        { version: 3, weight: 0.3 },
      ],
      [
        { version: 2, weight: 0.35 },
        { version: 3, weight: 0.3 },
        { version: 4, weight: 0.2 },
      ],
      [
        { version: 2, weight: 0.4 },
        { version: 3, weight: 0.4 },
        { version: 4, weight: 0.2 },
      ],
    ];
    let slots: Parameters<typeof versionAt>[0] = [];
    let before = assign(slots);
    for (const step of steps) {
      slots = reallocate(slots, step);
      const now = assign(slots);
      for (const { version, weight } of step) expect(shareOf(now, version)).toBeCloseTo(weight, 1.5);
      expect(before.every((version, i) => version === undefined || version === now[i])).toBe(true);
      before = now;
    }
    expect(shareOf(before, undefined)).toBe(0);
  });

  test("move only as far as they must when a weight shrinks", () => {
    const first = reallocate(
      [],
      [
        { version: 2, weight: 0.5 },
        { version: 3, weight: 0.5 },
      ],
    );
    const second = reallocate(first, [
      { version: 2, weight: 0.2 },
      { version: 3, weight: 0.8 },
    ]);
    const [before, after] = [assign(first), assign(second)];
    expect(before.filter((version, i) => version === 3 && after[i] !== 3)).toEqual([]);
    expect(shareOf(after, 2)).toBeCloseTo(0.2, 1.5);
    expect(reallocate(second, [])).toEqual([]);
  });
});

describe("a sketch", () => {
  const next = random(11);
  const values = Array.from({ length: 10_000 }, () => Math.exp(4 * next() - 2));
  const of = (list: readonly number[]) => {
    const sketch: Sketch = {};
    for (const value of list) addTo(sketch, value);
    return sketch;
  };

  test("tells quantiles to a relative accuracy of 1%, also when it was added up from several", () => {
    const sketch = merge(of(values.slice(0, 3_000)), of(values.slice(3_000)));
    const sorted = [...values].sort((a, b) => a - b);
    for (const share of [0, 0.1, 0.5, 0.99, 1]) {
      const exact = sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
      expect(Math.abs((quantile(sketch, share) ?? 0) / exact - 1)).toBeLessThan(0.0101);
    }
    expect(sizeOf(sketch)).toBe(10_000);
    expect(quantile({}, 0.5)).toBeNull();
    expect(quantile(of([-3, 0, 2]), 0)).toBeCloseTo(-3, 1);
  });

  test("puts two into the same bins, of a tenth of the first each", () => {
    const { first, second } = sameBins(of(values), of(values.map((value) => value * 3)));
    expect(first).toHaveLength(10);
    for (const count of first) expect(count).toBeGreaterThan(800);
    expect(second.at(-1)).toBeGreaterThan(2_500);
    expect(sameBins(of([0, 0, 0]), of([0, 1]))).toEqual({ first: expect.arrayContaining([3]), second: expect.any(Array) });
  });
});
