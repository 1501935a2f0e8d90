import { durationMs } from "@millrace/sdk";
import type { ColumnComparison } from "@millrace/sdk/api";
import type { ColumnRule, DriftRule, RelationSpec, SchemaSpec } from "@millrace/sdk/spec";
import { identifier, literal, parquet } from "../platform/index.js";
import { type Check, type CheckedTable, mostExamples, number, ofRows, percent, Skipped } from "./check.js";
import type { Applies } from "./column-rules.js";
import type { OtherTable, Surroundings } from "./history.js";
import { isFloat, isNumber, place } from "./statistics/axis.js";
import { columnsOf, type TableColumn } from "./types.js";

/** How many rows there are, and how new they are. */
export function tableChecks(schema: SchemaSpec, columns: TableColumn[], around: Surroundings): Check[] {
  const rule = schema.definedAt ?? null;
  const checks: Check[] = [];
  const base = { column: null, rule };
  const { minRows, maxRows, volume, freshness } = schema;
  if (minRows !== undefined) {
    checks.push({
      ...{ ...base, kind: "rows", name: `at least ${number(minRows)} rows`, severity: "block" },
      judge({ rows }) {
        if (rows >= minRows) return undefined;
        return { message: `The table has ${number(rows)} rows; at least ${number(minRows)} are expected.`, count: rows };
      },
    });
  }
  if (maxRows !== undefined) {
    checks.push({
      ...{ ...base, kind: "rows", name: `at most ${number(maxRows)} rows`, severity: "block" },
      judge({ rows }) {
        if (rows <= maxRows) return undefined;
        return { message: `The table has ${number(rows)} rows; at most ${number(maxRows)} are expected.`, count: rows };
      },
    });
  }
  if (volume !== undefined) {
    const last = volume.last ?? 1;
    const before = last === 1 ? "the arrival before" : `the ${last} arrivals before`;
    checks.push({
      ...{ column: null, kind: "volume", rule: volume.definedAt ?? rule, severity: volume.severity ?? "warn" },
      name: `about as many rows as ${before}`,
      async judge({ rows }) {
        const arrivals = (await around.arrivals?.(last)) ?? [];
        if (arrivals.length === 0) throw new Skipped("There is no arrival before.");
        const mean = arrivals.reduce((sum, one) => sum + one.rows, 0) / arrivals.length;
        const change = mean === 0 ? (rows === 0 ? 0 : Number.POSITIVE_INFINITY) : rows / mean - 1;
        if (Math.abs(change) <= volume.within) return undefined;
        const much = Number.isFinite(change) ? `${percent(Math.abs(change))} ${change > 0 ? "more" : "fewer"} than` : "and there were none in";
        const message = `The table has ${number(rows)} rows, ${much} ${before} (${number(Math.round(mean))}${last === 1 ? "" : " on average"}); within ${percent(volume.within)} is expected.`;
        return { message, count: rows, ...(Number.isFinite(change) ? { share: change } : {}) };
      },
    });
  }
  const column = columns.find((one) => one.name === freshness?.column);
  if (freshness !== undefined && column !== undefined && (column.type === "timestamp" || column.type === "date")) {
    checks.push({
      ...{ column: column.name, kind: "freshness", rule: freshness.definedAt ?? rule, severity: freshness.severity ?? "block" },
      name: `the newest "${column.name}" is at most ${freshness.maxAge} old`,
      async judge({ duckdb, connection, source }) {
        const [row] = await duckdb.rows<{ newest: number | null }>(`select max(${place(column)}) as newest from ${source}`, connection);
        const newest = row?.newest ?? null;
        if (newest === null) return { message: `The table has no "${column.name}" by which its age could be told; at most ${freshness.maxAge} is expected.` };
        const age = around.now().getTime() - newest;
        if (age <= durationMs(freshness.maxAge)) return undefined;
        const at = Math.abs(newest) > 8.64e15 ? String(newest) : new Date(newest).toISOString();
        return { message: `The newest "${column.name}" is ${at}, ${words(age)} old; at most ${freshness.maxAge} is expected.`, examples: [at] };
      },
    });
  }
  return checks;
}

function words(ms: number): string {
  const days = ms / 86_400_000;
  return days >= 2 ? `${number(Math.round(days * 10) / 10)} days` : `${number(Math.round(ms / 360_000) / 10)} hours`;
}

