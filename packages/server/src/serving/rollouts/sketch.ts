/**
 * How numbers are distributed, to a relative accuracy of 1%, in little memory and so that what several processes saw can be added: counts in bins whose edges grow by a
 * factor (DDSketch: Masson, Rim and Lee, VLDB 2019, § 2). As JSON it is the counts by bin: `p<i>` and `n<i>` of positive and negative numbers, and `0`.
 */
export type Sketch = Record<string, number>;

const growth = 1.02;
const logGrowth = Math.log(growth);
/** What is closer to zero is zero, and what is further away is as far. */
const [least, most] = [1e-9, 1e12];

/** What is no number is left out. */
export function addTo(sketch: Sketch, value: number): void {
  if (Number.isNaN(value)) return;
  const bin = binOf(value);
  sketch[bin] = (sketch[bin] ?? 0) + 1;
}
export function merge(into: Sketch, more: Sketch): Sketch {
  for (const [bin, count] of Object.entries(more)) into[bin] = (into[bin] ?? 0) + count;
  return into;
}
export const sizeOf = (sketch: Sketch): number => Object.values(sketch).reduce((sum, count) => sum + count, 0);

/** The value below which a share of the numbers lies; null without any. */
export function quantile(sketch: Sketch, share: number): number | null {
  const bins = ordered(sketch);
  const total = bins.reduce((sum, { count }) => sum + count, 0);
  let seen = 0;
  for (const { value, count } of bins) {
    seen += count;
    if (seen > share * (total - 1)) return value;
  }
  return null;
}

const parts = 10;
/** Both in the same bins, of a tenth of the first each, for an index of how far they are apart. */
export function sameBins(first: Sketch, second: Sketch): { first: number[]; second: number[] } {
  const numbers = ordered(first);
  const total = numbers.reduce((sum, { count }) => sum + count, 0);
  const edges: number[] = [];
  let seen = 0;
  for (const { value, count } of numbers) {
    seen += count;
    if (seen >= ((edges.length + 1) * total) / parts && edges.length < parts - 1) edges.push(value);
  }
  const into = (sketch: Sketch): number[] => {
    const counts = new Array<number>(edges.length + 1).fill(0);
    for (const { value, count } of ordered(sketch)) {
      const found = edges.findIndex((edge) => value <= edge);
      const at = found === -1 ? edges.length : found;
      counts[at] = (counts[at] ?? 0) + count;
    }
    return counts;
  };
  return { first: into(first), second: into(second) };
}

function binOf(value: number): string {
  const size = Math.abs(value);
  if (size < least) return "0";
  const index = Math.ceil(Math.log(Math.min(size, most)) / logGrowth);
  return `${value > 0 ? "p" : "n"}${index}`;
}
/** The numbers by their bins' middles, smallest first. */
function ordered(sketch: Sketch): { value: number; count: number }[] {
  const found: { value: number; count: number }[] = [];
  for (const [bin, count] of Object.entries(sketch)) {
    if (bin === "0") found.push({ value: 0, count });
    else {
      const size = (2 * growth ** Number(bin.slice(1))) / (1 + growth);
      found.push({ value: bin.startsWith("n") ? -size : size, count });
    }
  }
  return found.sort((a, b) => a.value - b.value);
}
