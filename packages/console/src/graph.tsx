import { Graph as Layout, layout } from "@dagrejs/dagre";
import { useRouter } from "@tanstack/react-router";
import { BaseEdge, Controls, type Edge, type EdgeProps, Handle, MarkerType, type Node, type NodeProps, Position, ReactFlow } from "@xyflow/react";
import { type ReactNode, useMemo } from "react";
import "@xyflow/react/dist/style.css";
import { useTheme } from "./theme";
import { State, stateTone, type Tone } from "./ui";

type Side = "left" | "right" | "top" | "bottom";
export interface Box {
  id: string;
  kind: string;
  title: string;
  lines?: ReactNode[];
  state?: string | undefined;
  /** Where a click leads. */
  href?: string | undefined;
  selected?: boolean;
  at?: { x: number; y: number };
  /** The frame that it stands in. */
  frame?: string | undefined;
  /** The state stands above, and leaves the line its room. */
  stateAbove?: boolean;
  /** Nothing happened here, or will. */
  faded?: boolean;
}
/** Around boxes that belong together; frames may stand in frames. */
export interface Frame {
  id: string;
  title: string;
  frame?: string | undefined;
  href?: string | undefined;
}
export interface Line {
  from: string;
  to: string;
  sides?: [Side, Side];
  /** Something moves here now. */
  alive?: boolean;
  label?: string | undefined;
  /** Nothing goes this way, the one only waits for the other. */
  dashed?: boolean;
}
const sides: Record<Side, Position> = { left: Position.Left, right: Position.Right, top: Position.Top, bottom: Position.Bottom };
const bar: Record<Tone, string> = { ok: "border-l-ok", warn: "border-l-warn", bad: "border-l-bad", info: "border-l-info", none: "border-l-line" };
type BoxNode = Node<{ box: Box }, "box">;
type FrameNode = Node<{ frame: Frame }, "frame">;

function FrameView({ data: { frame }, width, height }: NodeProps<FrameNode>) {
  return (
    <div style={{ width, height }} className="rounded-lg border border-dashed border-muted/50 bg-sunken/50 px-2 py-0.5 text-[11px] text-muted">
      {frame.href === undefined ? frame.title : <Go href={frame.href}>{frame.title}</Go>}
    </div>
  );
}
function Go({ href, children }: { href: string; children: ReactNode }) {
  const { history } = useRouter();
  return (
    <a
      href={href}
      className="link pointer-events-auto"
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        history.push(href);
      }}
    >
      {children}
    </a>
  );
}

function BoxView({ data: { box }, width, height }: NodeProps<BoxNode>) {
  const { history } = useRouter();
  const look = `pointer-events-auto block h-full w-full rounded-md border border-l-[3px] bg-panel px-2.5 py-1.5 text-left text-[12px] leading-[17px] ${
    bar[box.state === undefined ? "none" : stateTone(box.state)]
  } ${box.selected ? "border-accent ring-2 ring-accent/30" : "border-line"} ${box.href === undefined ? "" : "hover:bg-sunken"} ${box.faded ? "border-dashed opacity-60" : ""}`;
  const state =
    box.state === undefined ? null : (
      <span className="ml-auto">
        <State state={box.state} />
      </span>
    );
  // Where there is only one line under the title, the state stands in it and leaves the kind its room.
  const low = box.lines?.length === 1 && box.stateAbove !== true;
  const inside = (
    <>
      <span className="flex items-center gap-2">
        <span className="truncate text-[11px] text-muted">{box.kind}</span>
        {!low && state}
      </span>
      <span className="block truncate text-[13px] font-semibold" title={box.title}>
        {box.title}
      </span>
      {box.lines?.map((line, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no identity but their place
        <span key={i} className="flex items-center gap-2 text-muted">
          <span className="truncate">{line}</span>
          {low && state}
        </span>
      ))}
    </>
  );
  return (
    <div style={{ width, height }}>
      {Object.entries(sides).flatMap(([side, position]) => [
        <Handle key={`s${side}`} type="source" id={`s${side}`} position={position} />,
        <Handle key={`t${side}`} type="target" id={`t${side}`} position={position} />,
      ])}
      {box.href === undefined ? (
        <div className={look}>{inside}</div>
      ) : (
        <a
          href={box.href}
          className={look}
          aria-current={box.selected ? "true" : undefined}
          onClick={(event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey) return;
            event.preventDefault();
            history.push(box.href ?? "");
          }}
        >
          {inside}
        </a>
      )}
    </div>
  );
}
const small = { width: 176, height: 66 };
const nodeTypes = { box: BoxView, frame: FrameView };

interface Point {
  x: number;
  y: number;
}
type RouteEdge = Edge<{ points: Point[]; at?: Point | undefined }, "route">;
/** A line along the points that the layout gave it, around the boxes between, with its corners rounded. */
function RouteView({ data, style, markerEnd, label }: EdgeProps<RouteEdge>) {
  const [first, ...rest] = data?.points ?? [];
  const last = rest.pop();
  if (first === undefined || last === undefined) return null;
  const path = rest.map((point, i) => {
    const next = rest[i + 1] ?? last;
    return `Q ${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}`;
  });
  return (
    <BaseEdge
      path={`M ${first.x} ${first.y} ${path.join(" ")} L ${last.x} ${last.y}`}
      {...(style ? { style } : {})}
      {...(markerEnd ? { markerEnd } : {})}
      {...(label && data?.at
        ? {
            label,
            labelX: data.at.x,
            labelY: data.at.y,
            labelStyle: { fill: "var(--muted)", fontSize: 10 },
            labelBgStyle: { fill: "var(--panel)" },
            labelBgPadding: [2, 0],
          }
        : {})}
    />
  );
}
const edgeTypes = { route: RouteView };

