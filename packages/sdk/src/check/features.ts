import { expressionType } from "../define/expressions.js";
import type { ColumnType, FeatureViewSpec, ProjectSpec } from "../spec.js";
import { columnsOf } from "./data.js";
import { checkDuration, type Report, unknown } from "./report.js";

export function checkViews(spec: ProjectSpec, report: Report): void {
  const datasets = spec.datasets.map((one) => one.name);
  const entities = spec.entities.map((one) => one.name);
  for (const view of spec.featureViews) {
    const of = `the feature view "${view.name}"`;
    if (!entities.includes(view.entity)) report(view, `${of}: ${unknown("entity", view.entity, entities)}`);
    if (!datasets.includes(view.source.dataset)) report(view, `${of}: ${unknown("dataset", view.source.dataset, datasets)}`);
    if (view.created !== undefined && view.timestamp === undefined) {
      report(view, `${of} has "${view.created}" for when its rows were created and names no timestamp: say since when their values hold.`);
    }
    checkDuration(`the materialization of ${of}`, view.materialize, view, report);
    if (view.kind === "latest") checkDuration(`the ttl of ${of}`, view.ttl, view, report);
    else for (const feature of view.features) checkDuration(`the window of "${feature.name}" in ${of}`, feature.over, view, report);
    checkColumns(spec, view, report);
  }
}

/** Where a view reads a dataset as it is, and the dataset has a schema. */
function checkColumns(spec: ProjectSpec, view: FeatureViewSpec, report: Report): void {
  const columns = view.source.sql === undefined ? columnsOf(spec, view.source.dataset) : undefined;
  if (columns === undefined) return;
  const keys = spec.entities.find((one) => one.name === view.entity)?.keys.map((key) => key.name) ?? [];
  const read = view.kind === "latest" ? view.features.map((one) => one.name) : view.features.flatMap((one) => one.column ?? []);
  const needed = [...keys, ...read, ...(view.timestamp === undefined ? [] : [view.timestamp]), ...(view.created === undefined ? [] : [view.created])];
  for (const column of new Set(needed)) {
    if (columns[column] === undefined) {
      report(view, `the feature view "${view.name}" reads the dataset "${view.source.dataset}": ${unknown("column", column, Object.keys(columns))}`);
    }
  }
}

export function checkServices(spec: ProjectSpec, report: Report): void {
  const viewNames = spec.featureViews.map((one) => one.name);
  for (const service of spec.featureServices) {
    const of = `the feature service "${service.name}"`;
    const request: Record<string, ColumnType> = Object.fromEntries(service.request.map(({ name, type }) => [name, type]));
    const known: Record<string, ColumnType> = { ...request };
    const time = request[service.timestamp];
    if (time === undefined) report(service, `${of}: ${unknown("column of the request", service.timestamp, Object.keys(request))}`);
    else if (time !== "timestamp") report(service, `${of} has "${service.timestamp}" for its timestamp, which is of type ${time}`);

    for (const name of service.views) {
      const view = spec.featureViews.find((one) => one.name === name);
      if (view === undefined) {
        report(service, `${of}: ${unknown("feature view", name, viewNames)}`);
        continue;
      }
      for (const feature of view.features) known[feature.name] = feature.type;
      for (const key of spec.entities.find((one) => one.name === view.entity)?.keys ?? []) {
        const type = request[key.name];
        if (type === undefined) report(service, `${of} has the view "${name}", whose key "${key.name}" is no column of the request`);
        else if (type !== key.type)
          report(service, `${of} has the request column "${key.name}" as ${type}; it is the key of "${name}" and of type ${key.type} there`);
      }
    }
    const computed: Record<string, ColumnType> = {};
    for (const { name, type, expr } of service.compute) {
      const { problem } = expressionType(expr, known);
      if (problem !== undefined) report(service, `${of} computes "${name}": ${problem}`);
      computed[name] = type;
    }
    const all = { ...known, ...computed };
    for (const { name, type } of service.features) {
      const found = all[name];
      if (found === undefined) report(service, `${of}: ${unknown("column or feature", name, Object.keys(all))}`);
      else if (found !== type) report(service, `${of} takes "${name}" as ${type}; it is of type ${found}`);
    }
  }
}
