import type { Columns, FeatureComparison } from "@millrace/sdk/api";
import type { DuckDb } from "../platform/index.js";
import { featuresOf } from "./historical-read.js";
import { microsOf } from "./times.js";
import type { Value } from "./values.js";
import type { Service, View } from "./views.js";

const mostExamples = 5;
/** Sums of fractions depend on their order: floats are equal when they differ by no more than this, relative to the larger one. */
const tolerance = 1e-9;

/** Compares features as they were given online with those that the offline path gives for the same rows at the same moments. */
export async function compareWithOffline(
  duckdb: DuckDb,
  service: Service,
  logged: { request: Columns; features: Columns; at: Date[] },
  files: (view: View) => Promise<string[]>,
): Promise<FeatureComparison> {
  const { spec } = service;
  const rows = logged.at.length;
  const offline = await featuresOf({ duckdb, service, request: logged.request, moments: logged.at.map(microsOf), files });
  const wrong = new Set<number>();
  const features = spec.features.map(({ name, type }, f) => {
    const examples: unknown[] = [];
    let [different, maxDifference] = [0, null as number | null];
    for (let row = 0; row < rows; row++) {
      const online = logged.features[name]?.[row] ?? null;
      const other = offline[row]?.[f] ?? null;
      if (same(online, other, type === "float64")) continue;
      wrong.add(row);
      different++;
      if (typeof online === "number" && typeof other === "number") maxDifference = Math.max(maxDifference ?? 0, Math.abs(online - other));
      if (examples.length >= mostExamples) continue;
      const request = Object.fromEntries(spec.request.map((column) => [column.name, logged.request[column.name]?.[row] ?? null]));
      examples.push({ online, offline: other, at: logged.at[row]?.toISOString(), request });
    }
    return { name, different, maxDifference, examples };
  });
  return { service: spec.name, rows, equal: rows - wrong.size, features };
}

function same(a: Value, b: Value, float: boolean): boolean {
  if (a === b) return true;
  if (!float || typeof a !== "number" || typeof b !== "number") return false;
  return Math.abs(a - b) <= tolerance * Math.max(Math.abs(a), Math.abs(b));
}
