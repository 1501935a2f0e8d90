import type { RunTableRow } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { runColor } from "../run-color";
import { Empty } from "../ui";
import { useUrl } from "../url";
import { bestOf, type Fact, groups, smallIsGood, type Value } from "./facts";

const size = { name: 220, run: 148, row: 27, head: 34, height: 620 };
const words = { attributes: "Attributes", params: "Params", metrics: "Metrics", tags: "Tags" };
const frame = "overflow-auto rounded-lg border border-line bg-panel";
type Line = { head: string } | Fact;

/** Facts down, runs across; only what is in sight is drawn. */
export function ComparisonTable({ runs, facts, onRemove }: { runs: RunTableRow[]; facts: Fact[]; onRemove: (id: string) => void }) {
  const [{ all, find = "", flip = "" }, change] = useUrl();
  const box = useRef<HTMLElement>(null);
  const flipped = useMemo(() => new Set(flip.split(",").filter((one) => one !== "")), [flip]);
  const lines = useMemo(() => {
    const shown = facts.filter((fact) => (all === "1" || fact.differs) && fact.name.toLowerCase().includes(find.toLowerCase()));
    return groups.flatMap((group): Line[] => {
      const of = shown.filter((fact) => fact.group === group);
      return of.length === 0 ? [] : [{ head: words[group] }, ...of];
    });
  }, [facts, all, find]);
  const down = useVirtualizer({ count: lines.length, getScrollElement: () => box.current, estimateSize: () => size.row, overscan: 10 });
  const across = useVirtualizer({
    count: runs.length,
    getScrollElement: () => box.current,
    estimateSize: () => size.run,
    horizontal: true,
    overscan: 3,
    paddingStart: size.name,
  });
  const [columns, rows] = [across.getVirtualItems(), down.getVirtualItems()];
  const before = (columns[0]?.start ?? size.name) - size.name;
  const after = across.getTotalSize() - (columns.at(-1)?.end ?? size.name);
  const toggle = (name: string) => {
    const next = new Set(flipped);
    if (!next.delete(name)) next.add(name);
    change({ flip: [...next].join(",") || undefined });
  };
  return (
    <div className="space-y-2">
      <div className="flex flex-wrap items-center gap-4">
        <input
          type="search"
          className="field w-48"
          placeholder="Find a row"
          aria-label="Find a row"
          value={find}
          onChange={(event) => change({ find: event.target.value || undefined })}
        />
        <label className="flex items-center gap-1.5 text-muted">
          <input type="checkbox" checked={all !== "1"} onChange={(event) => change({ all: event.target.checked ? undefined : "1" })} />
          Differences only
        </label>
        <button type="button" className="button ml-auto" onClick={() => save(runs, facts)}>
          CSV
        </button>
      </div>
      {lines.length === 0 ? (
        <Empty>{all === "1" ? "Nothing has such a name." : "The runs differ in nothing of this name."}</Empty>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <section ref={box} tabIndex={0} aria-label="Comparison" className={frame} style={{ maxHeight: size.height }}>
          <table
            className="border-collapse text-left text-[12px]"
            style={{ width: across.getTotalSize(), tableLayout: "fixed" }}
            aria-rowcount={lines.length + 1}
            aria-colcount={runs.length + 1}
          >
            <thead className="sticky top-0 z-20 bg-panel shadow-[inset_0_-1px_0_var(--line)]">
              <tr style={{ height: size.head }}>
                <td className="sticky left-0 z-10 bg-panel" style={{ width: size.name }} />
                <Gap width={before} />
                {columns.map(({ index }) => {
                  const run = runs[index];
                  if (run === undefined) return null;
                  return (
                    <th key={run.id} scope="col" aria-colindex={index + 2} className="group px-2 font-medium" style={{ width: size.run }}>
                      <span className="flex items-center gap-1.5">
                        <span className="size-2.5 shrink-0 rounded-full" style={{ background: runColor(run.id) }} />
                        <Link
                          className="link truncate"
                          title={`${run.name} (${run.id})`}
                          to="/experiments/$id/runs/$runId"
                          params={{ id: run.experimentId, runId: run.id }}
                        >
                          {run.name}
                        </Link>
                        <button
                          type="button"
                          aria-label={`Leave ${run.name} out`}
                          className="ml-auto text-muted opacity-0 hover:text-ink focus-visible:opacity-100 group-hover:opacity-100"
                          onClick={() => onRemove(run.id)}
                        >
                          ✕
                        </button>
                      </span>
                    </th>
                  );
                })}
                <Gap width={after} />
              </tr>
            </thead>
            <tbody>
              <tr aria-hidden style={{ height: rows[0]?.start ?? 0 }} />
              {rows.map(({ index }) => {
                const line = lines[index];
                if (line === undefined) return null;
                if ("head" in line)
                  return (
                    <tr key={line.head} aria-rowindex={index + 2} className="bg-sunken" style={{ height: size.row }}>
                      <th scope="rowgroup" className="sticky left-0 bg-sunken px-2 font-semibold">
                        {line.head}
                      </th>
                      <td colSpan={columns.length + 2} />
                    </tr>
                  );
                return (
                  <FactRow
                    key={line.id}
                    fact={line}
                    index={index}
                    columns={columns.map((column) => column.index)}
                    before={before}
                    after={after}
                    small={smallIsGood(line.name) !== flipped.has(line.name)}
                    onFlip={() => toggle(line.name)}
                  />
                );
              })}
              <tr aria-hidden style={{ height: down.getTotalSize() - (rows.at(-1)?.end ?? 0) }} />
            </tbody>
          </table>
        </section>
      )}
    </div>
  );
}

