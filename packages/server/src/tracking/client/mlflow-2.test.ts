import { aWeekOf } from "./testing.js";

aWeekOf("2.22.5", "requirements-2.lock");
