import { collectDefaultMetrics, Histogram, Registry } from "prom-client";

export const metricsContentType = Registry.OPENMETRICS_CONTENT_TYPE;

export interface Metrics {
  /** Capabilities register theirs here; names begin with `millrace_`. */
  registry: Registry<typeof metricsContentType>;
  /** Of each request: by route, not by address, so that their number stays bounded. */
  observeRequest(method: string, route: string, status: number, seconds: number): void;
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
  return { registry, observeRequest: (method, route, status, seconds) => requests.observe({ method, route, status: String(status) }, seconds) };
}
