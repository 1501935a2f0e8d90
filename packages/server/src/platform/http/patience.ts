/**
 * For how long, in seconds, whoever is sent away is to stay away: as long as this has been going on already. MLflow's client comes again seven times and
 * waits as it is told each time: with a second each it gives up after seven, and PostgreSQL may need longer to recover; so it goes on for a minute.
 */
const most = 30;

export function createPatience(now: () => number = () => performance.now() / 1_000): () => number {
  let since = 0;
  /** Until when somebody who was told comes again; when nobody was sent away until then, and as long again, it is over. */
  let until = Number.NEGATIVE_INFINITY;
  return () => {
    const at = now();
    if (at > until) since = at;
    const told = Math.min(Math.max(Math.floor(at - since), 1), most);
    until = Math.max(until, at + 2 * told + 1);
    return told;
  };
}

/** Of this process: it has one PostgreSQL and one thread. */
export const patience = createPatience();
