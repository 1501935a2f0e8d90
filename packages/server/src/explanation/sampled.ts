/** Shapley values of any model, estimated by permutations. */
import { isDeepStrictEqual } from "node:util";

/** So many rows are given to the model at once. */
const rowsAtOnce = 1_024;

export interface Sampled {
  base: number;
  /** By player. */
  values: number[];
  /** Standard errors. */
  errors: number[];
}

/**
 * Each background row is one draw: a random order of the players in which they change from the background row's value to the explained row's, one after
 * the other, and the same order backwards (antithetic pairs: Mitchell, Cooper, Frank, Holmes 2022, "Sampling Permutations for Shapley Value Estimation",
 * JMLR 23). What a player changes is averaged over both and over all draws, so that the values sum to the explained output less the base, the mean output of
 * the background. The standard error is that of the mean of the draws.
 *
 * `predict` answers for rows, each a list of one value a player.
 */
export async function sampleShapley<T>(
  row: readonly T[],
  background: readonly (readonly T[])[],
  { predict, seed }: { predict: (rows: readonly (readonly T[])[]) => Promise<Float64Array>; seed: number },
): Promise<Sampled> {
  const random = randomNumbers(seed);
  const draws = background.map((from) => {
    // A player that has the same value on both sides changes nothing, wherever it stands.
    const differ = [...row.keys()].filter((player) => !isDeepStrictEqual(row[player], from[player]));
    const order = shuffled(differ, random);
    return { from, orders: differ.length < 2 ? [order] : [order, order.toReversed()] };
  });

  const asked: (readonly T[])[] = [row];
  for (const { from, orders } of draws) {
    asked.push(from);
    for (const order of orders) {
      const now = [...from];
      for (const player of order.slice(0, -1)) {
        const value = row[player];
        if (value !== undefined) now[player] = value;
        asked.push([...now]);
      }
    }
  }
  const answers = new Float64Array(asked.length);
  for (let at = 0; at < asked.length; at += rowsAtOnce) answers.set(await predict(asked.slice(at, at + rowsAtOnce)), at);

  const output = answers[0] ?? Number.NaN;
  const sums = { value: row.map(() => 0), square: row.map(() => 0), base: 0 };
  let at = 1;
  for (const { orders } of draws) {
    const base = answers[at++] ?? Number.NaN;
    sums.base += base;
    const gained = row.map(() => 0);
    for (const order of orders) {
      let before = base;
      for (const [step, player] of order.entries()) {
        const after = step === order.length - 1 ? output : (answers[at++] ?? Number.NaN);
        gained[player] = (gained[player] ?? 0) + (after - before) / orders.length;
        before = after;
      }
    }
    for (const [player, value] of gained.entries()) {
      sums.value[player] = (sums.value[player] ?? 0) + value;
      sums.square[player] = (sums.square[player] ?? 0) + value ** 2;
    }
  }
  const n = draws.length;
  return {
    base: sums.base / n,
    values: sums.value.map((sum) => sum / n),
    errors: sums.value.map((sum, player) => Math.sqrt(Math.max(0, (sums.square[player] ?? 0) - sum ** 2 / n) / Math.max(1, n - 1) / n)),
  };
}

function shuffled(list: readonly number[], random: () => number): number[] {
  const order = [...list];
  for (let at = order.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    const [a, b] = [order[at], order[other]];
    if (a !== undefined && b !== undefined) [order[at], order[other]] = [b, a];
  }
  return order;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32: Ettinger 2017, public domain). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