/** Stands for the columns that are out of sight. */
const Gap = ({ width }: { width: number }) => <td aria-hidden className="p-0" style={{ width }} />;

function FactRow({
  fact,
  index,
  columns,
  before,
  after,
  small,
  onFlip,
}: {
  fact: Fact;
  index: number;
  columns: number[];
  before: number;
  after: number;
  small: boolean;
  onFlip: () => void;
}) {
  const best = fact.group === "metrics" ? bestOf(fact.values, small) : new Set<number>();
  return (
    <tr aria-rowindex={index + 2} className="border-b border-line/60" style={{ height: size.row }}>
      <th scope="row" className="sticky left-0 z-10 bg-panel px-2 font-normal text-muted">
        <span className="flex items-center gap-1">
          <span className="truncate" title={fact.name}>
            {fact.name}
          </span>
          {fact.group === "metrics" && (
            <button
              type="button"
              className="ml-auto rounded px-1 hover:bg-sunken"
              title={small ? "The smallest is marked. Mark the largest." : "The largest is marked. Mark the smallest."}
              aria-label={`${fact.name}: mark the ${small ? "largest" : "smallest"}`}
              onClick={onFlip}
            >
              {small ? "↓" : "↑"}
            </button>
          )}
        </span>
      </th>
      <Gap width={before} />
      {columns.map((column) => (
        <td
          key={column}
          aria-colindex={column + 2}
          title={told(fact.values[column])}
          className={`truncate px-2 ${typeof fact.values[column] === "number" ? "text-right" : ""} ${best.has(column) ? "bg-ok/12 font-semibold text-ok" : ""}`}
        >
          {shown(fact.values[column])}
        </td>
      ))}
      <Gap width={after} />
    </tr>
  );
}

const told = (value: Value): string => (value === undefined ? "not there" : String(value));
const shown = (value: Value) =>
  value === undefined ? <span className="text-muted">–</span> : typeof value === "number" ? String(Number(value.toPrecision(6))) : value;

function save(runs: RunTableRow[], facts: Fact[]): void {
  // A text that a spreadsheet would take for a formula stays a text.
  const cell = (value: Value) =>
    value === undefined ? "" : typeof value === "number" ? String(value) : `"${(/^[=+\-@\t\r]/.test(value) ? `'${value}` : value).replaceAll('"', '""')}"`;
  const lines = [
    ["what", "name", ...runs.map((run) => run.name)].map(cell),
    ["attributes", "run_id", ...runs.map((run) => run.id)].map(cell),
    ...facts.map((fact) => [cell(fact.group), cell(fact.name), ...fact.values.map(cell)]),
  ];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${lines.map((line) => line.join(",")).join("\n")}\n`], { type: "text/csv" }));
  link.download = "comparison.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
