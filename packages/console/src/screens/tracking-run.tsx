import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import { mlflow, read } from "../api";
import { AskFor } from "../dialog";
import { duration, exact } from "../format";
import { MetricCharts } from "../metric-charts";
import { Artifacts } from "../runs/artifacts";
import { type LoggedModel, RunOverview, type TrackedRun } from "../runs/run-overview";
import { Ask, Badge, Page, Read, Tabs, type Tone } from "../ui";
import { useUrl } from "../url";

const tones: Record<string, Tone> = { FINISHED: "ok", FAILED: "bad", KILLED: "warn", RUNNING: "info", SCHEDULED: "none" };

/** One run of an experiment: what went in, what came of it, and its files. */
export function TrackingRun() {
  const { runId = "" } = useParams({ strict: false });
  const run = useQuery<{ run: TrackedRun }>({
    queryKey: ["/tracking/run", runId],
    queryFn: ({ signal }) => read(`/api/2.0/mlflow/runs/get?run_id=${encodeURIComponent(runId)}`, signal),
    refetchInterval: ({ state }) => (state.data?.run.info.status === "RUNNING" ? 3_000 : 30_000),
  });
  return <Read query={run}>{(data) => <RunView run={data.run} />}</Read>;
}

function RunView({ run }: { run: TrackedRun }) {
  const { info } = run;
  const [{ tab = "overview" }] = useUrl();
  const client = useQueryClient();
  const again = () => client.invalidateQueries({ predicate: ({ queryKey: [first, id] }) => first === "/tracking/run" && id === info.run_id });
  const did = async (route: string, body: Record<string, unknown>) => {
    await mlflow(route, { run_id: info.run_id, ...body });
    await again();
  };
  const experiment = useQuery<{ experiment: { name: string } }>({
    queryKey: [`/tracking/experiment/${info.experiment_id}`],
    staleTime: 60_000,
    queryFn: ({ signal }) => read(`/api/2.0/mlflow/experiments/get?experiment_id=${info.experiment_id}`, signal),
  });
  const models = useQuery<{ models?: LoggedModel[] }>({
    queryKey: ["/tracking/run", info.run_id, "models"],
    queryFn: () => mlflow("logged-models/search", { experiment_ids: [info.experiment_id], filter: `source_run_id = '${info.run_id}'` }),
  });
  const tags = new Map(run.data.tags?.map(({ key, value }) => [key, value]));
  const pipelineRun = tags.get("millrace.run");
  const charted = useMemo(() => [{ id: info.run_id, name: info.run_name || info.run_id }], [info.run_id, info.run_name]);
  const deleted = info.lifecycle_stage === "deleted";
  const logged = models.data?.models ?? [];
  const took = info.end_time === undefined ? undefined : Number(info.end_time) - Number(info.start_time);
  return (
    <Page
      title={info.run_name || info.run_id}
      about={
        <span className="flex flex-wrap items-center gap-2">
          <Badge tone={tones[info.status] ?? "none"}>
            <span aria-hidden className={`size-1.5 rounded-full bg-current ${info.status === "RUNNING" ? "alive" : ""}`} />
            {info.status.toLowerCase()}
          </Badge>
          {deleted && <Badge tone="warn">deleted</Badge>}
          in
          <Link className="link" to="/experiments/$id" params={{ id: info.experiment_id }}>
            {experiment.data?.experiment.name ?? `experiment ${info.experiment_id}`}
          </Link>
          {took !== undefined && <span title={exact(Number(info.start_time))}>took {duration(took)}</span>}
        </span>
      }
      actions={
        <>
          {pipelineRun !== undefined && (
            <Link className="button" to="/runs/$id" params={{ id: pipelineRun }}>
              Pipeline run
            </Link>
          )}
          {!deleted && (
            <AskFor
              button="Rename"
              title="Rename this run"
              fields={[{ name: "name", label: "Name", value: info.run_name }]}
              done="Rename"
              run={({ name = "" }) => did("runs/update", { run_name: name.trim() })}
            />
          )}
          {deleted ? (
            <AskFor button="Restore" title="Restore this run?" fields={[]} done="Restore" run={() => did("runs/restore", {})} />
          ) : (
            <Ask button="Delete" title="Delete this run?" run={() => did("runs/delete", {})}>
              It can be restored until it is freed for good.
            </Ask>
          )}
        </>
      }
    >
      <Tabs
        param="tab"
        of={[
          ["overview", "Overview"],
          ["metrics", "Metrics"],
          ["artifacts", "Artifacts"],
        ]}
      />
      {tab === "artifacts" ? (
        <Artifacts
          roots={[{ name: "run", uri: info.artifact_uri }, ...logged.map(({ info: model }) => ({ name: `model ${model.name}`, uri: model.artifact_uri }))]}
        />
      ) : tab === "metrics" ? (
        <MetricCharts runs={charted} live={info.status === "RUNNING"} />
      ) : (
        <RunOverview run={run} models={logged} tags={tags} did={did} />
      )}
    </Page>
  );
}
