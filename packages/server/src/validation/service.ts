import type { ColumnComparison, TableStatistics, ValidationReport } from "@millrace/sdk/api";
import type { SchemaSpec } from "@millrace/sdk/spec";
import type { Compute } from "../compute/index.js";
import type { StepKind } from "../pipelines/step.js";
import { invalid, type Platform, parquet } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { type Check, type CheckedTable, fits, look } from "./check.js";
import { type Applies, columnChecks, columnSet } from "./column-rules.js";
import { compareWith } from "./drift.js";
import { expectationChecks } from "./expectations.js";
import type { OtherTable, Surroundings, Tables, ValidationOptions } from "./history.js";
import { inferSchema } from "./infer.js";
import { storable } from "./places.js";
import { statisticsOf, type TableFacts } from "./statistics/index.js";
import { validateStep } from "./step.js";
import * as store from "./store.js";
import { driftChecks, foreignKeyCheck, relationChecks, tableChecks } from "./table-rules.js";
import { columnsOf } from "./types.js";

export interface Validation {
  stepKinds: { validate: StepKind<"validate"> };
  /** Checks Parquet files of this machine, together, against a schema. */
  validate(schema: SchemaSpec, files: string[], options?: ValidationOptions): Promise<ValidationReport>;
  /** Checks alone, each against the rows: no statistics are made for it. */
  check(schema: SchemaSpec, files: string[], options?: ValidationOptions): Promise<Omit<ValidationReport, "statistics" | "reference">>;
  /** A schema that a Parquet file of this machine passes. */
  infer(name: string, files: string[]): Promise<SchemaSpec>;
  /** Of every column, kept under the digest of the contents. */
  statistics(digest: string, files: string[]): Promise<TableStatistics>;
}

