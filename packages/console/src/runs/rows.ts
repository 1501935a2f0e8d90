/** The rows of a search, page by page as far as somebody scrolls, kept up to date without moving what is read. */
import type { LifecycleView, RunCount, RunTableRow } from "@millrace/sdk/api";
import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { ask, type Listed, Refused } from "../api";

export interface RunSearch {
  experiments: string[];
  filter: string;
  orderBy: string[];
  view: LifecycleView;
}
interface Loaded {
  /** The search that they are of. */
  of: string;
  rows: RunTableRow[];
  /** The same by id: a hundred thousand are not gone through for a look at a few. */
  byId: Map<string, RunTableRow>;
  next: string | undefined;
  /** The columns that each row was asked with. */
  columns: Map<string, string>;
  /** Came while somebody was looking. */
  fresh: Set<string>;
}
export interface RunRows {
  rows: RunTableRow[];
  fresh: Set<string>;
  /** Of another search than the one that is asked for: its answer is under way. */
  stale: boolean;
  more: boolean;
  loading: boolean;
  failure: Refused | undefined;
  loadMore(): void;
  /** Rows that are in sight: they are kept up to date, and asked again where they lack a column. */
  look(ids: string[]): void;
  /** Asks again at once. */
  refresh(): void;
}

const first = 100;
/** The further somebody scrolls, the more at once. */
const further = (loaded: number) => (loaded < 2_000 ? 500 : 1_000);
const everyMs = 2_000;
/** A search that takes long is repeated less often. */
const restFactor = 20;

export function useRunRows(search: RunSearch, columns: string[]): RunRows {
  const of = JSON.stringify(search);
  const wanted = JSON.stringify(columns);
  const [loaded, setLoaded] = useState<Loaded>();
  const [failure, setFailure] = useState<{ of: string; error: Refused }>();
  const [loading, setLoading] = useState(false);
  const state = useRef({ loaded, of, wanted, sight: [] as string[], busy: false });
  state.current.loaded = loaded;
  state.current.of = of;
  state.current.wanted = wanted;

  const page = useCallback(
    (query: { limit: number; token?: string; ids?: string[] }, signal?: AbortSignal) =>
      ask<Listed<RunTableRow>>("/tracking/runs/search", { ...JSON.parse(state.current.of), columns: JSON.parse(state.current.wanted), ...query }, signal),
    [],
  );

  // Another search begins anew; what was shown stays until it answers.
  useEffect(() => {
    const stop = new AbortController();
    setLoading(true);
    const asked = state.current.wanted;
    page({ limit: first }, stop.signal)
      .then(({ items, next }) => {
        setFailure(undefined);
        setLoaded({
          of,
          rows: items,
          byId: new Map(items.map((row) => [row.id, row])),
          next,
          columns: new Map(items.map(({ id }) => [id, asked])),
          fresh: new Set(),
        });
      })
      .catch((error: unknown) => {
        if (!stop.signal.aborted) setFailure({ of, error: asRefused(error) });
      })
      .finally(() => {
        if (!stop.signal.aborted) setLoading(false);
      });
    return () => stop.abort();
  }, [of, page]);

  const loadMore = useCallback(() => {
    const { loaded, busy, of: now } = state.current;
    if (loaded?.next === undefined || busy || loaded.of !== now) return;
    state.current.busy = true;
    setLoading(true);
    const asked = state.current.wanted;
    page({ limit: further(loaded.rows.length), token: loaded.next })
      .then(({ items, next }) =>
        setLoaded((old) => {
          if (old === undefined || old.of !== now || old.next !== loaded.next) return old;
          const added = items.filter(({ id }) => !old.byId.has(id));
          const byId = new Map(old.byId);
          for (const row of added) byId.set(row.id, row);
          for (const { id } of added) old.columns.set(id, asked);
          return { ...old, rows: old.rows.concat(added), byId, next };
        }),
      )
      .catch(() => {}) // asked again at the next scroll
      .finally(() => {
        state.current.busy = false;
        setLoading(false);
      });
  }, [page]);

  const renew = useCallback(
    async (withTop: boolean): Promise<void> => {
      const { loaded, sight, of: now, wanted: asked } = state.current;
      if (loaded === undefined || loaded.of !== now) return;
      const ids = withTop ? sight : sight.filter((id) => loaded.columns.get(id) !== asked);
      if (!withTop && ids.length === 0) return;
      const [top, seen] = await Promise.all([
        withTop ? page({ limit: first }) : undefined,
        ids.length > 0 ? page({ limit: Math.min(1_000, ids.length), ids }) : { items: [] },
      ]);
      setLoaded((old) => (old === undefined || old.of !== now ? old : merged(old, { top, ids, seen: seen.items, asked })));
    },
    [page],
  );

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stopped = false;
    const again = (ms: number) => {
      timer = setTimeout(async () => {
        const began = performance.now();
        if (document.visibilityState === "visible") await renew(true).catch(() => {});
        if (!stopped) again(Math.max(everyMs, restFactor * (performance.now() - began)));
      }, ms);
    };
    again(everyMs);
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [renew]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: other columns make what is in sight incomplete
  useEffect(() => void renew(false).catch(() => {}), [renew, wanted]);

  const waiting = useRef<ReturnType<typeof setTimeout>>(undefined);
  const look = useCallback(
    (ids: string[]) => {
      state.current.sight = ids;
      clearTimeout(waiting.current);
      waiting.current = setTimeout(() => void renew(false).catch(() => {}), 120);
    },
    [renew],
  );
  const refresh = useCallback(() => void renew(true).catch(() => {}), [renew]);
  return {
    rows: loaded?.rows ?? [],
    fresh: loaded?.fresh ?? new Set(),
    stale: loaded !== undefined && loaded.of !== of && failure?.of !== of,
    more: loaded?.next !== undefined,
    loading: loading || loaded === undefined,
    failure: failure?.of === of ? failure?.error : undefined,
    loadMore,
    look,
    refresh,
  };
}
const asRefused = (error: unknown): Refused =>
  error instanceof Refused ? error : new Refused(0, "The server does not answer. The table asks again when it is changed.");

