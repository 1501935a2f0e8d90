import type { Pipeline, Run } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi, useList } from "../api";
import { Chart, seconds } from "../chart";
import { duration, number, value } from "../format";
import { Choose, type Column, Empty, Failure, Loading, Page, Panel, State, Table, Tabs, Time } from "../ui";
import { useUrl } from "../url";

const states = ["active", "queued", "running", "succeeded", "refused", "failed", "cancelled"];
export const causeOf = ({ cause }: Run): string => {
  const of = cause.trigger ?? cause.schedule ?? cause.backfill?.slice(-8) ?? cause.sweep?.slice(-8);
  return `${cause.kind}${of === undefined ? "" : ` ${of}`}${cause.resume === undefined ? "" : ", resumed"}${cause.from === undefined ? "" : `, from ${cause.from}`}`;
};

const columns: Column<Run>[] = [
  { head: "State", cell: (run) => <State state={run.state} /> },
  {
    head: "Pipeline",
    cell: (run) => (
      <Link className="link font-medium" to="/runs/$id" params={{ id: run.id }}>
        {run.pipeline} <span className="font-mono text-[12px] font-normal text-muted">{run.id.slice(-8)}</span>
      </Link>
    ),
  },
  { head: "Created", cell: (run) => <Time at={run.createdAt} /> },
  { head: "Took", right: true, cell: (run) => duration(run.durationMs) },
  { head: "Cause", cell: (run) => <span title={run.cause.reason}>{causeOf(run)}</span> },
  {
    head: "Params",
    cell: (run) => (
      <span className="text-muted">
        {Object.entries(run.params)
          .map(([name, param]) => `${name}=${value(param).slice(0, 40)}`)
          .join(" ")
          .slice(0, 120)}
      </span>
    ),
  },
  { head: "AUC", right: true, cell: (run) => number(run.metrics.auc) },
  { head: "Model", cell: (run) => <ModelLink of={run.modelVersion} /> },
  {
    head: "Message",
    wide: true,
    cell: (run) => (
      <span className="line-clamp-1 text-muted" title={run.message ?? ""}>
        {run.message ?? ""}
      </span>
    ),
  },
];

/** `name/version` */
export function ModelLink({ of }: { of: string | null }) {
  const [name, version] = of?.split("/") ?? [];
  if (name === undefined) return <span className="text-muted">–</span>;
  return (
    <Link className="link" to="/models/$name" params={{ name }} search={{ version }}>
      {name} {version}
    </Link>
  );
}

export function RunTable({ runs, height, more, empty }: { runs: Run[]; height?: number; more?: (() => void) | undefined; empty?: string }) {
  return (
    <Table
      label="Runs"
      rows={runs}
      columns={columns}
      id={(run) => run.id}
      {...(height === undefined ? {} : { height })}
      more={more}
      empty={empty ?? "No run yet."}
    />
  );
}

export function Runs() {
  const [{ state, pipeline, view }] = useUrl();
  const query = new URLSearchParams({ limit: "200", ...(state === undefined ? {} : { state }), ...(pipeline === undefined ? {} : { pipeline }) });
  const runs = useList<Run>(`/runs?${query}`);
  const pipelines = useApi<Listed<Pipeline>>("/pipelines");
  return (
    <Page
      title="Runs"
      actions={
        <>
          <Choose label="Pipeline" param="pipeline" of={pipelines.data?.items.map((one) => one.name) ?? []} all="all" />
          <Choose label="State" param="state" of={states} all="all" />
        </>
      }
    >
      <Tabs
        param="view"
        of={[
          ["list", "List"],
          ["metrics", "Metrics over time"],
        ]}
      />
      {runs.isError ? (
        <Failure message={runs.error.message} again={() => void runs.refetch()} />
      ) : runs.isPending ? (
        <Loading />
      ) : view === "metrics" ? (
        <RunMetrics runs={runs.rows} />
      ) : (
        <Panel flush>
          <RunTable
            runs={runs.rows}
            height={760}
            more={runs.hasNextPage && !runs.isFetchingNextPage ? () => void runs.fetchNextPage() : undefined}
            empty={state === undefined && pipeline === undefined ? "No run yet. Start one: millrace run <pipeline>" : "No run fits these filters."}
          />
        </Panel>
      )}
    </Page>
  );
}

export function RunMetrics({ runs }: { runs: Run[] }) {
  const measured = runs.filter((run) => Object.keys(run.metrics).length > 0).reverse();
  const names = [...new Set(measured.flatMap((run) => Object.keys(run.metrics)))];
  if (names.length === 0) return <Empty>No run has metrics yet: they come from an evaluate step.</Empty>;
  return (
    <div className="grid grid-cols-2 gap-3">
      {names.map((name) => (
        <Panel key={name} title={name}>
          <Chart
            label={`${name} of runs over time`}
            time
            x={measured.map((run) => seconds(run.createdAt))}
            series={[{ name, values: measured.map((run) => run.metrics[name] ?? null) }]}
            height={210}
          />
        </Panel>
      ))}
    </div>
  );
}
