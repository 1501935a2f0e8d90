import { sql } from "kysely";
import type { References } from "../platform/index.js";

export const datasetReferences: References = { objects: sql`select part_digest from dataset_version` };
