import type { Lineage } from "@millrace/sdk/api";

export interface LineageService {
  /** `kind` is one of prediction, model_version (`name/3`), run, dataset_version (`name/3`). Throws a 404 where there is none. */
  lineage(kind: string, id: string): Promise<Lineage>;
}
