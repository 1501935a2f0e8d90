import type { LifecycleView, RunColumns, RunTableRow } from "@millrace/sdk/api";
import { useQueries } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { read, useClock } from "../api";
import { count } from "../format";
import { CopyAsPython, csvAddress, SelectionActions } from "../runs/actions";
import { ColumnChooser } from "../runs/column-chooser";
import { asked, column, orderOf, type RunColumn, readColumns, usualColumns, writeColumns } from "../runs/columns";
import { FilterBox } from "../runs/filter-box";
import { Grid, type Order } from "../runs/grid";
import { type RunSearch, useRunCount, useRunRows } from "../runs/rows";
import { Badge, Failure, Loading, Page, Panel } from "../ui";
import { useUrl } from "../url";

interface MlflowExperiment {
  experiment: { experiment_id: string; name: string; lifecycle_stage: string; tags?: { key: string; value: string }[] };
}
const views: LifecycleView[] = ["active", "deleted", "all"];
const usualOrder: Order = { id: "attributes.start_time", descending: true };
/** An address holds so many selected runs; more are selected until one leaves. */
const mostInAddress = 200;

/** The runs of one experiment, or of several: the whole view is in the address. */
export function Experiment() {
  const { id = "" } = useParams({ strict: false });
  const [{ experiments }] = useUrl();
  const all = (experiments ?? id).split(",").filter((one) => /^\d{1,15}$/.test(one));
  // Nothing of one experiment's view is of use in another's.
  return <Runs key={all.join()} id={id} of={all.join()} />;
}

function Runs({ id, of }: { id: string; of: string }) {
  const [url, change] = useUrl();
  const navigate = useNavigate();
  const { now } = useClock();
  const experiments = useMemo(() => of.split(","), [of]);
  const told = useExperiments(experiments);
  const known = useKnownColumns(experiments);
  const several = experiments.length > 1;

  const view = views.find((one) => one === url.view) ?? "active";
  const filter = url.filter ?? "";
  const order = useMemo(() => readOrder(url.order), [url.order]);
  const search = useMemo<RunSearch>(() => ({ experiments, filter, view, orderBy: orderText(order) }), [experiments, filter, view, order]);
  const columns = useMemo(() => (url.columns === undefined ? known.usual : readColumns(url.columns)), [url.columns, known.usual]);
  const setColumns = useCallback((next: RunColumn[] | undefined) => change({ columns: next === undefined ? undefined : writeColumns(next) }), [change]);

  const rows = useRunRows(
    search,
    useMemo(() => asked(columns), [columns]),
  );
  const total = useRunCount(search, rows.rows[0]?.id);
  const [selected, setSelected] = useSelection(url.selected, change);
  const select = useCallback(
    (ids: string[], on: boolean) =>
      setSelected((old) => {
        const next = new Set(old);
        for (const one of ids)
          if (on) next.add(one);
          else next.delete(one);
        return next;
      }),
    [setSelected],
  );
  const open = useCallback(
    (run: RunTableRow) => void navigate({ to: "/experiments/$id/runs/$runId", params: { id: run.experimentId, runId: run.id } }),
    [navigate],
  );
  const chosen = useMemo(() => [...selected], [selected]);
  const title = several ? `${experiments.length} experiments` : (told.get(id)?.name ?? `Experiment ${id}`);
  const counted =
    total.data === undefined ? "" : total.data.count === 0 && !total.data.exact ? "many" : `${count(total.data.count)}${total.data.exact ? "" : "+"}`;
  const names = useMemo(() => new Map([...told].map(([one, { name }]) => [one, name])), [told]);
  const failed = rows.failure;
  return (
    <Page
      wide
      title={title}
      about={
        <span className="flex items-center gap-2" role="status" aria-label="How many runs fit">
          {counted !== "" && `${counted} ${counted === "1" ? "run" : "runs"}${filter === "" ? "" : " fit"}`}
          {!several && told.get(id)?.lifecycle_stage === "deleted" && <Badge tone="warn">deleted experiment</Badge>}
          {several && <span className="max-w-[40rem] truncate text-muted">{experiments.map((one) => told.get(one)?.name ?? one).join(", ")}</span>}
        </span>
      }
      actions={
        chosen.length > 0 ? (
          <>
            <SelectionActions id={id} selected={chosen} rows={rows.rows} view={view} onDone={rows.refresh} onClear={() => setSelected(() => new Set())} />
            <CopyAsPython search={search} selected={chosen} />
          </>
        ) : (
          <>
            <label className="flex items-center gap-1.5 text-muted">
              Show
              <select
                className="field"
                aria-label="Which runs"
                value={view}
                onChange={(event) => change({ view: event.target.value === "active" ? undefined : event.target.value, selected: undefined })}
              >
                <option value="active">active runs</option>
                <option value="deleted">deleted runs</option>
                <option value="all">all runs</option>
              </select>
            </label>
            <ColumnChooser known={known.data} columns={columns} onColumns={setColumns} />
            <a className="button" href={csvAddress(search, columns)} download>
              CSV
            </a>
            <CopyAsPython search={search} selected={chosen} />
          </>
        )
      }
    >
      <div className="flex items-start gap-2">
        <FilterBox
          search={search}
          known={known.data}
          failure={failed?.status === 400 ? failed : undefined}
          onFilter={(next) => change({ filter: next === "" ? undefined : next })}
        />
      </div>
      <Panel flush>
        {failed !== undefined && failed.status !== 400 && <Failure message={failed.message} again={rows.refresh} />}
        {rows.loading && rows.rows.length === 0 && failed === undefined ? (
          <Loading />
        ) : rows.rows.length === 0 && failed === undefined && !rows.stale ? (
          <Nothing search={search} id={id} />
        ) : (
          <Grid
            rows={rows.rows}
            fresh={rows.fresh}
            columns={columns}
            order={order}
            selected={selected}
            now={Math.floor(now / 10_000) * 10_000}
            dim={rows.stale || (failed !== undefined && rows.rows.length > 0)}
            total={Math.max(rows.rows.length, total.data?.count ?? 0)}
            experimentNames={names}
            onOrder={(next) => change({ order: next === undefined ? undefined : `${next.id} ${next.descending ? "desc" : "asc"}` })}
            onColumns={setColumns}
            onSelect={select}
            onOpen={open}
            onSight={rows.look}
            onEnd={rows.loadMore}
          />
        )}
      </Panel>
    </Page>
  );
}

