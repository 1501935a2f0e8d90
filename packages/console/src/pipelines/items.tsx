/** The steps of a map's items, as many as there are: page by page, by state. */
import type { Step } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useList } from "../api";
import { count, duration, value } from "../format";
import { Empty, Failure, Loading, State, Table } from "../ui";
import { useUrl } from "../url";
import type { Counts } from "./graph";
import { itemOf } from "./outline";

export function Items({ run, map, nodes, counts, active }: { run: string; map: Step; nodes: string[]; counts: Map<string, Counts>; active: boolean }) {
  const [search, change] = useUrl();
  const query = new URLSearchParams({ parent: map.id, limit: "200", ...(search.state === undefined ? {} : { state: search.state }) });
  const children = useList<Step>(`/runs/${encodeURIComponent(run)}/steps?${query}`, active ? 5_000 : 60_000);
  const rows = search.of === undefined || !nodes.includes(search.of) ? children.rows : children.rows.filter((step) => step.node === search.of);
  const states = counts.get(map.id) ?? {};
  return (
    <>
      <div className="flex flex-wrap items-center gap-2 pb-2">
        <FilterButton on={search.state === undefined} set={() => change({ state: undefined })}>
          all {count(Object.values(states).reduce((sum, one) => sum + one, 0))}
        </FilterButton>
        {Object.entries(states).map(([state, many]) => (
          <FilterButton key={state} on={search.state === state} set={() => change({ state })}>
            {state} {count(many)}
          </FilterButton>
        ))}
        {nodes.length > 1 && (
          <label className="flex items-center gap-1.5 text-muted">
            Step
            <select className="field" value={search.of ?? ""} onChange={(event) => change({ of: event.target.value || undefined })}>
              <option value="">all</option>
              {nodes.map((node) => (
                <option key={node}>{node}</option>
              ))}
            </select>
          </label>
        )}
      </div>
      {children.isError ? (
        <Failure message={children.error.message} again={() => void children.refetch()} />
      ) : children.isPending ? (
        <Loading />
      ) : rows.length === 0 ? (
        <Empty>{map.items?.total === 0 ? "The list was empty." : "No step fits."}</Empty>
      ) : (
        <Table
          label={`Items of ${map.id}`}
          rows={rows}
          id={(step) => step.id}
          selected={search.item}
          height={340}
          more={children.hasNextPage && !children.isFetchingNextPage ? () => void children.fetchNextPage() : undefined}
          columns={[
            { head: "#", right: true, cell: (step) => itemOf(step.id) ?? "" },
            {
              head: "Step",
              cell: (step) => (
                <Link className="link" to="." search={(old) => ({ ...old, item: step.id, tab: undefined })} replace>
                  {step.id}
                </Link>
              ),
            },
            { head: "Item", cell: (step) => <code className="block max-w-60 truncate text-[12px]">{value(step.item)}</code> },
            { head: "State", cell: (step) => <State state={step.state} /> },
            {
              head: "Progress",
              cell: (step) =>
                step.progress?.total && step.progress.done !== undefined ? `${Math.round((100 * step.progress.done) / step.progress.total)} %` : "",
            },
            { head: "Attempt", right: true, cell: (step) => (step.attempt > 1 ? step.attempt : "") },
            { head: "Took", right: true, cell: (step) => duration(step.durationMs) },
            {
              head: "Why",
              wide: true,
              cell: (step) => (
                <span className="line-clamp-1 text-muted" title={step.error ?? step.reason ?? ""}>
                  {step.error ?? step.reason}
                </span>
              ),
            },
          ]}
        />
      )}
    </>
  );
}
const FilterButton = ({ on, set, children }: { on: boolean; set: () => void; children: ReactNode }) => (
  <button type="button" aria-pressed={on} className={`button ${on ? "border-accent" : ""}`} onClick={set}>
    {children}
  </button>
);
