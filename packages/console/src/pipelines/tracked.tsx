/** What a run's scripts logged to its tracking run. */
import { Link } from "@tanstack/react-router";
import { useOther } from "../api";
import { Chart } from "../chart";
import { words } from "../format";
import { Panel } from "../ui";

interface TrackingRun {
  run: { info: { run_name: string; experiment_id: string }; data: { metrics?: { key: string }[] } };
}
interface History {
  metrics?: { value: number; step: number }[];
}
const useTracked = (runId: string) => useOther<TrackingRun>(`/api/2.0/mlflow/runs/get?run_id=${encodeURIComponent(runId)}`);
export function TrackedAs({ runId }: { runId: string }) {
  const tracked = useTracked(runId).data?.run.info;
  if (tracked === undefined) return <code className="text-[12px]">{runId.slice(0, 8)}</code>;
  return (
    <Link className="link" to="/experiments/$id/runs/$runId" params={{ id: tracked.experiment_id, runId }}>
      {tracked.run_name || runId.slice(0, 8)}
    </Link>
  );
}
/** Metrics that a script logged several times: its training curves. */
export function Curves({ runId }: { runId: string }) {
  const tracked = useTracked(runId);
  const keys = tracked.data?.run.data.metrics?.map((metric) => metric.key) ?? [];
  return (
    <div className="grid grid-cols-2 gap-3">
      {keys.slice(0, 24).map((key) => (
        <Curve key={key} runId={runId} metric={key} />
      ))}
    </div>
  );
}
function Curve({ runId, metric }: { runId: string; metric: string }) {
  const history = useOther<History>(`/api/2.0/mlflow/metrics/get-history?run_id=${encodeURIComponent(runId)}&metric_key=${encodeURIComponent(metric)}`);
  const points = history.data?.metrics ?? [];
  if (points.length < 2) return null;
  return (
    <Panel
      title={
        <>
          {words(metric)} <span className="font-normal text-muted">by step of training</span>
        </>
      }
    >
      <Chart
        label={`${metric} by step of training`}
        x={points.map((point) => Number(point.step))}
        series={[{ name: metric, values: points.map((point) => point.value) }]}
        height={190}
        along="step"
        plain
      />
    </Panel>
  );
}
