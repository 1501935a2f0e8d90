/** The few parts that every screen is made of. */
import type { UseQueryResult } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { AlertDialog } from "radix-ui";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Refused, reasonOf, useClock } from "./api";
import { exact, relative, words } from "./format";
import { useUrl } from "./url";

export function Page({
  title,
  about,
  actions,
  children,
  wide = false,
}: {
  title: string;
  about?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  /** As wide as the window. */
  wide?: boolean;
}) {
  useEffect(() => {
    document.title = `${title} · Millrace`;
  }, [title]);
  return (
    <div className={`mx-auto space-y-3 ${wide ? "" : "max-w-[1600px]"}`}>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <h1 className="min-w-0 break-words text-lg font-semibold tracking-tight [overflow-wrap:anywhere]">{title}</h1>
        <div className="text-muted">{about}</div>
        <div className="ml-auto flex items-center gap-2">{actions}</div>
      </div>
      {children}
    </div>
  );
}

export function Panel({
  title,
  actions,
  children,
  className = "",
  flush = false,
}: {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  className?: string;
  flush?: boolean;
}) {
  return (
    <section className={`min-w-0 overflow-hidden rounded-lg border border-line bg-panel ${className}`}>
      {title !== undefined && (
        <div className="flex flex-wrap items-center gap-2 border-b border-line px-3 py-1.5">
          <h2 className="font-semibold">{title}</h2>
          <div className="ml-auto flex items-center gap-2">{actions}</div>
        </div>
      )}
      <div className={flush ? "" : "p-3"}>{children}</div>
    </section>
  );
}

export type Tone = "ok" | "warn" | "bad" | "info" | "none";
const tones: Record<Tone, string> = {
  ok: "text-ok bg-ok/10",
  warn: "text-warn bg-warn/12",
  bad: "text-bad bg-bad/10",
  info: "text-info bg-info/12",
  none: "text-muted bg-sunken",
};
export const Badge = ({ tone = "none", children, title }: { tone?: Tone; children: ReactNode; title?: string | undefined }) => (
  <span title={title} className={`inline-flex items-center gap-1 whitespace-nowrap rounded px-1.5 text-[12px] font-medium leading-[18px] ${tones[tone]}`}>
    {children}
  </span>
);

const stateTones: Record<string, Tone> = {
  succeeded: "ok",
  accepted: "ok",
  promoted: "ok",
  started: "ok",
  cached: "ok",
  running: "info",
  queued: "info",
  refused: "warn",
  deferred: "warn",
  superseded: "none",
  quarantined: "bad",
  alert: "bad",
  drift: "warn",
  calm: "ok",
  serving: "ok",
  rollout: "info",
  challenger: "info",
  skipped: "none",
  ready: "info",
  asking: "warn",
  out_of_memory: "bad",
  timeout: "bad",
  error: "bad",
  lost: "warn",
  alive: "ok",
  failed: "bad",
  rolled_back: "bad",
  paused: "warn",
  killed: "bad",
};
export const stateTone = (state: string): Tone => stateTones[state] ?? "none";
export const State = ({ state }: { state: string }) => (
  <Badge tone={stateTone(state)}>
    <span aria-hidden className={`size-1.5 rounded-full bg-current ${state === "running" ? "alive" : ""}`} />
    {words(state)}
  </Badge>
);

/** Relative to the platform's clock; exact on hover. */
export function Time({ at }: { at: string | null | undefined }) {
  const { now } = useClock();
  if (at == null) return <span className="text-muted">–</span>;
  return (
    <time dateTime={at} title={exact(at)} className="whitespace-nowrap">
      {relative(Date.parse(at), now)}
    </time>
  );
}

export const Empty = ({ children }: { children: ReactNode }) => <p className="px-3 py-6 text-center text-muted">{children}</p>;
export const Loading = () => (
  <p role="status" className="px-3 py-6 text-center text-muted">
    Loading…
  </p>
);
export const Failure = ({ message, again }: { message: string; again?: () => void }) => (
  <div role="alert" className="m-3 flex items-center gap-3 rounded-md border border-bad/40 bg-bad/8 px-3 py-2 text-bad">
    <span className="grow">{message}</span>
    {again !== undefined && (
      <button type="button" className="button text-ink" onClick={again}>
        Try again
      </button>
    )}
  </div>
);
/** Why what somebody asked for was not done, where it was not. */
export const NotDone = ({ why, className = "" }: { why: string | null | undefined; className?: string }) =>
  why == null ? null : (
    <p role="alert" className={`break-words text-bad ${className}`}>
      {why}
    </p>
  );
/** What a query gave, or that it is under way, or why it failed. What was read before stays when reading again fails. */
export function Read<T>({ query, children }: { query: UseQueryResult<T>; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.isError) {
    const message = query.error instanceof Refused ? query.error.message : "The server does not answer. The screen asks again by itself.";
    return <Failure message={message} again={() => void query.refetch()} />;
  }
  return <Loading />;
}

