import type { ColumnRule, FunctionExpectationSpec, ProjectSpec, RelationSpec, SchemaSpec } from "../spec.js";
import { checkArrivals } from "./datasets.js";
import { checkDuration, type Report, unknown } from "./report.js";

export function checkSchemas(spec: ProjectSpec, report: Report): void {
  for (const schema of spec.schemas) {
    for (const [column, rule] of Object.entries(schema.columns)) checkColumn(spec, schema, column, rule, report);
    checkTable(spec, schema, report);
  }
}

function checkColumn(spec: ProjectSpec, schema: SchemaSpec, column: string, rule: ColumnRule, report: Report): void {
  const of = `the column "${column}" of the schema "${schema.name}"`;
  const at = { definedAt: rule.definedAt ?? schema.definedAt };
  const number = rule.type === "int64" || rule.type === "float64";
  const moment = rule.type === "timestamp" || rule.type === "date";
  for (const key of ["min", "max"] as const) {
    const bound = rule[key];
    if (bound === undefined) continue;
    if (!number && !moment) report(at, `${of} is of type ${rule.type}: min and max are for numbers and times`);
    else if (number && typeof bound !== "number") report(at, `${of} is of type ${rule.type}, and its ${key} is the text ${JSON.stringify(bound)}`);
    else if (moment && (typeof bound !== "string" || !/^\d{4}-/.test(bound) || Number.isNaN(Date.parse(bound)))) {
      report(at, `${of} is of type ${rule.type}, and its ${key} is ${JSON.stringify(bound)}: write it as "2013-01-01T00:00:00Z"`);
    }
  }
  const [min, max] =
    moment && typeof rule.min === "string" && typeof rule.max === "string" ? [Date.parse(rule.min), Date.parse(rule.max)] : [rule.min, rule.max];
  if (typeof min === "number" && typeof max === "number" && min > max) report(at, `${of} has a min of ${rule.min} above its max of ${rule.max}`);
  for (const [least, most] of [
    ["minLength", "maxLength"],
    ["minDistinct", "maxDistinct"],
  ] as const) {
    if ((rule[least] ?? 0) > (rule[most] ?? Number.POSITIVE_INFINITY)) report(at, `${of} has a ${least} of ${rule[least]} above its ${most} of ${rule[most]}`);
  }
  for (const key of ["pattern", "minLength", "maxLength"] as const) {
    if (rule[key] !== undefined && rule.type !== "string") report(at, `${of} is of type ${rule.type}: ${key} is for strings`);
  }
  if (rule.pattern !== undefined) {
    const unable = /\(\?(?:[=!]|<[=!])|\\[1-9]/.exec(rule.pattern);
    if (unable !== null) report(at, `${of} has a pattern with "${unable[0]}": RE2 has no lookaround and no backreferences`);
  }
  if (rule.finite !== undefined && !number) report(at, `${of} is of type ${rule.type}: finite is for numbers`);
  const domain = rule.type === "string" ? "string" : rule.type === "boolean" ? "boolean" : "number";
  const stranger = rule.domain?.find((value) => typeof value !== domain && rule.type !== "timestamp" && rule.type !== "date");
  if (stranger !== undefined) report(at, `${of} is of type ${rule.type}, and its domain has ${JSON.stringify(stranger)}`);
  for (const key of ["maxNullShare", "maxOutsideDomain", "maxFailing"] as const) {
    const share = rule[key];
    if (share !== undefined && (share < 0 || share > 1)) report(at, `${of} has a ${key} of ${share}: it is a share of the rows, 0 to 1`);
  }
  if (rule.foundIn !== undefined) {
    const { dataset, column: other } = rule.foundIn;
    const names = spec.datasets.map((one) => one.name);
    if (!names.includes(dataset)) report(at, `${of}: ${unknown("dataset", dataset, names)}`);
    const columns = columnsOf(spec, dataset);
    if (columns !== undefined && columns[other] === undefined) report(at, `${of}: ${unknown(`column of "${dataset}"`, other, Object.keys(columns))}`);
  }
  if (rule.drift !== undefined && rule.drift.lInfinity === undefined && rule.drift.jensenShannon === undefined && rule.drift.psi === undefined) {
    report(at, `${of} asks for drift without a bound: give lInfinity, jensenShannon or psi`);
  }
}

/** What a relation speaks of. */
export function columnsOfRelation(relation: RelationSpec): string[] {
  if (relation.kind === "compare") return [relation.left, relation.right];
  return relation.kind === "sum" ? [...relation.of, relation.equals] : relation.columns;
}

function checkTable(spec: ProjectSpec, schema: SchemaSpec, report: Report): void {
  const of = `the schema "${schema.name}"`;
  const columns = Object.keys(schema.columns);
  if ((schema.minRows ?? 0) > (schema.maxRows ?? Number.POSITIVE_INFINITY)) {
    report(schema, `${of} has minRows of ${schema.minRows} above its maxRows of ${schema.maxRows}`);
  }
  for (const relation of schema.relations ?? []) {
    const at = { definedAt: relation.definedAt ?? schema.definedAt };
    for (const column of columnsOfRelation(relation)) {
      if (!columns.includes(column)) report(at, `a relation of ${of}: ${unknown("column", column, columns)}`);
    }
    if (relation.kind === "sum") {
      const strange = columnsOfRelation(relation).find((column) => !["int64", "float64", undefined].includes(schema.columns[column]?.type));
      if (strange !== undefined) report(at, `a relation of ${of} adds "${strange}", which is of type ${schema.columns[strange]?.type}`);
    }
    if (relation.kind === "compare") {
      const [left, right] = [group(schema.columns[relation.left]?.type), group(schema.columns[relation.right]?.type)];
      if (left !== undefined && right !== undefined && left !== right)
        report(at, `a relation of ${of} compares "${relation.left}" with "${relation.right}", which are of other types`);
    }
  }
  const { freshness, reference } = schema;
  if (freshness !== undefined) {
    const at = { definedAt: freshness.definedAt ?? schema.definedAt };
    const type = schema.columns[freshness.column]?.type;
    if (type === undefined) report(at, `the freshness of ${of}: ${unknown("column", freshness.column, columns)}`);
    else if (type !== "timestamp" && type !== "date") report(at, `the freshness of ${of} looks at "${freshness.column}", which is of type ${type}`);
    checkDuration(`maxAge of the freshness of ${of}`, freshness.maxAge, at, report);
  }
  if (reference !== undefined && "version" in reference && reference.dataset !== undefined) {
    const names = spec.datasets.map((one) => one.name);
    if (!names.includes(reference.dataset)) report(schema, `the reference of ${of}: ${unknown("dataset", reference.dataset, names)}`);
  }
  const seen = new Set<string>();
  for (const one of schema.expectations ?? []) {
    const { name } = one;
    const at = { definedAt: one.definedAt ?? schema.definedAt };
    if (seen.has(name)) report(at, `${of} has two expectations "${name}"`);
    seen.add(name);
    // A document without files is one that is looked at before the project's folder was.
    if ("bundle" in one && spec.files.length > 0) checkFunction(spec, one, `the expectation "${name}" of ${of}`, at, report);
  }
}

function checkFunction(spec: ProjectSpec, one: FunctionExpectationSpec, of: string, at: { definedAt: string | undefined }, report: Report): void {
  const file = spec.files.find(({ path }) => path === one.bundle);
  if (file === undefined) report(at, `${of} names "${one.bundle}", which is no file of the project`);
  else if (one.digest !== file.digest)
    report(at, `${of} ${one.digest === undefined ? "names no digest" : `names the digest ${one.digest}`}: that of "${one.bundle}" is ${file.digest}`);
}

/** Types whose values can be compared. */
const group = (type: string | undefined) => (type === "int64" || type === "float64" ? "number" : type === "timestamp" || type === "date" ? "time" : type);

export function checkDatasets(spec: ProjectSpec, report: Report): void {
  for (const dataset of spec.datasets) {
    const of = `the dataset "${dataset.name}"`;
    const names = spec.schemas.map((schema) => schema.name);
    if (dataset.schema !== undefined && !names.includes(dataset.schema)) report(dataset, `${of}: ${unknown("schema", dataset.schema, names)}`);
    const columns = columnsOf(spec, dataset.name);
    if (dataset.timestamp !== undefined && columns !== undefined) {
      const type = columns[dataset.timestamp];
      if (type === undefined) report(dataset, `${of}: ${unknown("column", dataset.timestamp, Object.keys(columns))}`);
      else if (type !== "timestamp" && type !== "date") report(dataset, `${of} has "${dataset.timestamp}" for its timestamp, which is of type ${type}`);
    }
    checkArrivals(dataset, columns, report);
  }
}

/** The columns of a dataset, where its schema is known. */
export function columnsOf(spec: ProjectSpec, dataset: string): Record<string, string> | undefined {
  const name = spec.datasets.find((one) => one.name === dataset)?.schema;
  const schema = spec.schemas.find((one) => one.name === name);
  return schema === undefined ? undefined : Object.fromEntries(Object.entries(schema.columns).map(([column, { type }]) => [column, type]));
}
