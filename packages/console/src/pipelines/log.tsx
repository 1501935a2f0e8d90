/** A step's log as it is written: followed, searched, by stream, in its colours. Only the lines in sight are drawn. */
import type { LogLine, LogPage, Step } from "@millrace/sdk/api";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { read, reasonOf } from "../api";
import { count, counted, exact } from "../format";
import { Empty } from "../ui";
import { useUrl } from "../url";
import { piecesOf, plainOf } from "./ansi";

/** A step keeps 4 MB of each attempt. */
const kept = 100_000;
const lineHeight = 18;

function useLog(run: string, step: string) {
  const [lines, setLines] = useState<LogLine[]>([]);
  const [failure, setFailure] = useState<string>();
  const [known, setKnown] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    let from = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      const page = await read<LogPage>(`/api/v1/runs/${encodeURIComponent(run)}/steps/${encodeURIComponent(step)}/log?from=${from}`, stop.signal);
      const more = page.next > from && page.lines.length > 0;
      from = page.next;
      setKnown(true);
      setFailure(undefined);
      if (more) setLines((old) => [...old, ...page.lines].slice(-kept));
      if (!page.done || more) timer = setTimeout(again, more ? 0 : 1_000);
    };
    const again = () => {
      ask().catch((error: unknown) => {
        if (stop.signal.aborted) return;
        setFailure(reasonOf(error));
        timer = setTimeout(again, 5_000);
      });
    };
    again();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [run, step]);
  return { lines, failure, known };
}

export function Log({ run, step }: { run: string; step: Step }) {
  const { lines, failure, known } = useLog(run, step.id);
  const [search, change] = useUrl();
  const [find, setFind] = useState("");
  const [at, setAt] = useState(0);
  const [follow, setFollow] = useState(step.state === "running");
  const box = useRef<HTMLDivElement>(null);
  const streams = useMemo(() => [...new Set(lines.map((line) => line.stream))], [lines]);
  const shown = useMemo(() => (search.stream === undefined ? lines : lines.filter((line) => line.stream === search.stream)), [lines, search.stream]);
  const wanted = find.trim().toLowerCase();
  const hits = useMemo(
    () => (wanted === "" ? [] : shown.flatMap((line, i) => (plainOf(line.text).toLowerCase().includes(wanted) ? [i] : []))),
    [shown, wanted],
  );
  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => box.current,
    estimateSize: () => lineHeight,
    getItemKey: (index) => shown[index]?.n ?? index,
    overscan: 30,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: every new line moves the end into sight
  useEffect(() => {
    if (follow && shown.length > 0) virtual.scrollToIndex(shown.length - 1, { align: "end" });
  }, [shown.length, follow]);
  const go = (to: number) => {
    const next = (to + hits.length) % Math.max(1, hits.length);
    setAt(next);
    setFollow(false);
    const index = hits[next];
    if (index !== undefined) virtual.scrollToIndex(index, { align: "center" });
  };
  if (failure !== undefined && lines.length === 0) return <Empty>{failure}</Empty>;
  if (lines.length === 0)
    return (
      <Empty>
        {!known
          ? "Loading…"
          : step.state === "cached"
            ? "Nothing ran here: the outputs of an earlier run were used."
            : step.state === "running"
              ? "It has said nothing yet."
              : "This step wrote no lines."}
      </Empty>
    );
  const current = hits[at];
  return (
    <>
      <div className="flex flex-wrap items-center gap-2 pb-1.5">
        <input
          type="search"
          aria-label="Find in the log"
          placeholder="Find"
          className="field w-48"
          value={find}
          onChange={(event) => {
            setFind(event.target.value);
            setAt(0);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter" && hits.length > 0) go(at + (event.shiftKey ? -1 : 1));
          }}
        />
        {wanted !== "" && (
          <span role="status" className="text-muted">
            {hits.length === 0 ? "not found" : `${at + 1} of ${count(hits.length)}`}
          </span>
        )}
        {hits.length > 0 && (
          <>
            <button type="button" className="button" aria-label="Previous hit" onClick={() => go(at - 1)}>
              ↑
            </button>
            <button type="button" className="button" aria-label="Next hit" onClick={() => go(at + 1)}>
              ↓
            </button>
          </>
        )}
        {streams.length > 1 && (
          <label className="flex items-center gap-1.5 text-muted">
            Stream
            <select className="field" value={search.stream ?? ""} onChange={(event) => change({ stream: event.target.value || undefined })}>
              <option value="">all</option>
              {streams.map((stream) => (
                <option key={stream}>{stream}</option>
              ))}
            </select>
          </label>
        )}
        <label className="ml-auto flex items-center gap-1.5 text-muted">
          <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.target.checked)} />
          Follow
        </label>
        <button type="button" className="button" onClick={() => void navigator.clipboard.writeText(shown.map((line) => plainOf(line.text)).join("\n"))}>
          Copy
        </button>
      </div>
      {shown.length === 0 ? (
        <Empty>No line of {search.stream}.</Empty>
      ) : (
        <div
          ref={box}
          role="log"
          aria-label={`Log of ${step.id}`}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
          tabIndex={0}
          className="max-h-[460px] overflow-auto rounded bg-sunken p-2 font-mono text-[12px] leading-[18px]"
          onWheel={(event) => {
            if (event.deltaY < 0) setFollow(false);
          }}
        >
          <div className="relative" style={{ height: virtual.getTotalSize() }}>
            {virtual.getVirtualItems().map(({ index, key, start }) => {
              const line = shown[index];
              if (line === undefined) return null;
              return (
                <div
                  key={key}
                  data-index={index}
                  ref={virtual.measureElement}
                  title={exact(line.at)}
                  className={`absolute flex w-full ${line.stream === "stderr" ? "text-warn" : line.stream === "millrace" ? "text-muted italic" : ""} ${index === current ? "bg-accent/20" : ""}`}
                  style={{ top: start }}
                >
                  <span aria-hidden className="mr-3 w-10 shrink-0 select-none text-right text-muted not-italic">
                    {line.n}
                  </span>
                  <span className="min-w-0 whitespace-pre-wrap break-all">
                    <Colored text={line.text} find={wanted} />
                  </span>
                </div>
              );
            })}
          </div>
        </div>
      )}
      <p className="pt-1 text-[12px] text-muted">
        {counted(shown.length, "line")}
        {lines.length === kept ? ", the last ones" : ""}
        {step.state === "running" ? ", more as they come" : ""}
        {failure === undefined ? "" : ` · ${failure}`}
      </p>
    </>
  );
}

function Colored({ text, find }: { text: string; find: string }) {
  return piecesOf(text).map(({ text: piece, color, background, bold, dim, italic, underline }, i) => {
    const inside = find === "" ? piece : marked(piece, find);
    if (color === undefined && background === undefined && !bold && !dim && !italic && !underline) return inside;
    return (
      <span
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces have no identity but their place
        key={i}
        className={`${bold ? "font-bold" : ""} ${dim ? "opacity-60" : ""} ${italic ? "italic" : ""} ${underline ? "underline" : ""}`}
        style={{ ...(color === undefined ? {} : { color }), ...(background === undefined ? {} : { background }) }}
      >
        {inside}
      </span>
    );
  });
}
function marked(text: string, find: string) {
  const low = text.toLowerCase();
  const parts = [];
  let from = 0;
  for (let at = low.indexOf(find); at >= 0 && parts.length < 400; at = low.indexOf(find, at + find.length)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + find.length)}</mark>);
    from = at + find.length;
  }
  return parts.length === 0 ? text : [...parts, text.slice(from)];
}
