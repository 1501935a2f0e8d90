/** Schedules: runs at the moments of a cron expression. */
export { schedulesRoutes } from "./routes.js";
export { createSchedules } from "./service.js";
