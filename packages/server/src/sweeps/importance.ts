/** How much a param matters to the goal, by itself. */
import type { SweepPlots } from "@millrace/sdk/api";
import type { PlainValue, SearchRange } from "@millrace/sdk/spec";

interface Tried {
  params: Readonly<Record<string, PlainValue>>;
  value: number;
}

/** The most important first. With fewer than three trials nothing can be said. */
export function importances(over: Readonly<Record<string, SearchRange>>, trials: readonly Tried[]): SweepPlots["importance"] {
  if (trials.length < 3) return [];
  const goal = ranks(trials.map((one) => one.value));
  return Object.entries(over)
    .map(([param, range]) => {
      const values = trials.map((one) => one.params[param]);
      const numbers = values.filter((value) => typeof value === "number");
      return range.kind !== "choice" || numbers.length === values.length
        ? { param, importance: Math.abs(correlation(ranks(numbers), goal)), method: "spearman" as const }
        : { param, importance: correlationRatio(values.map(String), goal), method: "correlation_ratio" as const };
    })
    .sort((a, b) => b.importance - a.importance);
}

/** From 1; equal values share the mean of their ranks. */
function ranks(values: readonly number[]): number[] {
  const order = values.map((value, i) => ({ value, i })).sort((a, b) => a.value - b.value);
  const found: number[] = new Array(values.length).fill(0);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (order[to + 1]?.value === order[from]?.value) to++;
    for (let k = from; k <= to; k++) found[order[k]?.i ?? 0] = (from + to) / 2 + 1;
    from = to + 1;
  }
  return found;
}
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Pearson's, which on ranks is Spearman's. 0 where either does not vary. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [mean(a), mean(b)];
  let [both, onlyA, onlyB] = [0, 0, 0];
  a.forEach((value, i) => {
    const [x, y] = [value - meanA, (b[i] ?? 0) - meanB];
    both += x * y;
    onlyA += x * x;
    onlyB += y * y;
  });
  return onlyA === 0 || onlyB === 0 ? 0 : both / Math.sqrt(onlyA * onlyB);
}

/** Eta: the root of the share of the values' variance that lies between the categories. */
function correlationRatio(categories: readonly string[], values: readonly number[]): number {
  const all = mean(values);
  const total = values.reduce((sum, value) => sum + (value - all) ** 2, 0);
  const groups = new Map<string, number[]>();
  values.forEach((value, i) => {
    const key = categories[i] ?? "";
    groups.set(key, [...(groups.get(key) ?? []), value]);
  });
  const between = [...groups.values()].reduce((sum, group) => sum + group.length * (mean(group) - all) ** 2, 0);
  return total === 0 ? 0 : Math.sqrt(between / total);
}
