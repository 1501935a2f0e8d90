/** Lineage: from anything back to what it was made from. */
import type { Lineage } from "@millrace/sdk/api";

export { lineageRoutes } from "./routes.js";
export { createLineage } from "./service.js";

export interface LineageService {
  /** `kind` is one of prediction, model_version (`name/3`), run, dataset_version (`name/3`). Throws a 404 where there is none. */
  lineage(kind: string, id: string): Promise<Lineage>;
}
