/** What an endpoint of this process does just now: bounded, and of real time. */
const kept = 4_096;
const spanMs = 60_000;

export interface Traffic {
  observe(milliseconds: number): void;
  summary(): { requestsPerSecond: number; latency: { p50Ms: number | null; p99Ms: number | null } };
}

export function watchTraffic(): Traffic {
  const times = new Float64Array(kept);
  const durations = new Float64Array(kept);
  let count = 0;
  return {
    observe(milliseconds) {
      times[count % kept] = performance.now();
      durations[count % kept] = milliseconds;
      count++;
    },
    summary() {
      const now = performance.now();
      const size = Math.min(count, kept);
      const recent: number[] = [];
      let oldest = now;
      for (let i = 0; i < size; i++) {
        const time = times[i] ?? 0;
        if (now - time > spanMs) continue;
        recent.push(durations[i] ?? 0);
        oldest = Math.min(oldest, time);
      }
      recent.sort((a, b) => a - b);
      const at = (share: number) => recent[Math.min(recent.length - 1, Math.floor(share * recent.length))] ?? null;
      // Where more came than is kept, the kept ones say how fast they come.
      const seconds = recent.length === kept ? Math.max(0.001, (now - oldest) / 1000) : spanMs / 1000;
      return { requestsPerSecond: recent.length / seconds, latency: { p50Ms: at(0.5), p99Ms: at(0.99) } };
    },
  };
}
