import { DropdownMenu } from "radix-ui";
import type { KeyboardEvent, PointerEvent } from "react";
import { headOf, isRight, kindOf, orderOf, pinnedFirst, type RunColumn } from "./columns";
import type { Order } from "./grid";

interface Props {
  of: RunColumn;
  title?: string;
  left?: number | undefined;
  colIndex: number;
  columns: RunColumn[];
  order: Order;
  onOrder(order: Order | undefined): void;
  onColumns(columns: RunColumn[]): void;
  onWidth?(width: number): void;
}

const limits = { least: 50, most: 900 };

/** A column's head: a click orders by it, its menu pins, moves and hides it, its edge makes it wider. */
export function Head({ of, title, left, colIndex, columns, order, onOrder, onColumns, onWidth }: Props) {
  const name = title ?? headOf(of);
  const canOrder = of.name === "run_name" || orderOf(of) !== undefined;
  const ordered = order.id === of.id;
  const change = (patch: Partial<RunColumn>) => onColumns(pinnedFirst(columns.map((one) => (one.id === of.id ? { ...one, ...patch } : one))));
  const setWidth = onWidth ?? ((width: number) => change({ width }));
  // A measure is looked at from its best end, and then from the other.
  const usual = of.group === "metrics" || of.name === "start_time" || of.name === "end_time" || of.name === "duration";
  const next = !ordered ? { id: of.id, descending: usual } : order.descending === usual ? { id: of.id, descending: !usual } : undefined;

  function move(by: number): void {
    const at = columns.findIndex((one) => one.id === of.id);
    place(at + by);
  }
  function place(to: number): void {
    const others = columns.filter((one) => one.id !== of.id);
    onColumns(pinnedFirst([...others.slice(0, to), of, ...others.slice(to)]));
  }
  function drag(event: PointerEvent<HTMLElement>): void {
    event.preventDefault();
    event.stopPropagation();
    const handle = event.currentTarget;
    const start = event.clientX;
    handle.setPointerCapture(event.pointerId);
    let width = of.width;
    handle.onpointermove = (moved) => {
      width = Math.min(limits.most, Math.max(limits.least, of.width + moved.clientX - start));
      setWidth(width);
    };
    handle.onpointerup = () => {
      handle.onpointermove = null;
      handle.onpointerup = null;
    };
  }
  function widen(event: KeyboardEvent): void {
    const by = event.key === "ArrowRight" ? 16 : event.key === "ArrowLeft" ? -16 : 0;
    if (by === 0) return;
    event.preventDefault();
    setWidth(Math.min(limits.most, Math.max(limits.least, of.width + by)));
  }

  const own = title !== undefined;
  return (
    <div
      role="columnheader"
      aria-colindex={colIndex}
      aria-sort={ordered ? (order.descending ? "descending" : "ascending") : "none"}
      draggable={!own}
      onDragStart={(event) => event.dataTransfer.setData("text/x-column", of.id)}
      onDragOver={(event) => event.dataTransfer.types.includes("text/x-column") && event.preventDefault()}
      onDrop={(event) => {
        const dragged = columns.find((one) => one.id === event.dataTransfer.getData("text/x-column"));
        const at = columns.findIndex((one) => one.id === of.id);
        if (dragged === undefined || dragged.id === of.id) return;
        const others = columns.filter((one) => one.id !== dragged.id);
        onColumns(pinnedFirst([...others.slice(0, Math.max(0, at)), { ...dragged, pinned: own || of.pinned }, ...others.slice(Math.max(0, at))]));
      }}
      className={`group/head relative flex shrink-0 items-end bg-panel pb-1 text-[12px] text-muted ${left === undefined ? "" : "sticky z-10 border-r border-line/60"}`}
      style={{ width: of.width, ...(left === undefined ? {} : { left }) }}
    >
      <button
        type="button"
        disabled={!canOrder}
        title={own ? "Order by the run's name" : canOrder ? `Order by ${of.id}` : of.id}
        onClick={() => onOrder(next)}
        className={`min-w-0 grow px-2 ${isRight(of) ? "text-right" : "text-left"} ${canOrder ? "hover:text-ink" : "!cursor-default"} ${ordered ? "font-semibold text-ink" : "font-medium"}`}
      >
        {kindOf(of) !== "" && <span className="block text-[10px] font-normal leading-3 text-muted/80">{kindOf(of)}</span>}
        <span className="block truncate leading-4">
          {ordered && <span aria-hidden>{order.descending ? "↓ " : "↑ "}</span>}
          {name}
        </span>
      </button>
      {!own && (
        <DropdownMenu.Root modal={false}>
          <DropdownMenu.Trigger
            aria-label={`Column ${name}`}
            className="absolute right-2 top-1 rounded bg-panel px-1 leading-4 opacity-0 hover:bg-sunken focus-visible:opacity-100 group-hover/head:opacity-100 data-[state=open]:opacity-100"
          >
            ⋯
          </DropdownMenu.Trigger>
          <DropdownMenu.Portal>
            <DropdownMenu.Content align="end" className="menu">
              {canOrder && (
                <>
                  <Item run={() => onOrder({ id: of.id, descending: true })}>Largest first</Item>
                  <Item run={() => onOrder({ id: of.id, descending: false })}>Smallest first</Item>
                </>
              )}
              <Item run={() => change({ pinned: !of.pinned })}>{of.pinned ? "Unpin" : "Pin to the left"}</Item>
              <Item run={() => move(-1)}>Move left</Item>
              <Item run={() => move(1)}>Move right</Item>
              <Item run={() => onColumns(columns.filter((one) => one.id !== of.id))}>Hide</Item>
            </DropdownMenu.Content>
          </DropdownMenu.Portal>
        </DropdownMenu.Root>
      )}
      <div
        role="separator"
        aria-orientation="vertical"
        aria-label={`Width of ${name}`}
        aria-valuenow={Math.round(of.width)}
        aria-valuemin={limits.least}
        aria-valuemax={limits.most}
        tabIndex={0}
        onPointerDown={drag}
        onKeyDown={widen}
        draggable={false}
        className="absolute inset-y-2 right-0 w-1.5 cursor-col-resize border-r border-line hover:border-r-2 hover:border-accent"
      />
    </div>
  );
}

const Item = ({ run, children }: { run: () => void; children: React.ReactNode }) => (
  <DropdownMenu.Item className="menu-item" onSelect={run}>
    {children}
  </DropdownMenu.Item>
);
