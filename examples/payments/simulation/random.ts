/**
 * Chance that is the same for equal seeds: sfc32 of PractRand (Chris Doty-Humphrey), seeded from a text by FNV-1a. Every day and every
 * person has a seed of its own, so that any day can be made without the days before it.
 */
export function openRandom(seed: string) {
  let [a, b, c, count] = [fnv(seed, 0), fnv(seed, 1), fnv(seed, 2), 1];
  /** 0 ≤ x < 1, 32 bits of it. */
  function uniform(): number {
    const out = (((a + b) | 0) + count) | 0;
    count = (count + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + out) | 0;
    return (out >>> 0) / 2 ** 32;
  }
  for (let i = 0; i < 12; i++) uniform();
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const integer = (from: number, to: number): number => from + Math.floor(uniform() * (to - from + 1));
  return {
    uniform,
    between: (from: number, to: number): number => from + uniform() * (to - from),
    /** Both ends included. */
    integer,
    chance: (share: number): boolean => uniform() < share,
    logNormal: (median: number, sigma: number): number => median * Math.exp(sigma * normal()),
    exponential: (mean: number): number => -mean * Math.log(1 - uniform()),
    /** By Knuth's product, for the small means that are asked for here. */
    poisson(mean: number): number {
      const limit = Math.exp(-mean);
      let n = 0;
      for (let product = uniform(); product > limit; product *= uniform()) n++;
      return n;
    },
    pick<T>(of: readonly [T, ...T[]]): T {
      return of[integer(0, of.length - 1)] ?? of[0];
    },
    /** The index of a weight, by sums of weights up to each. */
    weighted(sums: readonly number[]): number {
      const place = uniform() * (sums.at(-1) ?? 0);
      let [low, high] = [0, sums.length - 1];
      while (low < high) {
        const middle = (low + high) >>> 1;
        if ((sums[middle] ?? 0) <= place) low = middle + 1;
        else high = middle;
      }
      return low;
    },
  };
}
export type Random = ReturnType<typeof openRandom>;

function fnv(text: string, salt: number): number {
  let hash = 0x811c9dc5 ^ salt;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 0;
}

/** Sums of weights up to each, for `weighted`. */
export function sumsOf(weights: readonly number[]): number[] {
  let sum = 0;
  return weights.map((weight) => {
    sum += weight;
    return sum;
  });
}
