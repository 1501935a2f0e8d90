/** At most `places` pieces of work at a time; the others wait in the order in which they came. */
export type Limit = <T>(work: () => Promise<T>) => Promise<T>;

export function limit(places: number): Limit {
  const waiting: (() => void)[] = [];
  let free = places;
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}