function Nothing({ search, id }: { search: RunSearch; id: string }) {
  return (
    <div className="px-3 py-10 text-center text-muted">
      {search.filter !== "" ? (
        "No run fits this filter."
      ) : search.view === "deleted" ? (
        "No run is deleted."
      ) : (
        <>
          <p>No run yet. Log one with MLflow's client:</p>
          <pre className="mx-auto mt-2 inline-block rounded bg-sunken p-3 text-left font-mono text-[12px] text-ink">
            {`import mlflow\n\nmlflow.set_tracking_uri("${location.origin}")\nwith mlflow.start_run(experiment_id="${id}"):\n    mlflow.log_metric("auc", 0.9)`}
          </pre>
        </>
      )}
    </div>
  );
}

function readOrder(text: string | undefined): Order {
  const match = /^(.+) (asc|desc)$/.exec(text ?? "");
  if (match?.[1] === undefined) return usualOrder;
  const id = match[1];
  return id === "attributes.run_name" || column(id) !== undefined ? { id, descending: match[2] === "desc" } : usualOrder;
}
function orderText({ id, descending }: Order): string[] {
  const of = id === "attributes.run_name" ? id : orderOf(column(id) ?? { group: "attributes", name: "" });
  return of === undefined ? [] : [`${of} ${descending ? "DESC" : "ASC"}`];
}

function useExperiments(ids: string[]): Map<string, MlflowExperiment["experiment"]> {
  const answers = useQueries({
    queries: ids.slice(0, 50).map((id) => ({
      queryKey: [`/tracking/experiment/${id}`],
      staleTime: 60_000,
      queryFn: () => read<MlflowExperiment>(`/api/2.0/mlflow/experiments/get?experiment_id=${id}`),
    })),
  });
  return new Map(answers.flatMap(({ data }) => (data === undefined ? [] : [[data.experiment.experiment_id, data.experiment] as const])));
}

/** The keys of all the experiments; the usual columns are those of the first answer, so that none comes while one reads. */
function useKnownColumns(experiments: string[]): { data: RunColumns | undefined; usual: RunColumn[] } {
  const answers = useQueries({
    queries: experiments.slice(0, 20).map((id) => ({
      queryKey: [`/tracking/experiments/${id}/columns`],
      queryFn: () => read<RunColumns>(`/api/v1/tracking/experiments/${id}/columns`),
      refetchInterval: 15_000,
      retry: 1,
    })),
  });
  const settled = answers.every((one) => one.data !== undefined || one.isError);
  const data = together(answers.flatMap((one) => one.data ?? []));
  const first = useRef<{ of: string; usual: RunColumn[] }>(undefined);
  const of = experiments.join();
  // An answer that came too late for its keys is no answer yet.
  const told = data !== undefined && (data.complete || data.runs > 0);
  if (settled && told && first.current?.of !== of) first.current = { of, usual: usualColumns(data, experiments.length > 1) };
  return { data, usual: first.current?.of === of ? first.current.usual : usualColumns(undefined, experiments.length > 1) };
}
function together(all: RunColumns[]): RunColumns | undefined {
  const [first, ...others] = all;
  if (first === undefined || others.length === 0) return first;
  const sum = (group: "metrics" | "params" | "tags") => {
    const found: Record<string, number> = {};
    for (const one of all) for (const [key, runs] of Object.entries(one[group])) found[key] = (found[key] ?? 0) + runs;
    return found;
  };
  return {
    metrics: sum("metrics"),
    params: sum("params"),
    tags: sum("tags"),
    runs: all.reduce((runs, one) => runs + one.runs, 0),
    complete: all.every((one) => one.complete),
    datasets: all.some((one) => one.datasets),
    models: all.some((one) => one.models),
  };
}

function useSelection(
  text: string | undefined,
  change: (patch: Record<string, string | undefined>) => void,
): [Set<string>, (next: (old: Set<string>) => Set<string>) => void] {
  const [selected, set] = useState(() => new Set(text === undefined || text === "" ? [] : text.split(",")));
  const written = [...selected].slice(0, mostInAddress).join(",");
  // biome-ignore lint/correctness/useExhaustiveDependencies: the selection leads, the address follows
  useEffect(() => {
    if (written !== (text ?? "")) change({ selected: written === "" ? undefined : written });
  }, [written]);
  return [selected, set];
}
