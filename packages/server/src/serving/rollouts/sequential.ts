/** What can be said about a mean however often one looks. */

export interface Interval {
  lower: number;
  upper: number;
}
export interface ConfidenceSequence {
  observe(value: number): void;
  readonly count: number;
  /** Of what was observed; 0 before anything was. */
  readonly mean: number;
  /** Holds the mean at all moments together, with a probability of at least 1 − alpha. */
  readonly interval: Interval;
}

/** No bet is larger, so that one observation does not decide. */
const largestBet = 0.5;

/**
 * A confidence sequence for the mean of values between two bounds: it holds the mean at every number of observations at once, so whoever looks after each of
 * them and stops when they like is wrong with a probability of `alpha` at most. A p-value or an interval of a fixed sample is not like that: looked at again
 * and again it finds a difference in the end where there is none.
 *
 * The predictable plug-in empirical Bernstein sequence: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024),
 * theorem 2 with equation (15); of the kind of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
 * Statistics 49 (2021), theorem 4. It asks for no distribution: only that no value lies outside of the bounds, which are cut to them, and that what is expected of
 * each does not depend on those before. All intervals hold at once, so what is told is where they meet.
 */
export function confidenceSequence({ from, to, alpha }: { from: number; to: number; alpha: number }): ConfidenceSequence {
  const width = to - from;
  const evidence = Math.log(2 / alpha);
  let count = 0;
  let sum = 0;
  /** Of values scaled to [0, 1]: with half an observation of 1/2 in front, as the theorem has it. */
  let scaled = 0.5;
  let squares = 0.25;
  let bets = 0;
  let weighted = 0;
  let spread = 0;
  let lower = 0;
  let upper = 1;
  return {
    observe(value) {
      const x = (Math.min(to, Math.max(from, value)) - from) / width;
      // The bet is made before the value is known.
      const before = scaled / (count + 1);
      const variance = squares / (count + 1);
      count++;
      const bet = Math.min(largestBet, Math.sqrt((2 * evidence) / (variance * count * Math.log(1 + count))));
      bets += bet;
      weighted += bet * x;
      spread += 4 * (x - before) ** 2 * ((-Math.log(1 - bet) - bet) / 4);
      scaled += x;
      squares += (x - scaled / (count + 1)) ** 2;
      sum += Math.min(to, Math.max(from, value));
      const center = weighted / bets;
      const radius = (evidence + spread) / bets;
      lower = Math.max(lower, center - radius);
      upper = Math.min(upper, center + radius);
    },
    get count() {
      return count;
    },
    get mean() {
      return count === 0 ? 0 : sum / count;
    },
    get interval() {
      return { lower: from + width * lower, upper: from + width * upper };
    },
  };
}
