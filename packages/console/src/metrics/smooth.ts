/**
 * An exponential moving average over points that need not be evenly spaced: what was before counts less by `weight` for each mean distance between two
 * points, and the average is divided by the sum of its weights, so that the first values are not drawn to zero (Kingma and Ba, Adam, 2015, section 3,
 * on correcting such a bias). A series of more than 300 points is taken as 300: the same weight then smooths long and thinned series to the same degree.
 */
export function smoothed(x: readonly number[], value: readonly number[], weight: number): number[] {
  if (weight <= 0 || value.length < 3) return [...value];
  const length = (x.at(-1) ?? 0) - (x[0] ?? 0);
  const distance = length / (Math.min(value.length, 300) - 1);
  let [sum, weights, before] = [0, 0, x[0] ?? 0];
  return value.map((one, i) => {
    const at = x[i] ?? before;
    const kept = distance > 0 ? weight ** ((at - before) / distance) : weight;
    before = at;
    sum = sum * kept + one;
    weights = weights * kept + 1;
    return sum / weights;
  });
}
