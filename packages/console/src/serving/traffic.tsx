import type { Endpoint, Prediction } from "@millrace/sdk/api";
import { type Listed, useApi } from "../api";
import { Chart, seconds } from "../chart";
import { count, duration } from "../format";
import { Panel } from "../ui";
import { partsOf, TrafficBar } from "./versions";

/** How the traffic is divided now, and who answered the last predictions. */
export function Traffic({ of }: { of: Endpoint }) {
  const recent = useApi<Listed<Prediction>>(`/endpoints/${encodeURIComponent(of.name)}/predictions?limit=1000`, 30_000);
  const parts = partsOf(of);
  const shadow = of.rollout?.state === "running" && of.rollout.kind === "shadow" ? of.rollout.candidate : undefined;
  return (
    <Panel title="Traffic">
      {of.killed !== null ? (
        <p className="text-bad">No version answers: the kill switch is on.</p>
      ) : parts.length === 0 ? (
        <p className="text-muted">Nothing is deployed. The first version that is made the model's champion answers.</p>
      ) : (
        <TrafficBar parts={parts} />
      )}
      {shadow !== undefined && <p className="pt-1 text-muted">Version {shadow} gets copies, and answers nobody.</p>}
      {of.preparing.length > 0 && <p className="pt-1 text-muted">Being made ready: version {of.preparing.join(", ")}</p>}
      {of.earlier.length > 0 && <p className="pt-1 text-muted">Ready to come back: version {of.earlier.join(", ")}</p>}
      {recent.data !== undefined && recent.data.items.length > 1 && <Answered of={recent.data.items.filter((one) => one.route !== "shadow")} />}
    </Panel>
  );
}

/** In seconds, as people divide their time. */
const widths = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400];
/** The last predictions by the version that answered, in forty parts of their time or fewer. */
function Answered({ of }: { of: Prediction[] }) {
  const times = of.map((one) => seconds(one.at));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  if (!(last > first)) return null;
  const width = widths.find((one) => one >= (last - first) / 39) ?? Math.ceil((last - first) / 39 / 86_400) * 86_400;
  const from = Math.floor(first / width) * width;
  const parts = Math.floor((last - from) / width) + 1;
  const versions = [...new Set(of.map((one) => one.version))].sort((a, b) => a - b);
  const counts = versions.map(() => Array.from({ length: parts }, () => 0));
  of.forEach((one, i) => {
    const bins = counts[versions.indexOf(one.version)] ?? [];
    const bin = Math.floor(((times[i] ?? from) - from) / width);
    bins[bin] = (bins[bin] ?? 0) + 1;
  });
  return (
    <div className="pt-2">
      <p className="text-[12px] text-muted">
        the last {count(of.length)} predictions, how many in each {duration(width * 1_000)}
      </p>
      <Chart
        label="Predictions by version"
        time
        x={Array.from({ length: parts }, (_, i) => from + (i + 0.5) * width)}
        series={versions.map((version, i) => ({ name: version === 0 ? "fallback" : `version ${version}`, values: counts[i] ?? [], points: false }))}
        height={150}
        plain
      />
    </div>
  );
}