/** What a relation says, in the words of a report. */
function saying(relation: RelationSpec): string {
  const list = (names: readonly string[]) => names.map((name) => `"${name}"`).join(", ");
  switch (relation.kind) {
    case "compare":
      return `"${relation.left}" ${relation.op} "${relation.right}"`;
    case "sum":
      return `${list(relation.of)} add up to "${relation.equals}"`;
    case "not_all_null":
      return `one of ${list(relation.columns)} is not null`;
    case "null_together":
      return `${list(relation.columns)} are null together`;
    case "unique":
      return `${list(relation.columns)} together are unique`;
  }
}

/** The columns that are spoken of; undefined where one is missing, which is told by itself. */
function found(columns: TableColumn[], names: readonly string[]): TableColumn[] | undefined {
  const some = names.map((name) => columns.find((column) => column.name === name));
  return some.every((column) => column !== undefined) ? some : undefined;
}

export function relationChecks(schema: SchemaSpec, columns: TableColumn[], rows: number, applies: Applies): Check[] {
  return (schema.relations ?? []).flatMap((relation): Check[] => {
    if (!applies(relation.environments)) return [];
    const names =
      relation.kind === "compare" ? [relation.left, relation.right] : relation.kind === "sum" ? [...relation.of, relation.equals] : relation.columns;
    const there = found(columns, names);
    if (there === undefined) return [];
    const said = saying(relation);
    const base = {
      ...{ kind: "relation", column: null, name: relation.name === undefined ? said : `${relation.name}: ${said}` },
      ...{ severity: relation.severity ?? ("block" as const), rule: relation.definedAt ?? schema.definedAt ?? null },
    };
    const allowed = relation.maxFailing ?? 0;
    const quoted = names.map((name) => identifier(name));
    if (relation.kind === "unique") return [{ ...base, kind: "unique", judge: (table) => repeatedTogether(table, quoted, base.name, allowed) }];
    const where = broken(relation, there);
    return [
      {
        ...base,
        count: `count(*) filter (where ${where})`,
        async judge({ duckdb, connection, source }, count) {
          if (count === 0 || rows === 0 || count / rows <= allowed) return undefined;
          const examples = await duckdb.rows<{ v: string }>(
            `select to_json({${quoted.map((name) => `${name}: left(${name}::varchar, 200)`).join(", ")}})::varchar as v from ${source} where ${where} limit ${mostExamples}`,
            connection,
          );
          const message = `${base.name} does not hold in ${ofRows(count, rows)}; at most ${percent(allowed)} is expected.`;
          return { message, count, share: count / rows, examples: examples.map(({ v }) => JSON.parse(v) as unknown) };
        },
      },
    ];
  });
}

/** SQL of the rows that break a relation. */
function broken(relation: Exclude<RelationSpec, { kind: "unique" }>, columns: TableColumn[]): string {
  const names = columns.map(({ name }) => identifier(name));
  switch (relation.kind) {
    case "compare": {
      const time = columns.every(({ type }) => type === "timestamp" || type === "date");
      const [left, right] = names.map((name) => (time ? `${name}::timestamptz` : name));
      const same = columns[0]?.type === columns[1]?.type || columns.every(isNumber) || time;
      // Values that can't be compared are not what the relation says.
      return same ? `not (${left} ${relation.op} ${right})` : `${left} is not null and ${right} is not null`;
    }
    case "sum": {
      const parts = names.slice(0, -1).map((name) => `${name}::double`);
      const whole = `${names.at(-1)}::double`;
      const exact = columns.every((column) => !isFloat(column));
      const within = relation.within ?? (exact ? 0 : 1e-9);
      // NaN is no sum of anything.
      return `not coalesce(abs(${parts.join(" + ")} - ${whole}) <= ${literal(String(within))}::double, true)`;
    }
    case "not_all_null":
      return names.map((name) => `${name} is null`).join(" and ");
    case "null_together":
      return `(${names.map((name) => `(${name} is null)::int`).join(" + ")}) not in (0, ${names.length})`;
  }
}

