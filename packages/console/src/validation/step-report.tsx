import type { ValidationReport } from "@millrace/sdk/api";
import { useApi } from "../api";
import { Read } from "../ui";
import { Anomalies, Checks, Comparison } from "./report";

/** What a step of a run that validates found. */
export function StepReport({ run, step, output }: { run: string; step: string; output: string }) {
  const path = `/runs/${encodeURIComponent(run)}/steps/${encodeURIComponent(step)}/artifacts/${encodeURIComponent(output)}/files/report.json`;
  const report = useApi<ValidationReport>(path, 600_000);
  return (
    <Read query={report}>
      {(found) => (
        <>
          <Anomalies of={found} />
          <h3 className="pt-4 font-semibold">Checks</h3>
          <Checks of={found} />
          <h3 className="pt-4 font-semibold">Distributions</h3>
          <Comparison of={found} />
        </>
      )}
    </Read>
  );
}
