/** What this worker has for steps, and what of it is free. */
import { availableParallelism, totalmem } from "node:os";
import type { Demand, Room } from "./queue.js";

export interface Capacity {
  total: Room;
  /** What is free now. */
  free(): Room;
  /** Takes it where there is room. */
  take(demand: Demand): boolean;
  release(demand: Demand): void;
}

export function roomOfMachine(): Room {
  const cpus = availableParallelism();
  return { cpus, memory: totalmem(), gpus: Number(process.env.MILLRACE_GPUS ?? 0) || 0, light: 2 * cpus, remote: 100 };
}

export function openCapacity(total: Room): Capacity {
  const free = { ...total };
  /** CPUs and memory that a machine does not have are no reason not to begin there: the step has it for itself then. GPUs are. */
  const taken = (demand: Demand): Room => ({
    light: demand.place === "light" ? 1 : 0,
    remote: demand.place === "remote" ? 1 : 0,
    ...(demand.place === "process"
      ? { cpus: Math.min(demand.cpus, total.cpus), memory: Math.min(demand.memory, total.memory), gpus: demand.gpus }
      : { cpus: 0, memory: 0, gpus: 0 }),
  });
  const names = ["cpus", "memory", "gpus", "light", "remote"] as const;
  return {
    total,
    free: () => ({ ...free }),
    take(demand) {
      const wanted = taken(demand);
      if (demand.place === "none" || names.some((name) => wanted[name] > free[name] + 1e-9)) return false;
      for (const name of names) free[name] -= wanted[name];
      return true;
    },
    release(demand) {
      const wanted = taken(demand);
      for (const name of names) free[name] += wanted[name];
    },
  };
}
