import { sql } from "kysely";
import type { References } from "../platform/index.js";

export const datasetReferences: References = {
  objects: sql`select digest from dataset_part union all select digest from dataset_push where version is null`,
  // Of a version as a whole, and of what it brought: where that is one part, the table's digest is made of the part's as `tableDigest` does it.
  tables: sql`
    select digest from dataset_version union all select added_digest from dataset_version
    union all select 'sha256:' || encode(sha256(convert_to(concat('table', chr(10), added_digest, chr(10)), 'UTF8')), 'hex') from dataset_version`,
};
