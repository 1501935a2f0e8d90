/** The table of runs itself: only rows and columns in sight are drawn, and it is led by keyboard as by mouse. The grid has the focus and the keys for its rows. */
import type { RunTableRow } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type MouseEvent, memo, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { words } from "../format";
import { cellOf, isRight, type RunColumn } from "./columns";
import { Head } from "./head";

export interface Order {
  id: string;
  descending: boolean;
}
interface Props {
  rows: RunTableRow[];
  fresh: Set<string>;
  columns: RunColumn[];
  order: Order;
  selected: Set<string>;
  now: number;
  dim: boolean;
  /** Rows that there are in all, as far as that is known. */
  total: number;
  experimentNames: Map<string, string>;
  onOrder(order: Order | undefined): void;
  onColumns(columns: RunColumn[]): void;
  onSelect(ids: string[], on: boolean): void;
  onOpen(run: RunTableRow): void;
  onSight(ids: string[]): void;
  onEnd(): void;
}

const rowHeight = 30;
const headHeight = 44;
const nameColumn = { least: 120, usual: 230 };
const checkWidth = 36;

export function Grid(props: Props) {
  const { rows, columns, selected, onSight, onEnd, onSelect, onOpen } = props;
  const box = useRef<HTMLDivElement>(null);
  const [nameWidth, setNameWidth] = useState(nameColumn.usual);
  const [active, setActive] = useState<string>();
  const lastPicked = useRef<number>(undefined);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => rowHeight, overscan: 12, scrollMargin: 0 });
  const drawn = virtual.getVirtualItems();
  const [above, setAbove] = useState(0);
  useStillReading(box, rows, setAbove);

  const range = `${drawn[0]?.index ?? 0}-${drawn.at(-1)?.index ?? -1}`;
  useEffect(() => {
    const [from = 0, to = -1] = range.split("-").map(Number);
    onSight(rows.slice(from, to + 1).map(({ id }) => id));
    if (rows.length > 0 && to >= rows.length - 60) onEnd();
    if (from === 0) setAbove(0);
  }, [range, rows, onSight, onEnd]);

  const pinned = useMemo(() => columns.filter((one) => one.pinned), [columns]);
  const loose = useMemo(() => columns.filter((one) => !one.pinned), [columns]);
  const places = useMemo(() => {
    let left = checkWidth + nameWidth;
    return pinned.map((one) => {
      const at = left;
      left += one.width;
      return at;
    });
  }, [pinned, nameWidth]);
  const pinnedWidth = checkWidth + nameWidth + pinned.reduce((sum, one) => sum + one.width, 0);
  const [from, to] = useColumnsInSight(box, loose, pinnedWidth);
  const before = loose.slice(0, from).reduce((sum, one) => sum + one.width, 0);
  const width = pinnedWidth + loose.reduce((sum, one) => sum + one.width, 0);

  const pick = useCallback(
    (index: number, range: boolean) => {
      const run = rows[index];
      if (run === undefined) return;
      const on = !selected.has(run.id);
      const since = range ? lastPicked.current : undefined;
      const between = since === undefined ? [run] : rows.slice(Math.min(since, index), Math.max(since, index) + 1);
      onSelect(
        between.map(({ id }) => id),
        on,
      );
      lastPicked.current = index;
    },
    [rows, selected, onSelect],
  );

  function lead(event: KeyboardEvent): void {
    if (event.target !== box.current) return;
    const at = rows.findIndex(({ id }) => id === active);
    const page = Math.max(1, Math.floor((box.current?.clientHeight ?? 300) / rowHeight) - 2);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const next = Math.max(0, Math.min(rows.length - 1, at === -1 ? 0 : at + step));
      if (event.shiftKey && at !== -1) onSelect([rows[at]?.id ?? "", rows[next]?.id ?? ""], true);
      setActive(rows[next]?.id);
      virtual.scrollToIndex(next);
    } else if (event.key === " " && at !== -1) {
      event.preventDefault();
      pick(at, event.shiftKey);
    } else if (event.key === "Enter" && at !== -1) {
      const run = rows[at];
      if (run !== undefined) onOpen(run);
    }
  }

  const all = rows.length > 0 && rows.slice(0, 500).every(({ id }) => selected.has(id));
  return (
    <div className="relative">
      <div
        ref={box}
        role="grid"
        aria-label="Runs"
        aria-rowcount={props.total + 1}
        aria-colcount={columns.length + 2}
        aria-multiselectable
        aria-busy={props.dim}
        aria-activedescendant={active === undefined ? undefined : `run-${active}`}
        tabIndex={0}
        onKeyDown={lead}
        className={`h-[calc(100vh-11.8rem)] min-h-80 overflow-auto overscroll-contain [overflow-anchor:none] ${props.dim ? "opacity-60" : ""}`}
      >
        <div style={{ width, minWidth: "100%", height: headHeight + virtual.getTotalSize() }} className="relative">
          <div role="row" aria-rowindex={1} className="sticky top-0 z-20 flex border-b border-line bg-panel" style={{ height: headHeight }}>
            <div role="columnheader" className="sticky left-0 z-10 flex shrink-0 items-end justify-center bg-panel pb-1.5" style={{ width: checkWidth }}>
              <input
                type="checkbox"
                aria-label={all ? "Select none" : "Select the runs that are loaded, 500 at most"}
                checked={all}
                onChange={() =>
                  onSelect(
                    rows.slice(0, 500).map(({ id }) => id),
                    !all,
                  )
                }
              />
            </div>
            <Head
              {...props}
              of={{ id: "attributes.run_name", group: "attributes", name: "run_name", width: nameWidth, pinned: true }}
              title="Run"
              left={checkWidth}
              colIndex={2}
              onWidth={(next) => setNameWidth(Math.max(nameColumn.least, next))}
            />
            {pinned.map((one, i) => (
              <Head key={one.id} {...props} of={one} left={places[i]} colIndex={i + 3} />
            ))}
            <div style={{ width: before }} className="shrink-0" />
            {loose.slice(from, to).map((one, i) => (
              <Head key={one.id} {...props} of={one} colIndex={pinned.length + from + i + 3} />
            ))}
          </div>
          {drawn.map(({ index, start }) => {
            const run = rows[index];
            return run === undefined ? null : (
              <Row
                key={run.id}
                run={run}
                index={index}
                top={headHeight + start}
                now={props.now}
                pinned={pinned}
                places={places}
                loose={loose}
                from={from}
                to={to}
                before={before}
                nameWidth={nameWidth}
                selected={selected.has(run.id)}
                active={active === run.id}
                fresh={props.fresh.has(run.id)}
                experimentName={props.experimentNames.get(run.experimentId)}
                pick={pick}
                activate={setActive}
              />
            );
          })}
        </div>
      </div>
      {above > 0 && (
        <button
          type="button"
          className="button absolute left-1/2 top-14 z-30 -translate-x-1/2 border-accent bg-panel text-accent shadow-md"
          onClick={() => box.current?.scrollTo({ top: 0 })}
        >
          ↑ {above === 1 ? "1 new run" : `${above} new runs`}
        </button>
      )}
    </div>
  );
}

