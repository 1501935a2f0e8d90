/** A fake: the built console over an API that answers from fixtures. For tests of the console alone. */
import { createReadStream, existsSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { text } from "node:stream/consumers";
import * as delivery from "./delivery";
import * as fixtures from "./fixtures";
import * as serving from "./serving";
import * as views from "./views";
import * as work from "./work";

export interface FakeServer {
  url: string;
  /** `METHOD path` of every request that was not a read. */
  posted: string[];
  /** What the last of them brought. */
  brought(): unknown;
  /** Cancels a run as somebody else would: the server tells it as an event. */
  cancelElsewhere(run: string): void;
  stop(): Promise<void>;
}
const types: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

export async function startFakeServer(built: string): Promise<FakeServer> {
  const posted: string[] = [];
  let brought: unknown;
  let paused = false;
  const cancelled = new Set<string>();
  const streams = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://fake");
    const json = (status: number, body: unknown) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (request.method !== "GET") {
      posted.push(`${request.method} ${url.pathname}`);
      void text(request).then((body) => {
        brought = body === "" ? undefined : JSON.parse(body);
      });
      if (url.pathname.endsWith("/pause")) paused = true;
      if (url.pathname.endsWith("/resume")) paused = false;
      const cancel = /^\/api\/v1\/runs\/(.+)\/cancel$/.exec(url.pathname)?.[1];
      if (cancel !== undefined) cancelled.add(cancel);
      if (url.pathname.endsWith("/replay")) return json(200, serving.replay);
      if (url.pathname.endsWith("/explain")) return json(200, views.explanation);
      if (/\/pipelines\/[^/]+\/runs$/.test(url.pathname)) return json(201, fixtures.runs[1]);
      if (url.pathname.endsWith("/promotions") || url.pathname.endsWith("/rollback")) return json(201, delivery.promotions[0]);
      return json(200, {});
    }
    if (url.pathname === "/api/v1/events/stream") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      streams.add(response);
      response.on("close", () => streams.delete(response));
      return response.write(":\n\n");
    }
    if (url.pathname.startsWith("/api/")) {
      const body = answer(url, { paused, cancelled });
      return body === undefined ? json(404, { error: { code: "NOT_FOUND", message: `There is no ${url.pathname}.` } }) : json(200, body);
    }
    const file = path.join(built, path.normalize(url.pathname));
    const known = path.extname(file) !== "" && existsSync(file) ? file : path.join(built, "index.html");
    response.writeHead(200, {
      "content-type": types[path.extname(known)] ?? "application/octet-stream",
      "cache-control": known.includes(`${path.sep}assets${path.sep}`) ? "public, max-age=31536000, immutable" : "no-cache",
      // As the server sends it, so that what it forbids is seen here.
      "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    });
    return createReadStream(known).pipe(response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    posted,
    brought: () => brought,
    cancelElsewhere(run) {
      cancelled.add(run);
      const event = { id: "1000", type: "run.finished", subject: run, data: { pipeline: "shop", state: "cancelled" }, at: fixtures.clock.now };
      for (const stream of streams) stream.write(`id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    },
    stop: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

function answer(url: URL, { paused, cancelled }: { paused: boolean; cancelled: Set<string> }): unknown {
  const query = url.searchParams;
  const parts = url.pathname.split("/").slice(3).map(decodeURIComponent);
  const [what = "", name = "", of = "", which = "", more = ""] = parts;
  const trigger = { ...fixtures.trigger, paused };
  const runs = fixtures.runs.map((run) => (cancelled.has(run.id) ? { ...run, state: "cancelled" as const } : run));
  const named = <T extends { name: string }>(list: T[]): unknown => (name === "" ? { items: list } : list.find((one) => one.name === name));
  if (url.pathname === "/api/2.0/mlflow/runs/get") return fixtures.trackingRun;
  if (url.pathname === "/api/2.0/mlflow/metrics/get-history") return fixtures.history;
  switch (`${what} ${of}`) {
    case "clock ":
      return fixtures.clock;
    case "events ": {
      const wanted = query.get("types")?.split(",");
      return { items: fixtures.events.filter((event) => wanted?.includes(event.type) ?? true) };
    }
    case "datasets ":
      return named(fixtures.datasets);
    case "datasets versions":
      if (which !== "") return fixtures.versionDetail(Number(which));
      return { items: name === "flights" ? fixtures.versions.filter((version) => (query.get("status") ?? version.status) === version.status) : [] };
    case "feature-services ":
      return { items: fixtures.featureServices };
    case "feature-views ":
      return named(fixtures.featureViews);
    case "pipelines ":
      return named(fixtures.pipelines);
    case "runs ": {
      if (name !== "") {
        const run = runs.find((one) => one.id === name);
        return run === undefined ? undefined : fixtures.runDetail(run);
      }
      const state = query.get("state");
      const fits = runs.filter(
        (run) =>
          (state === null || run.state === state || (state === "active" && run.state === "running")) &&
          (query.get("pipeline") ?? run.pipeline) === run.pipeline,
      );
      const after = fits.findIndex((run) => run.id === query.get("after")) + 1;
      const items = fits.slice(after, after + Number(query.get("limit") ?? 100));
      const last = items.at(-1);
      return { items, ...(last !== undefined && after + items.length < fits.length ? { next: last.id } : {}) };
    }
    case "pipelines steps":
      return { items: views.averages };
    case "workers ":
      return { items: name === "steps" ? views.running : views.workers };
    case "secrets ":
      return { items: [] };
    case "runs timeline":
      return views.timeline;
    case "runs steps":
      if (more === "artifacts") return views.firstRows;
      if (which === "") return { items: [] };
      if (more === "")
        return views.stepDetail(
          runs.find((one) => one.id === name),
          which,
        );
      return more === "log" ? { ...fixtures.log, lines: query.get("from") === "0" ? fixtures.log.lines : [] } : undefined;
    case "models ":
      return named(fixtures.models);
    case "models versions":
      if (more === "signatures") return { items: fixtures.signatures };
      return which === "" ? { items: fixtures.modelVersions } : fixtures.modelVersion(Number(which));
    case "endpoints ":
      return named(serving.endpoints);
    case "endpoints rollouts":
      return which === "" ? { items: serving.rolloutsOf(name) } : serving.rolloutOf(name, which);
    case "endpoints history":
      return { items: serving.history(name, query.get("rollout")) };
    case "endpoints predictions":
      return { items: serving.predictionsOf(name).slice(0, Number(query.get("limit"))) };
    case "environments ":
      return { items: delivery.environments.filter((one) => (query.get("project") ?? one.project) === one.project) };
    case "repositories ":
      return { items: delivery.repositories };
    case "repositories builds":
      return { items: delivery.builds };
    case "releases ":
      return name === "" ? { items: delivery.releases } : delivery.releaseOf(name);
    case "promotions ": {
      const state = query.get("state");
      if (name !== "") return delivery.promotionOf(name);
      return { items: delivery.promotions.filter((one) => state === null || one.state === state || (state === "open" && one.finishedAt === null)) };
    }
    case "inference-graphs ":
      return { items: serving.graphs };
    case "predictions explanation":
      return serving.explanation;
    case "predictions ":
      return serving.predictionOf(name);
    case "monitors ":
      return named(fixtures.monitors);
    case "monitors checks":
      return { items: fixtures.checks.filter((check) => check.at >= (query.get("from") ?? "")) };
    case "monitors performance":
      return fixtures.performance;
    case "triggers ":
      return named([trigger]);
    case "triggers firings":
      return { items: fixtures.firings };
    case "schedules ":
      return named(work.schedules);
    case "schedules firings":
      return { items: work.firings };
    case "schedules next":
      return { items: work.moments };
    case "backfills ":
      return { items: work.backfills };
    case "backfills items":
      return { items: work.items };
    case "sweeps ":
      return name === "" ? { items: [work.sweep] } : work.sweep;
    case "sweeps plots":
      return work.plots;
    default:
      return what === "lineage" ? fixtures.lineage : undefined;
  }
}
