/** A share that is never seen would make the index infinite. */
const least = 1e-4;

/**
 * The population stability index Σ (p − q) ln(p / q) over the bins, where q are the reference's shares and p those of now, each at least
 * 0.0001 (Siddiqi, Credit Risk Scorecards, 2006, p. 136). Below 0.1 is taken as no change, above 0.2 or 0.25 as a shift. null without rows.
 */
export function populationStability(reference: number[], now: number[]): number | null {
  const total = (counts: number[]) => counts.reduce((sum, count) => sum + count, 0);
  const [before, after] = [total(reference), total(now)];
  if (before === 0 || after === 0) return null;
  let index = 0;
  for (const [bin, count] of now.entries()) {
    const p = Math.max(least, count / after);
    const q = Math.max(least, (reference[bin] ?? 0) / before);
    index += (p - q) * Math.log(p / q);
  }
  return index;
}
