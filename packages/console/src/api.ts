/** Millrace's API from the browser: reads that stay fresh by the server's events, with polling as a net. */
import type { ApiErrorBody, ClockState, Event } from "@millrace/sdk/api";
import { type QueryClient, type UseQueryResult, useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

export class Refused extends Error {
  readonly status: number;
  /** More about it, where the server says more: `{at}` is where a filter is wrong. */
  readonly details: unknown;
  constructor(status: number, message: string, details?: unknown) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

/** Why something failed, as people read it. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function request<T>(path: string, init?: RequestInit): Promise<T> {
  const response = await fetch(path, { ...init, headers: { accept: "application/json", ...init?.headers } });
  if (response.ok) return response.json();
  // MLflow's errors carry their message outside.
  const body: (Partial<ApiErrorBody> & { message?: string }) | undefined = await response.json().catch(() => undefined);
  const message = body?.error?.message ?? body?.message ?? `The server answered ${response.status} ${response.statusText}.`;
  throw new Refused(response.status, message, body?.error?.details);
}
const base = "/api/v1";
const json = (body: unknown) => ({ headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
export const send = <T>(method: "POST" | "PUT", path: string, body: unknown = {}): Promise<T> => request(base + path, { method, ...json(body) });
/** Any address of this server. */
export const read = <T>(path: string, signal?: AbortSignal): Promise<T> => request(path, signal === undefined ? {} : { signal });
/** A read whose question is too long for an address. */
export const ask = <T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> =>
  request(base + path, { method: "POST", ...json(body), ...(signal === undefined ? {} : { signal }) });
/** `route` is below MLflow's address: `runs/set-tag`. */
export const mlflow = <T>(route: string, body: unknown): Promise<T> => request(`/api/2.0/mlflow/${route}`, { method: "POST", ...json(body) });

export interface Listed<T> {
  items: T[];
  next?: string;
}

/** `path` without `/api/v1`; undefined asks nothing. How often it is asked again may depend on what came. */
export function useApi<T>(path: string | undefined, everyMs: number | ((data: T | undefined) => number) = 15_000): UseQueryResult<T> {
  return useQuery<T>({
    queryKey: [path ?? ""],
    enabled: path !== undefined,
    queryFn: ({ signal }) => request<T>(base + path, { signal }),
    refetchInterval: typeof everyMs === "number" ? everyMs : ({ state }) => everyMs(state.data),
  });
}
/** An address outside Millrace's own API, as MLflow's. */
export function useOther<T>(path: string | undefined): UseQueryResult<T> {
  return useQuery<T>({ queryKey: [path ?? ""], enabled: path !== undefined, queryFn: ({ signal }) => request<T>(path ?? "", { signal }), retry: false });
}

/** A list page by page, as far as somebody scrolls. */
export function useList<T>(path: string, everyMs = 15_000) {
  const pages = useInfiniteQuery({
    // Not that of the first page alone, which useApi keeps in another form.
    queryKey: [path, "pages"],
    queryFn: ({ pageParam, signal }) =>
      request<Listed<T>>(`${base}${path}${pageParam === "" ? "" : `${path.includes("?") ? "&" : "?"}after=${encodeURIComponent(pageParam)}`}`, { signal }),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    refetchInterval: everyMs,
  });
  return { ...pages, rows: pages.data?.pages.flatMap((page) => page.items) ?? [] };
}

/** The platform's clock: the machine's, or a replayed one that stands still between moves. */
export function useClock(): { now: number; kind: ClockState["kind"] | undefined } {
  const { data, dataUpdatedAt } = useApi<ClockState>("/clock", 5_000);
  if (data === undefined) return { now: Date.now(), kind: undefined };
  const now = Date.parse(data.now);
  return { now: data.kind === "system" ? now + Math.max(0, Date.now() - dataUpdatedAt) : now, kind: data.kind };
}

/** What an event of this kind may have changed, as beginnings of paths. */
const touched: Record<string, string[]> = {
  project: ["/"],
  dataset: ["/datasets", "/feature-views"],
  run: ["/runs", "/pipelines", "/schedules", "/backfills", "/sweeps"],
  schedule: ["/schedules"],
  backfill: ["/backfills"],
  sweep: ["/sweeps"],
  step: ["/runs"],
  model_version: ["/models"],
  alias: ["/models", "/endpoints"],
  rollout: ["/endpoints", "/models"],
  endpoint: ["/endpoints"],
  release: ["/releases", "/environments"],
  promotion: ["/promotions", "/environments"],
  repository: ["/repositories", "/releases"],
  monitor: ["/monitors"],
  trigger: ["/triggers"],
};
const types = [
  "project.applied",
  "dataset.version_accepted",
  "dataset.version_quarantined",
  "run.queued",
  "run.started",
  "run.finished",
  "step.changed",
  "model_version.registered",
  "alias.set",
  "alias.deleted",
  "rollout.started",
  "rollout.advanced",
  "rollout.reweighted",
  "rollout.paused",
  "rollout.resumed",
  "rollout.decided",
  "rollout.superseded",
  "rollout.promoted",
  "rollout.rolled_back",
  "release.created",
  "release.checked",
  "release.deployed",
  "repository.changed",
  "repository.released",
  "repository.failed",
  "promotion.requested",
  "promotion.approved",
  "promotion.deployed",
  "promotion.refused",
  "promotion.failed",
  "promotion.superseded",
  "promotion.cancelled",
  "endpoint.killed",
  "endpoint.revived",
  "monitor.checked",
  "monitor.alert",
  "trigger.fired",
  "schedule.fired",
  "backfill.started",
  "backfill.finished",
  "sweep.started",
  "sweep.finished",
];

/** Follows the server's events; what they changed is read again, at most every two seconds. Answers whether the stream is open. */
export function useLive(): boolean {
  const client: QueryClient = useQueryClient();
  const [open, setOpen] = useState(false);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const stream = new EventSource(`${base}/events/stream`);
    const stale = new Set<string>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let again: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      timer = undefined;
      const beginnings = [...stale];
      stale.clear();
      void client.invalidateQueries({ predicate: ({ queryKey: [path] }) => typeof path === "string" && beginnings.some((start) => path.startsWith(start)) });
    };
    const heard = (message: MessageEvent<string>) => {
      const event: Event = JSON.parse(message.data);
      for (const path of touched[event.type.split(".")[0] ?? ""] ?? []) stale.add(path);
      stale.add("/events").add("/clock");
      timer ??= setTimeout(flush, 2_000);
    };
    for (const type of types) stream.addEventListener(type, heard);
    stream.onopen = () => setOpen(true);
    stream.onerror = () => {
      setOpen(false);
      // The browser tries again by itself, except after an answer that was no stream.
      if (stream.readyState === EventSource.CLOSED) again = setTimeout(() => setAttempt(attempt + 1), 5_000);
    };
    return () => {
      clearTimeout(timer);
      clearTimeout(again);
      stream.close();
    };
  }, [client, attempt]);
  return open;
}