const dots: Record<string, string> = { FINISHED: "bg-ok", FAILED: "bg-bad", KILLED: "bg-warn", RUNNING: "bg-info alive", SCHEDULED: "bg-muted" };

interface RowProps {
  run: RunTableRow;
  index: number;
  top: number;
  now: number;
  pinned: RunColumn[];
  places: number[];
  loose: RunColumn[];
  from: number;
  to: number;
  before: number;
  nameWidth: number;
  selected: boolean;
  active: boolean;
  fresh: boolean;
  experimentName: string | undefined;
  pick: (index: number, range: boolean) => void;
  activate: (id: string) => void;
}
const Row = memo(function Row(props: RowProps) {
  const { run, index, selected, active, pinned, places, loose, from, to } = props;
  const click = (event: MouseEvent) => props.pick(index, event.shiftKey);
  const ground = selected ? "bg-picked" : active ? "bg-sunken" : "bg-panel group-hover:bg-sunken";
  return (
    <div
      role="row"
      id={`run-${run.id}`}
      aria-rowindex={index + 2}
      aria-selected={selected}
      onClick={() => props.activate(run.id)}
      className={`group absolute left-0 top-0 flex w-full [contain:strict] ${props.fresh ? "fresh" : ""} ${active ? "outline outline-1 -outline-offset-1 outline-accent" : ""}`}
      style={{ transform: `translateY(${props.top}px)`, height: rowHeight }}
    >
      <div
        role="gridcell"
        className={`sticky left-0 z-10 flex shrink-0 items-center justify-center border-b border-line/60 ${ground}`}
        style={{ width: checkWidth }}
      >
        <input type="checkbox" aria-label={`Select ${run.name}`} checked={selected} onClick={click} readOnly />
      </div>
      <div
        role="gridcell"
        className={`sticky z-10 flex shrink-0 items-center gap-2 border-b border-r border-line/60 px-2 ${ground}`}
        style={{ width: props.nameWidth, left: checkWidth }}
      >
        <span
          role="img"
          aria-label={words(run.status.toLowerCase())}
          title={run.status.toLowerCase()}
          className={`size-2 shrink-0 rounded-full ${dots[run.status] ?? "bg-muted"}`}
        />
        <Link
          className="link truncate font-medium"
          title={run.name}
          to="/experiments/$id/runs/$runId"
          params={{ id: run.experimentId, runId: run.id }}
          preload={false}
        >
          {run.name || run.id.slice(0, 8)}
        </Link>
      </div>
      {pinned.map((one, i) => (
        <CellView key={one.id} {...props} of={one} left={places[i]} ground={ground} />
      ))}
      <div style={{ width: props.before }} className={`shrink-0 border-b border-line/60 ${ground}`} />
      {loose.slice(from, to).map((one) => (
        <CellView key={one.id} {...props} of={one} ground={ground} />
      ))}
      <div className={`grow border-b border-line/60 ${ground}`} />
    </div>
  );
});

