import type { Lineage, LineageDirection } from "@millrace/sdk/api";

export interface LineageService {
  /**
   * `kind` is one of prediction, model_version (`name/3`), run (of a pipeline or tracked), tracking_run, logged_model, dataset (its digest),
   * dataset_version (`name/3`). Back is what it was made from, forward what was made of it. Throws a 404 where there is none.
   */
  lineage(kind: string, id: string, direction: LineageDirection): Promise<Lineage>;
}
