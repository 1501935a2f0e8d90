import { AggregatorRegistry, collectDefaultMetrics, Histogram, Registry } from "prom-client";

export const metricsContentType = Registry.OPENMETRICS_CONTENT_TYPE;

/** What a process measured, or several. */
export type MetricList = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

export interface Metrics {
  /** Capabilities register theirs here; names begin with `millrace_`. */
  registry: Registry<typeof metricsContentType>;
  /** Of each request: by route, not by address, so that their number stays bounded. */
  observeRequest(method: string, route: string, status: number, seconds: number): void;
  /** What this process measured. */
  own(): Promise<MetricList>;
  /** As `/metrics` answers it. */
  text(): Promise<string>;
  /** From then on the text is of what this answers: of all processes that share the work. */
  gatherBy(gather: () => Promise<MetricList>): void;
}

export function openMetrics(): Metrics {
  const registry = new Registry<typeof metricsContentType>();
  registry.setContentType(metricsContentType);
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: "millrace_http_request_duration_seconds",
    help: "Time from a request's headers to the end of its answer",
    labelNames: ["method", "route", "status"] as const,
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    registers: [registry],
  });
  let gather: (() => Promise<MetricList>) | undefined;
  return {
    registry,
    observeRequest: (method, route, status, seconds) => requests.observe({ method, route, status: String(status) }, seconds),
    own: () => registry.getMetricsAsJSON(),
    text: async () => (gather === undefined ? registry.metrics() : togetherOf([await gather()]).metrics()),
    gatherBy(by) {
      gather = by;
    },
  };
}

/** Counters and histograms are summed; gauges say themselves what becomes of several. */
export const summed = (lists: readonly MetricList[]): Promise<MetricList> => togetherOf(lists).getMetricsAsJSON();

/** Of a process that ended: what never goes down. A gauge of it is of nothing. */
export const lasting = (list: MetricList): MetricList => list.filter(({ type }) => ["counter", "histogram"].includes(String(type)));

function togetherOf(lists: readonly MetricList[]): Registry<typeof metricsContentType> {
  // The library writes a counter's `_total` itself, and of a sum it would write it twice.
  const bare = lists.map((list) =>
    list.map((metric) => (String(metric.type) === "counter" ? { ...metric, name: metric.name.replace(/_total$/, "") } : metric)),
  );
  const registry = AggregatorRegistry.aggregate<typeof metricsContentType>(bare);
  registry.setContentType(metricsContentType);
  return registry;
}