function CellView({ run, of, now, left, ground, experimentName }: RowProps & { of: RunColumn; left?: number | undefined; ground: string }) {
  const { text, title } = cellOf(run, of, now);
  return (
    <div
      role="gridcell"
      title={title}
      className={`shrink-0 truncate border-b border-line/60 px-2 leading-[29px] ${isRight(of) ? "text-right" : ""} ${ground} ${left === undefined ? "" : "sticky z-10 border-r"}`}
      style={{ width: of.width, ...(left === undefined ? {} : { left }) }}
    >
      {of.id === "attributes.experiment_id" ? (experimentName ?? text) : text}
    </div>
  );
}

/** When rows come or go above what is read, what is read stays where it is. Counts what came above. */
function useStillReading(box: { current: HTMLDivElement | null }, rows: RunTableRow[], setAbove: (change: (count: number) => number) => void): void {
  const before = useRef(rows);
  useLayoutEffect(() => {
    const { current } = box;
    const old = before.current;
    before.current = rows;
    if (current === null || old === rows || current.scrollTop <= rowHeight / 2) return;
    const at = Math.floor(current.scrollTop / rowHeight);
    const anchor = old[at];
    // Where only later rows came, nothing moves.
    if (anchor === undefined || rows[at]?.id === anchor.id) return;
    const now = rows.findIndex(({ id }) => id === anchor.id);
    // Another search begins at its top.
    if (now === -1) current.scrollTop = 0;
    else {
      current.scrollTop += (now - at) * rowHeight;
      if (now > at) setAbove((count) => count + now - at);
    }
  }, [box, rows, setAbove]);
}

/** Of the columns that scroll, those in sight and a little beside them. */
function useColumnsInSight(box: { current: HTMLDivElement | null }, columns: RunColumn[], pinnedWidth: number): [number, number] {
  const [sight, setSight] = useState<[number, number]>([0, 30]);
  useEffect(() => {
    const { current } = box;
    if (current === null) return;
    const look = () => {
      const [left, right] = [current.scrollLeft - 300, current.scrollLeft + current.clientWidth - pinnedWidth + 300];
      let [from, to, at] = [0, columns.length, 0];
      columns.forEach((one, i) => {
        if (at + one.width < left) from = i + 1;
        if (at < right) to = i + 1;
        at += one.width;
      });
      setSight((old) => (old[0] === from && old[1] === to ? old : [from, to]));
    };
    look();
    current.addEventListener("scroll", look, { passive: true });
    const resized = new ResizeObserver(look);
    resized.observe(current);
    return () => {
      current.removeEventListener("scroll", look);
      resized.disconnect();
    };
  }, [box, columns, pinnedWidth]);
  return sight;
}