type Parts = Pick<Platform, "duckdb" | "objects" | "clock" | "db">;
interface On {
  projects: Pick<Projects, "require">;
  compute: Pick<Compute, "checkRows">;
  tables?: () => Tables;
}
export function createValidation(platform: Parts, { projects, compute, tables }: On): Validation {
  const { duckdb, clock, db } = platform;

  async function factsOf(digest: string | undefined, files: string[]): Promise<TableFacts> {
    const kept = digest === undefined ? undefined : await store.findStatistics(db, digest);
    const facts = await duckdb.use(async (connection) => {
      if (kept === undefined) return storable(await statisticsOf({ duckdb, connection }, files));
      return { rows: kept.rows, statistics: kept.columns, columns: await columnsOf(duckdb, connection, parquet(files)) };
    });
    if (digest !== undefined && kept === undefined) await store.keepStatistics(db, digest, { rows: facts.rows, columns: facts.statistics }, clock.now());
    return facts;
  }

  async function validate(schema: SchemaSpec, files: string[], options: ValidationOptions = {}): Promise<ValidationReport> {
    const facts = await factsOf(options.digest, files);
    return duckdb.use(async (connection) => {
      const table = { duckdb, connection, files, source: parquet(files), ...facts };
      const { anomalies, checks, reference } = await checked(table, schema, options, true);
      const passed = anomalies.every((anomaly) => anomaly.severity !== "block");
      const environment = options.environment === undefined ? {} : { environment: options.environment };
      return {
        schema: schema.name,
        ...environment,
        passed,
        rows: facts.rows,
        anomalies,
        checks,
        statistics: facts.statistics,
        ...(reference === undefined ? {} : { reference }),
      };
    });
  }

  async function check(schema: SchemaSpec, files: string[], options: ValidationOptions = {}): Promise<Omit<ValidationReport, "statistics" | "reference">> {
    return duckdb.use(async (connection) => {
      const source = parquet(files);
      const columns = await columnsOf(duckdb, connection, source);
      const [counted] = await duckdb.rows<{ n: number }>(`select count(*)::double as n from ${source}`, connection);
      const rows = counted?.n ?? 0;
      const { anomalies, checks } = await checked({ duckdb, connection, files, source, columns, rows, statistics: [] }, schema, options, false);
      return { schema: schema.name, passed: anomalies.every((anomaly) => anomaly.severity !== "block"), rows, anomalies, checks };
    });
  }

  async function checked(table: CheckedTable, schema: SchemaSpec, { environment, around = {} }: ValidationOptions, everyColumn: boolean) {
    const applies: Applies = (environments) => environments === undefined || environment === undefined || environments.includes(environment);
    const surroundings: Surroundings = { ...around, now: () => clock.now() };
    let found: Promise<{ reference: OtherTable; columns: ColumnComparison[] } | undefined> | undefined;
    const drifting = new Set(Object.entries(schema.columns).flatMap(([name, rule]) => (rule.drift !== undefined && applies(rule.environments) ? [name] : [])));
    const comparisons = () => {
      found ??= referenceOf(schema, surroundings).then(async (reference) =>
        reference === undefined
          ? undefined
          : {
              reference,
              columns: await compareWith(
                table,
                table.statistics,
                reference,
                ({ name }) => drifting.has(name) || (everyColumn && table.columns.length <= mostCompared),
              ),
            },
      );
      return found;
    };
    const checks: Check[] = [...tableChecks(schema, table.columns, surroundings), ...columnSet(table, schema, applies)];
    const place = schema.definedAt ?? null;
    for (const [name, rule] of Object.entries(schema.columns)) {
      const column = table.columns.find((one) => one.name === name);
      if (column === undefined || !applies(rule.environments) || !fits(rule.type, column.type)) continue;
      checks.push(...columnChecks(column, rule, table.statistics[table.columns.indexOf(column)], table.rows, place));
      checks.push(...foreignKeyCheck(column, rule, place, surroundings));
      if (rule.drift !== undefined) checks.push(...driftChecks(column, { ...rule, drift: rule.drift }, place, comparisons));
    }
    checks.push(...relationChecks(schema, table.columns, table.rows, applies), ...expectationChecks(schema, applies, compute.checkRows));
    const { anomalies, checks: told } = await look(table, checks);
    const compared = everyColumn || drifting.size > 0 ? await comparisons() : undefined;
    const order = (severity: string) => (severity === "block" ? 0 : 1);
    return storable({
      anomalies: anomalies.sort((a, b) => order(a.severity) - order(b.severity)),
      checks: told,
      reference: compared === undefined ? undefined : { name: compared.reference.name, rows: compared.reference.rows, columns: compared.columns },
    });
  }

  return {
    stepKinds: { validate: validateStep(platform, projects, validate, tables) },
    validate,
    check,
    infer: (name, files) => duckdb.use((connection) => inferSchema(duckdb, connection, { name, now: clock.now() }, files)),
    async statistics(digest, files) {
      const { rows, statistics } = await factsOf(digest, files);
      return { rows, columns: statistics };
    },
  };
}

/** A wide table is compared where its rules ask for it only. */
const mostCompared = 200;

async function referenceOf(schema: SchemaSpec, around: Surroundings): Promise<OtherTable | undefined> {
  const reference = schema.reference ?? { last: 1 };
  if ("version" in reference) {
    const dataset = reference.dataset ?? around.dataset;
    if (dataset === undefined) return undefined;
    if (around.version === undefined) return undefined;
    const table = await around.version(dataset, reference.version);
    if (table === undefined) throw invalid(`The schema "${schema.name}" compares with version ${reference.version} of "${dataset}", which there is not.`);
    return table;
  }
  const arrivals = (await around.arrivals?.(reference.last)) ?? [];
  if (arrivals.length === 0) return undefined;
  const name = arrivals.length === 1 ? (arrivals[0]?.name ?? "") : `the last ${arrivals.length} arrivals`;
  return { name, files: arrivals.flatMap((one) => one.files), rows: arrivals.reduce((sum, one) => sum + one.rows, 0) };
}
