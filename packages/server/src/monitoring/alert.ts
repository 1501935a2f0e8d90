/** What of a check a person should know of at once, in words. */
import type { MonitorCheck } from "@millrace/sdk/api";

export interface Bound {
  metric: string;
  bound: number;
}
const mostNamed = 5;

export function alertOf(check: Pick<MonitorCheck, "features" | "drifted" | "metrics" | "labelled">, threshold: number, bounds: Bound[]): string | null {
  const alerts = check.drifted ? [driftAlert(check.features, threshold)] : [];
  for (const { metric, bound } of bounds) {
    const value = check.metrics[metric] ?? null;
    if (value !== null && value < bound) alerts.push(`${metric} is ${value.toFixed(4)} on ${check.labelled} labelled predictions, below ${bound}.`);
  }
  return alerts.length === 0 ? null : [...new Set(alerts)].join(" ");
}

function driftAlert(features: MonitorCheck["features"], threshold: number): string {
  const drifted = features.filter((f) => f.drifted).sort((a, b) => b.psi - a.psi);
  const most = drifted.slice(0, mostNamed).map(({ feature, psi }) => `${feature} ${psi.toFixed(2)}`);
  const others = drifted.length > mostNamed ? " and others" : "";
  return `${drifted.length} of ${features.length} features have a PSI over ${threshold}: ${most.join(", ")}${others}.`;
}