async function repeatedTogether({ duckdb, connection, source, rows }: CheckedTable, names: string[], said: string, allowed: number) {
  const set = names.join(", ");
  const groups = `select ${set}, count(*)::double as n from ${source} where ${names.map((name) => `${name} is not null`).join(" and ")} group by ${set} having count(*) > 1`;
  const [row] = await duckdb.rows<{ n: number | null }>(`select sum(n - 1) as n from (${groups})`, connection);
  const repeated = row?.n ?? 0;
  if (repeated === 0 || repeated / rows <= allowed) return undefined;
  const shown = names.map((name) => `${name}: left(${name}::varchar, 200)`).join(", ");
  const examples = await duckdb.rows<{ v: string; n: number }>(
    `select to_json({${shown}})::varchar as v, n from (${groups} order by n desc, ${set} limit ${mostExamples})`,
    connection,
  );
  return {
    message: `${said} does not hold: ${ofRows(repeated, rows)} repeat another; at most ${percent(allowed)} is expected.`,
    ...{ count: repeated, share: repeated / rows, examples: examples.map(({ v, n }) => ({ value: JSON.parse(v) as unknown, count: n })) },
  };
}

/** Values that must be found in another dataset. */
export function foreignKeyCheck(column: TableColumn, rule: ColumnRule, schemaPlace: string | null, around: Surroundings): Check[] {
  if (rule.foundIn === undefined) return [];
  const { dataset, column: other, minShare = 1 } = rule.foundIn;
  const said = `"${column.name}" is found in "${other}" of ${dataset}`;
  return [
    {
      ...{ kind: "foreign_key", column: column.name, name: said, severity: rule.severity ?? "block", rule: rule.definedAt ?? schemaPlace },
      async judge({ duckdb, connection, source }) {
        const table = await around.version?.(dataset, undefined);
        if (table === undefined) throw new Skipped(`The dataset "${dataset}" has no version to look in.`);
        const there = (await columnsOf(duckdb, connection, parquet(table.files))).find(({ name }) => name === other);
        if (there === undefined) return { message: `${said} can't be looked at: ${table.name} has no column "${other}".` };
        const type = column.type === there.type || (isNumber(column) && isNumber(there)) ? "" : "::varchar";
        const name = `${identifier(column.name)}${type}`;
        const lost = `(select ${name} as v, count(*)::double as n from ${source} where ${identifier(column.name)} is not null group by 1)
          where v not in (select distinct ${identifier(other)}${type} from ${parquet(table.files)} where ${identifier(other)} is not null)`;
        const [counted] = await duckdb.rows<{ lost: number | null; present: number }>(
          `select (select sum(n) from ${lost}) as lost, (select count(${identifier(column.name)})::double from ${source}) as present`,
          connection,
        );
        const [missing, present] = [counted?.lost ?? 0, counted?.present ?? 0];
        if (missing === 0 || 1 - missing / present >= minShare) return undefined;
        const examples = await duckdb.rows<{ value: string; count: number }>(
          `select left(v::varchar, 200) as value, n as count from ${lost} order by n desc, v limit ${mostExamples}`,
          connection,
        );
        const list = examples.map(({ value, count }) => `${JSON.stringify(value)} (${number(count)})`).join(", ");
        const message = `"${column.name}" is not found in "${other}" of ${table.name} in ${ofRows(missing, present)} that have one: ${list}. At least ${percent(minShare)} must be found.`;
        return { message, count: missing, share: missing / present, examples };
      },
    },
  ];
}

const bounds = [
  ["lInfinity", "L-infinity distance"],
  ["jensenShannon", "Jensen-Shannon divergence"],
  ["psi", "population stability index"],
] as const;

/** `comparisons` is asked for when the first check is looked at, once for all. */
export function driftChecks(
  column: TableColumn,
  rule: ColumnRule & { drift: DriftRule },
  schemaPlace: string | null,
  comparisons: () => Promise<{ reference: OtherTable; columns: ColumnComparison[] } | undefined>,
): Check[] {
  return bounds.flatMap(([key, words]): Check[] => {
    const most = rule.drift[key];
    if (most === undefined) return [];
    return [
      {
        ...{ kind: "drift", column: column.name, severity: rule.drift.severity ?? "warn", rule: rule.definedAt ?? schemaPlace },
        name: `"${column.name}" has a ${words} of at most ${number(most)}`,
        async judge() {
          const compared = await comparisons();
          if (compared === undefined) throw new Skipped("There is nothing to compare with yet.");
          const found = compared.columns.find(({ name }) => name === column.name)?.[key];
          if (found == null) throw new Skipped(`${compared.reference.name} has no values in "${column.name}" to compare with.`);
          if (found <= most) return undefined;
          return {
            message: `"${column.name}" has moved: its ${words} from ${compared.reference.name} is ${number(found)}; at most ${number(most)} is expected.`,
            examples: [],
          };
        },
      },
    ];
  });
}
