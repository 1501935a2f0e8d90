import type { Schedule, ScheduleCreate, ScheduleEdit, ScheduleFiring, ScheduleMoment } from "@millrace/sdk/api";

export interface Schedules {
  schedules(): Promise<Schedule[]>;
  /** Throws a 404 where there is none. */
  schedule(name: string): Promise<Schedule>;
  create(schedule: ScheduleCreate, by: string): Promise<Schedule>;
  edit(name: string, change: ScheduleEdit, by: string): Promise<Schedule>;
  /** What a project defines holds again, whole. */
  reset(name: string, by: string): Promise<Schedule>;
  setPaused(name: string, paused: boolean, by: string): Promise<Schedule>;
  /** Only what was made by API: a definition goes with its project's next version. */
  delete(name: string): Promise<Schedule>;
  /** Starts its run now, for this moment, whatever is under way. */
  fire(name: string, by: string): Promise<ScheduleFiring>;
  next(name: string, count: number): Promise<ScheduleMoment[]>;
  firings(name: string, page: { limit?: number; after?: string }): Promise<{ items: ScheduleFiring[]; next?: string }>;
}
