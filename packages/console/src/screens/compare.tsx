import type { RunTableRow } from "@millrace/sdk/api";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import { ask } from "../api";
import { factsOf } from "../compare/facts";
import { ParallelCoordinates } from "../compare/parallel";
import { Scatter } from "../compare/scatter";
import { ComparisonTable } from "../compare/table";
import { counted } from "../format";
import { MetricCharts } from "../metric-charts";
import { Empty, Failure, Page, Read, Tabs } from "../ui";
import { useUrl } from "../url";

const most = 500;
const liveMs = 5_000;
const parts = [
  ["table", "Table"],
  ["charts", "Charts"],
  ["parallel", "Parallel coordinates"],
  ["scatter", "Scatter"],
] as const;

/** Runs side by side: which, and how they are looked at, is in the address. */
export function Compare() {
  const { id = "" } = useParams({ strict: false });
  const [{ runs: text = "", part = "table" }, change] = useUrl();
  const ids = useMemo(() => [...new Set(text.split(",").filter((one) => one !== ""))], [text]);
  const query = useQuery({
    queryKey: ["/tracking/runs/compare", ids],
    queryFn: ({ signal }) => ask<{ items: RunTableRow[] }>("/tracking/runs/compare", { runs: ids }, signal),
    enabled: ids.length > 0 && ids.length <= most,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.data?.items.some(isRunning) ? liveMs : false),
  });
  const runs = query.data?.items;
  const facts = useMemo(() => factsOf(runs ?? []), [runs]);
  const charted = useMemo(() => (runs ?? []).map((run) => ({ id: run.id, name: run.name })), [runs]);
  return (
    <Page
      wide
      title={`Comparison of ${counted(ids.length, "run")}`}
      actions={
        <Link className="button" to="/experiments/$id" params={{ id }} search={{ selected: ids.slice(0, 200).join(",") }}>
          Choose other runs
        </Link>
      }
    >
      {ids.length > most ? (
        <Failure message={`At most ${most} runs are compared at once; the address names ${ids.length}.`} />
      ) : ids.length === 0 ? (
        <Empty>No runs are chosen. Select some in an experiment's table.</Empty>
      ) : (
        <Read query={query}>
          {({ items }) => (
            <>
              {items.length < ids.length && <p className="text-warn">{counted(ids.length - items.length, "run")} of the address are not there any more.</p>}
              <Tabs param="part" of={[...parts]} />
              {part === "charts" ? (
                <MetricCharts runs={charted} live={items.some(isRunning)} />
              ) : part === "parallel" ? (
                <ParallelCoordinates runs={items} facts={facts} />
              ) : part === "scatter" ? (
                <Scatter runs={items} facts={facts} />
              ) : (
                <ComparisonTable runs={items} facts={facts} onRemove={(one) => change({ runs: ids.filter((other) => other !== one).join(",") })} />
              )}
            </>
          )}
        </Read>
      )}
    </Page>
  );
}
const isRunning = ({ status }: RunTableRow): boolean => status === "RUNNING";
