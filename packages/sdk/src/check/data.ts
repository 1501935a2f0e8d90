import type { ProjectSpec } from "../spec.js";
import { type Report, unknown } from "./report.js";

export function checkSchemas(spec: ProjectSpec, report: Report): void {
  for (const schema of spec.schemas) {
    for (const [column, rule] of Object.entries(schema.columns)) {
      const of = `the column "${column}" of the schema "${schema.name}"`;
      if (rule.min !== undefined && rule.max !== undefined && rule.min > rule.max)
        report(schema, `${of} has a min of ${rule.min} above its max of ${rule.max}`);
      if ((rule.min !== undefined || rule.max !== undefined) && rule.type !== "int64" && rule.type !== "float64") {
        report(schema, `${of} is of type ${rule.type}: min and max are for numbers`);
      }
      const domain = rule.type === "string" ? "string" : rule.type === "boolean" ? "boolean" : "number";
      const stranger = rule.domain?.find((value) => typeof value !== domain && rule.type !== "timestamp" && rule.type !== "date");
      if (stranger !== undefined) report(schema, `${of} is of type ${rule.type}, and its domain has ${JSON.stringify(stranger)}`);
      for (const key of ["maxNullShare", "maxOutsideDomain"] as const) {
        const share = rule[key];
        if (share !== undefined && (share < 0 || share > 1)) report(schema, `${of} has a ${key} of ${share}: it is a share of the rows, 0 to 1`);
      }
    }
  }
}

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
    if (dataset.watch?.folder.split("/").includes("..")) {
      report(dataset, `${of} watches "${dataset.watch.folder}": a folder of the project, without ".."`);
    }
  }
}

/** The columns of a dataset, where its schema is known. */
export function columnsOf(spec: ProjectSpec, dataset: string): Record<string, string> | undefined {
  const name = spec.datasets.find((one) => one.name === dataset)?.schema;
  const schema = spec.schemas.find((one) => one.name === name);
  return schema === undefined ? undefined : Object.fromEntries(Object.entries(schema.columns).map(([column, { type }]) => [column, type]));
}