const none: Frame[] = [];
const quiet = { hideAttribution: true };

/** Boxes and the lines between them: where they say `at`, there; else laid out from left to right. */
export function Graph({
  label,
  boxes,
  lines,
  frames = none,
  height,
  size = small,
}: {
  label: string;
  boxes: Box[];
  lines: Line[];
  frames?: Frame[];
  /** At most: a smaller graph takes less where it is laid out here. */
  height: number;
  size?: { width: number; height: number };
}) {
  const { drawn } = useTheme();
  // What stands where depends on ids alone: a step that changes its state moves nothing.
  const shape = JSON.stringify([boxes.map(({ id, at, frame }) => [id, at, frame]), lines.map(({ from, to, label }) => [from, to, label]), frames, size]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` stands for boxes, lines and frames
  const { places, routes, framed, needed } = useMemo(() => {
    const places = new Map<string, Point>();
    const routes = new Map<string, { points: Point[]; at?: Point | undefined }>();
    let framed: FrameNode[] = [];
    let needed = height;
    if (boxes.some((box) => box.at === undefined)) {
      const graph = new Layout({ compound: frames.length > 0 });
      graph.setGraph({ rankdir: "LR", ranksep: lines.some((line) => line.label) ? 26 : 44, nodesep: 22, edgesep: 26 });
      graph.setDefaultEdgeLabel(() => ({}));
      for (const box of boxes) graph.setNode(box.id, { ...size });
      for (const { id } of frames) graph.setNode(`frame ${id}`, {});
      for (const { id, frame } of frames) if (frame !== undefined) graph.setParent(`frame ${id}`, `frame ${frame}`);
      for (const { id, frame } of boxes) if (frame !== undefined) graph.setParent(id, `frame ${frame}`);
      for (const { from, to, label } of lines) graph.setEdge(from, to, label ? { width: 6 + 5 * label.length, height: 12, labelpos: "c" } : {});
      layout(graph);
      needed = (graph.graph().height ?? height) + 36;
      framed = frames.flatMap((frame): FrameNode[] => {
        const { x = 0, y = 0, width = 0, height: high = 0 } = graph.node(`frame ${frame.id}`);
        if (width === 0) return [];
        return [
          {
            ...{ id: `frame ${frame.id}`, type: "frame", data: { frame }, zIndex: -1 },
            ...{ position: { x: x - width / 2, y: y - high / 2 - 10 }, width, height: high + 14 },
          },
        ];
      });
      for (const { id } of boxes) {
        const { x = 0, y = 0 } = graph.node(id);
        places.set(id, { x: x - size.width / 2, y: y - size.height / 2 });
      }
      for (const edge of graph.edges()) {
        const { points = [], x, y } = graph.edge(edge);
        routes.set(`${edge.v}→${edge.w}`, { points, at: x === undefined || y === undefined ? undefined : { x, y } });
      }
    }
    return { places, routes, framed, needed };
  }, [shape, height]);
  const nodes = useMemo(
    () => [
      ...framed,
      ...boxes.map((box): BoxNode => ({ id: box.id, type: "box", position: box.at ?? places.get(box.id) ?? { x: 0, y: 0 }, data: { box }, ...size })),
    ],
    [framed, boxes, places, size],
  );
  const edges = useMemo<Edge[]>(
    () =>
      lines.map((line) => {
        const id = `${line.from}→${line.to}`;
        const route = routes.get(id);
        return {
          id,
          source: line.from,
          target: line.to,
          sourceHandle: `s${line.sides?.[0] ?? "right"}`,
          targetHandle: `t${line.sides?.[1] ?? "left"}`,
          ...(route === undefined ? { type: "smoothstep" } : { type: "route", data: route }),
          ...(line.label ? { label: line.label } : {}),
          animated: line.alive === true,
          style: {
            ...{ stroke: line.alive ? "var(--accent)" : "var(--muted)", strokeWidth: 1.4, opacity: line.alive ? 1 : 0.6 },
            ...(line.dashed ? { strokeDasharray: "3 3" } : {}),
          },
          markerEnd: { type: MarkerType.ArrowClosed, color: line.alive ? "var(--accent)" : "var(--muted)", width: 16, height: 16 },
        };
      }),
    [lines, routes],
  );
  return (
    <section aria-label={label} style={{ height: Math.min(height, Math.max(120, needed)) }}>
      <ReactFlow
        key={shape}
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        edgeTypes={edgeTypes}
        colorMode={drawn === "dark" ? "dark" : "light"}
        style={{ background: "transparent" }}
        fitView
        fitViewOptions={{ padding: 0.04, maxZoom: 1 }}
        minZoom={0.2}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        zoomOnScroll={false}
        zoomOnDoubleClick={false}
        preventScrolling={false}
        proOptions={quiet}
      >
        {/* Boxes that have their places stand in the corners too. */}
        {boxes.length > 8 && (
          <Controls showInteractive={false} position={boxes.every((box) => box.at !== undefined) ? "bottom-center" : "bottom-right"} orientation="horizontal" />
        )}
      </ReactFlow>
    </section>
  );
}
