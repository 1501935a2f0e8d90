import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { reasonOf } from "./api";
import { Shell } from "./shell";
import { Failure, Page } from "./ui";
import type { Search } from "./url";

const root = createRootRoute({
  component: Shell,
  validateSearch: (search: Record<string, unknown>): Search =>
    Object.fromEntries(Object.entries(search).flatMap(([key, value]) => (value == null ? [] : [[key, String(value)]]))),
  notFoundComponent: () => (
    <Page title="Not found">
      <Failure message="There is no screen at this address. The loop's parts are in the menu." />
    </Page>
  ),
  errorComponent: ({ error }) => (
    <Page title="This screen failed">
      <Failure message={reasonOf(error)} />
    </Page>
  ),
});
const at = <P extends string>(path: P, screen: ReturnType<typeof lazyRouteComponent>) => createRoute({ getParentRoute: () => root, path, component: screen });

export const router = createRouter({
  routeTree: root.addChildren([
    at(
      "/",
      lazyRouteComponent(() => import("./screens/loop"), "Loop"),
    ),
    at(
      "/datasets",
      lazyRouteComponent(() => import("./screens/datasets"), "Datasets"),
    ),
    at(
      "/datasets/$name",
      lazyRouteComponent(() => import("./screens/dataset"), "Dataset"),
    ),
    at(
      "/feature-views",
      lazyRouteComponent(() => import("./screens/feature-views"), "FeatureViews"),
    ),
    at(
      "/pipelines",
      lazyRouteComponent(() => import("./screens/pipelines"), "Pipelines"),
    ),
    at(
      "/pipelines/$name",
      lazyRouteComponent(() => import("./screens/pipeline"), "Pipeline"),
    ),
    at(
      "/workers",
      lazyRouteComponent(() => import("./screens/workers"), "Workers"),
    ),
    at(
      "/runs/compare",
      lazyRouteComponent(() => import("./screens/compare-runs"), "CompareRuns"),
    ),
    at(
      "/runs",
      lazyRouteComponent(() => import("./screens/runs"), "Runs"),
    ),
    at(
      "/runs/$id",
      lazyRouteComponent(() => import("./screens/run"), "Run"),
    ),
    at(
      "/experiments",
      lazyRouteComponent(() => import("./screens/experiments"), "Experiments"),
    ),
    at(
      "/experiments/$id",
      lazyRouteComponent(() => import("./screens/experiment"), "Experiment"),
    ),
    at(
      "/experiments/$id/compare",
      lazyRouteComponent(() => import("./screens/compare"), "Compare"),
    ),
    at(
      "/experiments/$id/runs/$runId",
      lazyRouteComponent(() => import("./screens/tracking-run"), "TrackingRun"),
    ),
    at(
      "/models",
      lazyRouteComponent(() => import("./screens/models"), "Models"),
    ),
    at(
      "/models/$name",
      lazyRouteComponent(() => import("./screens/model"), "Model"),
    ),
    at(
      "/endpoints",
      lazyRouteComponent(() => import("./screens/endpoints"), "Endpoints"),
    ),
    at(
      "/endpoints/$name",
      lazyRouteComponent(() => import("./screens/endpoint"), "Endpoint"),
    ),
    at(
      "/delivery",
      lazyRouteComponent(() => import("./screens/delivery"), "Delivery"),
    ),
    at(
      "/delivery/releases/$digest",
      lazyRouteComponent(() => import("./screens/release"), "Release"),
    ),
    at(
      "/delivery/promotions/$id",
      lazyRouteComponent(() => import("./screens/promotion"), "Promotion"),
    ),
    at(
      "/predictions/$id",
      lazyRouteComponent(() => import("./screens/prediction"), "Prediction"),
    ),
    at(
      "/monitors",
      lazyRouteComponent(() => import("./screens/monitors"), "Monitors"),
    ),
    at(
      "/monitors/$name",
      lazyRouteComponent(() => import("./screens/monitor"), "Monitor"),
    ),
    at(
      "/triggers",
      lazyRouteComponent(() => import("./screens/triggers"), "Triggers"),
    ),
    at(
      "/schedules",
      lazyRouteComponent(() => import("./screens/schedules"), "Schedules"),
    ),
    at(
      "/backfills",
      lazyRouteComponent(() => import("./screens/backfills"), "Backfills"),
    ),
    at(
      "/sweeps",
      lazyRouteComponent(() => import("./screens/sweeps"), "Sweeps"),
    ),
    at(
      "/events",
      lazyRouteComponent(() => import("./screens/events"), "Events"),
    ),
  ]),
  defaultPreload: "intent",
  scrollRestoration: true,
  // Plain query strings: `?state=failed&version=2`.
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch(search) {
    const text = new URLSearchParams(
      Object.entries(search).flatMap(([key, value]) => (value == null || value === "" ? [] : [[key, String(value)]])),
    ).toString();
    return text === "" ? "" : `?${text}`;
  },
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
