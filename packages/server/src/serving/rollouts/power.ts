/** Tests of a fixed sample: how large it has to be, and what it says when it is there. */

/** The standard normal's distribution function, by the complementary error function of Numerical Recipes, 3rd edition, § 6.2.2 (error below 1.2e-7). */
export function normalCdf(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 2 / (2 + x);
  const polynomial =
    -1.26551223 +
    t *
      (1.00002368 +
        t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
  const tail = 0.5 * t * Math.exp(-x * x + polynomial);
  return z > 0 ? 1 - tail : tail;
}

/** Where the standard normal's distribution function is `p`, 0 < p < 1: halving, to the last digit that it has. */
export function normalQuantile(p: number): number {
  let [low, high] = [-9, 9];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

export interface Power {
  /** The probability of finding a difference where there is none, over all comparisons together. */
  alpha: number;
  /** The probability of finding a difference that is as large as `effect`. */
  power: number;
  /** The least difference of means that matters. */
  effect: number;
  /** Of one unit's value. */
  variance: number;
}

/**
 * How many units an arm and the control need each, for a two-sided test of the difference of two means by `comparisons` arms against one control, alpha divided among
 * them (Bonferroni): n = 2 σ² (z₁₋α/₂ + z_power)² / δ² (Chow, Shao and Wang, Sample Size Calculations in Clinical Research, 2nd edition, p. 58).
 */
export function sampleSize({ alpha, power, effect, variance }: Power, comparisons: number): number {
  const z = normalQuantile(1 - alpha / comparisons / 2) + normalQuantile(power);
  return Math.ceil((2 * variance * z ** 2) / effect ** 2);
}

/** Units of one arm: how many, their mean, and the variance between them. */
export interface Sample {
  count: number;
  mean: number;
  variance: number;
}
export function sampleOf(values: readonly number[]): Sample {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, count);
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, count - 1);
  return { count, mean, variance };
}

/** The difference of two means with its interval and the two-sided p-value, by the normal approximation for unequal variances (Welch, 1938). */
export function compareMeans(arm: Sample, control: Sample, alpha: number): { difference: number; lower: number; upper: number; p: number } {
  const difference = arm.mean - control.mean;
  const error = Math.sqrt(arm.variance / arm.count + control.variance / control.count);
  const radius = normalQuantile(1 - alpha / 2) * error;
  const p = error === 0 ? (difference === 0 ? 1 : 0) : 2 * normalCdf(-Math.abs(difference) / error);
  return { difference, lower: difference - radius, upper: difference + radius, p };
}

/**
 * How likely counts at least as far from the declared shares are by chance: Pearson's χ² test. Where it is next to nothing, something other than the split decides who
 * is counted, and the arms can't be compared (Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019).
 */
export function ratioMismatch(counts: readonly number[], shares: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const whole = shares.reduce((sum, share) => sum + share, 0);
  if (total === 0 || counts.length < 2) return 1;
  let statistic = 0;
  for (const [i, count] of counts.entries()) {
    const expected = (total * (shares[i] ?? 0)) / whole;
    statistic += (count - expected) ** 2 / expected;
  }
  return gammaTail((counts.length - 1) / 2, statistic / 2);
}

/** The regularized upper incomplete gamma function Q(a, x): by its series below a + 1, and by its continued fraction above (Numerical Recipes, § 6.2.1). */
function gammaTail(a: number, x: number): number {
  if (x <= 0) return 1;
  const scale = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; n < 1_000 && term > sum * 1e-14; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return Math.max(0, 1 - sum * scale);
  }
  let b = x + 1 - a;
  let c = 1e300;
  let d = 1 / b;
  let fraction = d;
  for (let n = 1; n < 1_000; n++) {
    const an = -n * (n - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-14) break;
  }
  return scale * fraction;
}
/** Stirling's series, for arguments that are shifted to 10 and more. */
function logGamma(a: number): number {
  let shift = 0;
  let x = a;
  for (; x < 10; x++) shift += Math.log(x);
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * x) - 1 / (360 * x ** 3) + 1 / (1260 * x ** 5) - shift;
}
