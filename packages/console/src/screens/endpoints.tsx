import type { Endpoint, InferenceGraph } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { count, duration, number, words } from "../format";
import { InferenceGraphs } from "../serving/inference-graphs";
import { percent } from "../serving/plan";
import { Badge, Page, Panel, Read, Table } from "../ui";

export function Endpoints() {
  const endpoints = useApi<Listed<Endpoint>>("/endpoints", 5_000);
  const graphs = useApi<Listed<InferenceGraph>>("/inference-graphs");
  return (
    <Page title="Endpoints" about="What answers predictions, and what is tried on a share of the traffic">
      <Panel flush>
        <Read query={endpoints}>
          {({ items }) => (
            <Table
              label="Endpoints"
              rows={items}
              id={(one) => one.name}
              empty="No endpoint is defined yet."
              columns={[
                {
                  head: "Name",
                  cell: (one) => (
                    <Link className="link block max-w-60 truncate font-medium" title={one.name} to="/endpoints/$name" params={{ name: one.name }}>
                      {one.name}
                    </Link>
                  ),
                },
                { head: "Project", cell: (one) => one.project },
                {
                  head: "Model",
                  cell: (one) => (
                    <Link className="link block max-w-48 truncate" title={one.model} to="/models/$name" params={{ name: one.model }}>
                      {one.model}
                    </Link>
                  ),
                },
                {
                  head: "Features",
                  wide: true,
                  cell: (one) => <span className="block max-w-48 truncate text-muted">{one.service ?? "its model's inputs"}</span>,
                },
                {
                  head: "Answers",
                  cell: (one) =>
                    one.killed !== null ? (
                      <Badge tone="bad" title={one.killed.reason}>
                        switched off
                      </Badge>
                    ) : one.stable === null ? (
                      <span className="text-muted">nothing yet</span>
                    ) : (
                      `version ${one.stable}`
                    ),
                },
                {
                  head: "Rollout",
                  cell: (one) =>
                    one.rollout?.state !== "running" ? (
                      "–"
                    ) : (
                      <Badge tone={one.rollout.pausedAt === null ? "info" : "warn"}>
                        {words(one.rollout.kind)}: version {one.rollout.arms.length > 1 ? one.rollout.arms.map((arm) => arm.version).join(", ") : one.candidate}{" "}
                        {one.rollout.kind === "shadow" ? "on copies" : `on ${percent(one.weight)}`}
                      </Badge>
                    ),
                },
                { head: "Requests", right: true, cell: (one) => `${number(one.requestsPerSecond, 3)} /s` },
                { head: "p50", right: true, cell: (one) => duration(one.latency.p50Ms) },
                { head: "p99", right: true, cell: (one) => duration(one.latency.p99Ms) },
                { head: "Predictions", right: true, cell: (one) => count(one.predictions) },
                { head: "Errors", right: true, cell: (one) => count(one.errors) },
              ]}
            />
          )}
        </Read>
      </Panel>
      {graphs.data !== undefined && graphs.data.items.length > 0 && <InferenceGraphs of={graphs.data.items} />}
    </Page>
  );
}
