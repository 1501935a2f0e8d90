import { sql } from "kysely";
import type { References } from "../platform/index.js";

export const servingReferences: References = { objects: sql`select digest from prediction_segment` };
