const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** Milliseconds of a duration such as `90s`, `3h`, `7d`. Throws a RangeError on any other form. */
export function durationMs(text: string): number {
  const match = /^([0-9]+)(ms|s|m|h|d|w)$/.exec(text);
  if (match === null) throw new RangeError(`"${text}" is not a duration: write a whole number and one of ms, s, m, h, d, w, as in "3h"`);
  return Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
}
