import { sql } from "kysely";
import type { References } from "../platform/index.js";

export const deliveryReferences: References = {
  objects: sql`
    select digest from release
    union all select manifest ->> 'document' from release
    union all select manifest ->> 'sbom' from release
    union all select f ->> 'digest' from release, jsonb_array_elements(manifest -> 'files') f
    union all select report from release_check where report is not null
    union all select log from repository_build where log is not null
    union all select e ->> 'digest' from promotion_decision, jsonb_array_elements(evidence) e`,
};