/** The first page takes the place of the rows that it covers; rows in sight are replaced by what they are now, and go where they fit no more. */
function merged(old: Loaded, { top, ids, seen, asked }: { top: Listed<RunTableRow> | undefined; ids: string[]; seen: RunTableRow[]; asked: string }): Loaded {
  const now = new Map([...seen, ...(top?.items ?? [])].map((row) => [row.id, row]));
  for (const id of now.keys()) old.columns.set(id, asked);
  const gone = new Set(ids.filter((id) => !now.has(id)));
  const changed = new Map(
    [...now].filter(([id, row]) => {
      const before = old.byId.get(id);
      return before === undefined || JSON.stringify(before) !== JSON.stringify(row);
    }),
  );
  const whole = top !== undefined && top.next === undefined;
  const inPlace = top === undefined || (top.items.every(({ id }, i) => old.rows[i]?.id === id) && (!whole || top.items.length === old.rows.length));
  if (changed.size === 0 && gone.size === 0 && inPlace) return old;
  const renewed = (row: RunTableRow) => changed.get(row.id) ?? row;
  const inTop = new Set(top?.items.map(({ id }) => id));
  const rest = whole ? [] : old.rows.filter(({ id }) => !inTop.has(id) && !gone.has(id));
  const rows = [...(top?.items ?? []).map((row) => changed.get(row.id) ?? old.byId.get(row.id) ?? row), ...rest.map(renewed)];
  const fresh = top === undefined ? old.fresh : new Set(top.items.map(({ id }) => id).filter((id) => !old.byId.has(id)));
  const next = top !== undefined && rest.length === 0 ? top.next : old.next;
  return { ...old, rows, byId: new Map(rows.map((row) => [row.id, row])), next, fresh };
}

/** How many runs fit: exact up to a bound. `newest` changes when rows came or went. */
export function useRunCount({ experiments, filter, view }: RunSearch, newest: string | undefined) {
  const query = useMemo(() => ({ experiments, filter, view }), [experiments, filter, view]);
  return useQuery<RunCount>({
    queryKey: ["/tracking/runs/count", query, newest],
    queryFn: ({ signal }) => ask("/tracking/runs/count", query, signal),
    refetchInterval: 15_000,
    placeholderData: (old, before) => (JSON.stringify(before?.queryKey[1]) === JSON.stringify(query) ? old : undefined),
  });
}
