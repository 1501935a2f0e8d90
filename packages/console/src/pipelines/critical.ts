/** The steps that decided how long a run took. */

export interface Span {
  id: string;
  from: number;
  to: number;
  needs: readonly string[];
}
/** From what ended last back, each time to the one that it waited for longest. Ids from the first to the last. */
export function criticalPath(spans: readonly Span[]): string[] {
  const byId = new Map(spans.map((span) => [span.id, span]));
  let at = spans.reduce<Span | undefined>((last, span) => (last === undefined || span.to > last.to ? span : last), undefined);
  const path: string[] = [];
  while (at !== undefined && !path.includes(at.id)) {
    path.unshift(at.id);
    const before: (Span | undefined)[] = at.needs.map((id) => byId.get(id));
    at = before.reduce<Span | undefined>((last, span) => (span !== undefined && (last === undefined || span.to > last.to) ? span : last), undefined);
  }
  return path;
}

/** Bars that overlap stand in lanes below one another. The lane of each, in the order given; bars are in the order of their beginning. */
export function lanesOf(bars: readonly { from: number; to: number }[]): number[] {
  const ends: number[] = [];
  return bars.map(({ from, to }) => {
    const free = ends.findIndex((end) => end <= from);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = to;
    return lane;
  });
}

/** Round moments for an axis, at most `most` of them. */
export function ticksOf(lengthMs: number, most = 8): number[] {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];
  const step = steps.find((one) => lengthMs / one <= most) ?? 864e5 * Math.ceil(lengthMs / 864e5 / most);
  return Array.from({ length: Math.floor(lengthMs / step) + 1 }, (_, i) => i * step);
}
