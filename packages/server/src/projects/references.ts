import { sql } from "kysely";
import type { References } from "../platform/index.js";

export const projectReferences: References = { objects: sql`select f ->> 'digest' from project_version, jsonb_array_elements(spec -> 'files') f` };
