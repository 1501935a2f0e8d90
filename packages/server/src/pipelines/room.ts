/** Why nobody begins a step that is ready. Worked out when somebody asks, since workers come and go. */
import { sql } from "kysely";
import type { Platform } from "../platform/index.js";
import type { StepRow } from "./rows.js";

interface ReadyRow {
  id: string;
  backend: string | null;
  gpus: number;
  place: string;
  grouped: string | null;
  group_limit: number | null;
  /** Steps of its group that run. */
  in_group: number;
  /** The pause before its next attempt. */
  due: Date | null;
}
interface AliveWorker {
  backends: string[];
  gpus: number;
}

/** By the step's id, of those of these rows that are ready. */
export async function whyNotBegun(db: Platform["db"], run: string, rows: readonly StepRow[]): Promise<Map<string, string>> {
  const ids = rows.filter((row) => row.state === "ready").map((row) => row.id);
  if (ids.length === 0) return new Map();
  const workers = await sql<AliveWorker>`select backends, gpus from pipeline_worker where seen_at > clock_timestamp() - interval '10 seconds'`.execute(db);
  const ready = await sql<ReadyRow>`
    select s.id, s.backend, s.gpus, s.place, s.grouped, s.group_limit, case when s.due > clock_timestamp() then s.due end as due,
      case when s.grouped is null then 0 else (select count(*)::int from pipeline_step g where g.state = 'running' and g.grouped = s.grouped) end as in_group
    from pipeline_step s where s.run = ${run} and s.id = any(${ids}::text[]) and s.state = 'ready'`.execute(db);
  return new Map(ready.rows.map((row) => [row.id, whyOf(row, workers.rows)]));
}

function whyOf({ backend, gpus, place, grouped, group_limit, in_group, due }: ReadyRow, workers: readonly AliveWorker[]): string {
  if (workers.length === 0) return "waits for a worker: none is alive";
  const able = backend === null ? workers : workers.filter((worker) => worker.backends.includes(backend));
  if (backend !== null && able.length === 0) {
    // What runs TypeScript is no backend that a step can name.
    const there = [...new Set(workers.flatMap((worker) => worker.backends))].filter((name) => name !== "typescript").sort();
    return `waits for a worker with the backend "${backend}": those that are alive have ${there.join(", ")}. docs/compute.md says how to set one up`;
  }
  const most = Math.max(...able.map((worker) => worker.gpus));
  if (place === "process" && gpus > most)
    return `waits for a worker with ${gpus} ${gpus === 1 ? "GPU" : "GPUs"}: those that are alive have ${most === 0 ? "none" : `at most ${most}`}. A worker says with MILLRACE_GPUS how many it has`;
  if (due !== null) return `waits for its next attempt, at ${due.toISOString()}`;
  if (grouped !== null && in_group >= (group_limit ?? 1)) return `waits for its group "${grouped}", of which ${group_limit ?? 1} may run at a time`;
  return "waits until a worker has room";
}