export interface Column<T> {
  head: string;
  cell: (row: T) => ReactNode;
  /** Numbers stand to the right. */
  right?: boolean;
  wide?: boolean;
}
/** A table that draws only the rows in sight. */
export function Table<T>({
  label,
  rows,
  columns,
  id,
  empty = "Nothing here yet.",
  height = 460,
  selected,
  more,
}: {
  label: string;
  rows: T[];
  columns: Column<T>[];
  id: (row: T) => string;
  empty?: ReactNode;
  height?: number;
  selected?: string | undefined;
  more?: (() => void) | undefined;
}) {
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => box.current, estimateSize: () => 31, overscan: 12 });
  const drawn = virtual.getVirtualItems();
  const last = drawn.at(-1)?.index ?? 0;
  useEffect(() => {
    if (more !== undefined && rows.length > 0 && last >= rows.length - 5) more();
  }, [more, last, rows.length]);
  if (rows.length === 0) return <Empty>{empty}</Empty>;
  const above = drawn[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (drawn.at(-1)?.end ?? 0);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section ref={box} className="overflow-auto" style={{ maxHeight: height }} tabIndex={0} aria-label={label}>
      <table className="w-full border-collapse" aria-rowcount={rows.length + 1}>
        <thead className="sticky top-0 z-10 bg-panel">
          <tr className="text-left text-[12px] text-muted shadow-[inset_0_-1px_0_var(--line)]">
            {columns.map((column, place) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: heads may be empty, and columns keep their places
              <th key={place} scope="col" className={`whitespace-nowrap px-3 py-1 font-medium ${column.right ? "text-right" : ""}`}>
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {above > 0 && (
            <tr aria-hidden>
              <td style={{ height: above }} />
            </tr>
          )}
          {drawn.map(({ index }) => {
            const row = rows[index];
            if (row === undefined) return null;
            const key = id(row);
            return (
              <tr
                key={key}
                data-index={index}
                ref={virtual.measureElement}
                aria-rowindex={index + 2}
                aria-selected={selected === undefined ? undefined : selected === key}
                className={`border-b border-line/60 last:border-0 hover:bg-sunken/60 ${selected === key ? "bg-accent/8" : ""}`}
              >
                {columns.map((column, place) => (
                  <td
                    // biome-ignore lint/suspicious/noArrayIndexKey: heads may be empty, and columns keep their places
                    key={place}
                    className={`px-3 py-[5px] ${column.right ? "whitespace-nowrap text-right" : column.wide ? "w-full" : "whitespace-nowrap"}`}
                  >
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
          {below > 0 && (
            <tr aria-hidden>
              <td style={{ height: below }} />
            </tr>
          )}
        </tbody>
      </table>
    </section>
  );
}

export const Facts = ({ of }: { of: (readonly [string, ReactNode])[] }) => (
  <dl className="grid grid-cols-[max-content_minmax(0,1fr)] content-start gap-x-4 gap-y-1">
    {of.map(([name, fact]) => (
      <div key={name} className="contents">
        <dt className="text-muted">{name}</dt>
        <dd className="min-w-0 break-words">{fact}</dd>
      </div>
    ))}
  </dl>
);

export const Figure = ({ name, value, note, tone }: { name: string; value: ReactNode; note?: ReactNode; tone?: Tone }) => (
  <div className="rounded-lg border border-line bg-panel px-3 py-2">
    <div className="text-[12px] text-muted">{name}</div>
    <div className={`text-xl font-semibold leading-7 ${tone === "bad" ? "text-bad" : tone === "warn" ? "text-warn" : ""}`}>{value}</div>
    <div className="truncate text-[12px] text-muted">{note ?? " "}</div>
  </div>
);

/** A choice that is in the address under `param`; the first is meant where the address names none. */
export function Tabs({ param, of }: { param: string; of: (readonly [string, ReactNode])[] }) {
  const [search] = useUrl();
  const current = search[param] ?? of[0]?.[0];
  return (
    <nav className="flex flex-wrap gap-1 border-b border-line" aria-label={param}>
      {of.map(([key, name], i) => (
        <Link
          key={key}
          to="."
          search={(old) => ({ ...old, [param]: i === 0 ? undefined : key })}
          replace
          aria-current={current === key ? "page" : undefined}
          className={`-mb-px border-b-2 px-2.5 py-1 ${current === key ? "border-accent font-semibold" : "border-transparent text-muted hover:text-ink"}`}
        >
          {name}
        </Link>
      ))}
    </nav>
  );
}

export function Choose({ label, param, of, all }: { label: string; param: string; of: string[]; all?: string }) {
  const [search, change] = useUrl();
  return (
    <label className="flex items-center gap-1.5 text-muted">
      {label}
      <select className="field" value={search[param] ?? ""} onChange={(event) => change({ [param]: event.target.value || undefined })}>
        {all !== undefined && <option value="">{all}</option>}
        {of.map((one) => (
          <option key={one} value={one}>
            {words(one)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A button that asks before it does what can't be taken back. */
export function Ask({ button, title, children, run }: { button: string; title: string; children: ReactNode; run: () => Promise<unknown> }) {
  const [failure, setFailure] = useState<string>();
  return (
    <>
      <AlertDialog.Root>
        <AlertDialog.Trigger className="button text-bad">{button}</AlertDialog.Trigger>
        <AlertDialog.Portal>
          <AlertDialog.Overlay className="overlay" />
          <AlertDialog.Content className="dialog top-1/3 w-96 max-w-[92vw]">
            <AlertDialog.Title className="font-semibold">{title}</AlertDialog.Title>
            <AlertDialog.Description className="mt-1 text-muted">{children}</AlertDialog.Description>
            <div className="mt-4 flex justify-end gap-2">
              <AlertDialog.Cancel className="button">Keep</AlertDialog.Cancel>
              <AlertDialog.Action
                className="button button-danger"
                onClick={() => {
                  setFailure(undefined);
                  run().catch((error: unknown) => setFailure(reasonOf(error)));
                }}
              >
                {button}
              </AlertDialog.Action>
            </div>
          </AlertDialog.Content>
        </AlertDialog.Portal>
      </AlertDialog.Root>
      <NotDone why={failure} />
    </>
  );
}
