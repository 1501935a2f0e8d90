/** What versions were made from, and which were made from something. */
import { sql } from "kysely";
import type { Platform } from "../platform/index.js";

export interface VersionPlace {
  model: string;
  version: number;
}
export interface RegistryLineage {
  /** Beside the run of a pipeline; undefined where there is no such version. */
  origin(version: VersionPlace): Promise<{ trackingRun: string | null; loggedModel: string | null; copyOf: VersionPlace | null } | undefined>;
  /** Registered by a run of a pipeline, from a tracked run, from a logged model, or copied from a version. */
  versionsOf(what: { run: string } | { trackingRun: string } | { loggedModel: string } | { version: VersionPlace }, most: number): Promise<VersionPlace[]>;
}

export function createRegistryLineage({ db }: Pick<Platform, "db">): RegistryLineage {
  return {
    async origin({ model, version }) {
      const { rows } = await sql<{ tracking_run: string | null; logged_model: string | null; source: string | null }>`
        select tracking_run_id as tracking_run, logged_model_id as logged_model, source from model_version where model = ${model} and version = ${version}`.execute(
        db,
      );
      if (rows[0] === undefined) return undefined;
      const { tracking_run, logged_model, source } = rows[0];
      const copied = /^models:\/+([^/@:]+)\/([1-9][0-9]{0,8})$/.exec(source ?? "");
      const copyOf = copied?.[1] === undefined ? null : { model: decodeURIComponent(copied[1]), version: Number(copied[2]) };
      return { trackingRun: tracking_run, loggedModel: logged_model, copyOf };
    },
    async versionsOf(what, most) {
      const condition =
        "run" in what
          ? sql`run_id = ${what.run}`
          : "trackingRun" in what
            ? sql`tracking_run_id = ${what.trackingRun}`
            : "loggedModel" in what
              ? sql`logged_model_id = ${what.loggedModel}`
              : sql`source = ${`models:/${what.version.model}/${what.version.version}`}`;
      const { rows } = await sql<VersionPlace>`select model, version from model_version where ${condition} order by model, version limit ${most}`.execute(db);
      return rows;
    },
  };
}
