import { aWeekOf } from "./testing.js";

aWeekOf("3.17.2", "requirements-3.lock");
