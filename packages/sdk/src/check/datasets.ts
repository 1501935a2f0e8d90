import type { DatasetSpec } from "../spec.js";
import { type Report, unknown } from "./report.js";

/** What a dataset says of how rows come and lie. `columns` are those of its schema, where it has one. */
export function checkArrivals(dataset: DatasetSpec, columns: Record<string, string> | undefined, report: Report): void {
  const of = `the dataset "${dataset.name}"`;
  const { watch, partition, format } = dataset;
  if (watch !== undefined && "folder" in watch && watch.folder.split("/").includes("..")) {
    report(dataset, `${of} watches "${watch.folder}": a folder of the project, without ".."`);
  }
  const zones: [string, string | undefined][] = [
    ["zone", dataset.zone],
    ["partition's zone", partition?.by === "time" ? partition.zone : undefined],
  ];
  for (const [what, zone] of zones) {
    if (zone !== undefined && !isZone(zone)) report(dataset, `${of} has the ${what} "${zone}", which is no time zone: write one as Europe/Oslo`);
  }
  if (partition?.by === "time" && dataset.timestamp === undefined) report(dataset, `${of} is partitioned by time and says no timestamp to do it by`);
  const named: [string, readonly string[]][] = [
    ["key", dataset.key ?? []],
    ["partition", partition?.by === "key" ? partition.columns : []],
  ];
  for (const [what, names] of named) {
    const missing = columns === undefined ? undefined : names.find((name) => columns[name] === undefined);
    if (missing !== undefined) report(dataset, `the ${what} of ${of}: ${unknown("column", missing, Object.keys(columns ?? {}))}`);
  }
  if (format?.kind === "csv" && format.header === false && format.columns === undefined) {
    report(dataset, `${of} has files of CSV without a header: say the names of their columns`);
  }
}

function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return /^[A-Za-z]/.test(zone);
  } catch {
    return false;
  }
}
