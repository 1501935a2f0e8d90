import type { RawBuilder } from "kysely";

/**
 * What a capability's facts refer to, each as a query of one column of texts: none of it is freed. Whoever keeps digests of objects in a table
 * names that table here. An object is put or renewed before a fact refers to it, so that it is known or new at every moment.
 */
export interface References {
  /** Digests of objects. */
  objects?: RawBuilder<unknown>;
  /** Digests of tables, each of one part or many, of which something is kept that could be made anew. */
  tables?: RawBuilder<unknown>;
  /** Ids of runs of tracking. */
  trackingRuns?: RawBuilder<unknown>;
  /** Ids of logged models. */
  loggedModels?: RawBuilder<unknown>;
}
