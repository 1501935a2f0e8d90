import { sql } from "kysely";
import type { References } from "../platform/index.js";

export const datasetReferences: References = { objects: sql`select digest from dataset_part union all select digest from dataset_push where version is null` };
