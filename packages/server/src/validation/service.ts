import type { DuckDBConnection } from "@duckdb/node-api";
import type { ValidationReport } from "@millrace/sdk/api";
import type { SchemaSpec } from "@millrace/sdk/spec";
import type { StepKind } from "../pipelines/step.js";
import { type Platform, parquet } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { anomaliesOf } from "./checks.js";
import { inferSchema } from "./infer.js";
import { statisticsOf } from "./statistics.js";
import { validateStep } from "./step.js";
import { columnsOf } from "./types.js";

export interface Validation {
  stepKinds: { validate: StepKind<"validate"> };
  /** Checks Parquet files of this machine, together, against a schema. */
  validate(schema: SchemaSpec, files: string[]): Promise<ValidationReport>;
  /** A schema that a Parquet file of this machine passes. */
  infer(name: string, file: string): Promise<SchemaSpec>;
}

export function createValidation(platform: Pick<Platform, "duckdb" | "objects">, { projects }: { projects: Pick<Projects, "require"> }): Validation {
  const { duckdb } = platform;
  async function validate(schema: SchemaSpec, files: string[]): Promise<ValidationReport> {
    const check = async (connection: DuckDBConnection): Promise<ValidationReport> => {
      const source = parquet(files);
      const columns = await columnsOf(duckdb, connection, source);
      const { rows, statistics } = await statisticsOf(duckdb, connection, source, columns);
      const anomalies = await anomaliesOf({ duckdb, connection, source, columns, rows, statistics }, schema);
      return { schema: schema.name, passed: anomalies.every((anomaly) => anomaly.severity !== "block"), rows, anomalies, statistics };
    };
    // Expectations are users' SQL.
    return (schema.expectations ?? []).length > 0 ? duckdb.sandbox({ reads: files }, check) : duckdb.use(check);
  }
  return {
    stepKinds: { validate: validateStep(platform, projects, validate) },
    validate,
    infer: (name, file) => duckdb.use((connection) => inferSchema(duckdb, connection, name, parquet([file]))),
  };
}
