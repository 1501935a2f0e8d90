import type { Endpoint } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { count, duration, number, share } from "../format";
import { Badge, Page, Panel, Read, Table } from "../ui";

export function Endpoints() {
  const endpoints = useApi<Listed<Endpoint>>("/endpoints", 5_000);
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
                    <Link className="link font-medium" to="/endpoints/$name" params={{ name: one.name }}>
                      {one.name}
                    </Link>
                  ),
                },
                { head: "Project", cell: (one) => one.project },
                {
                  head: "Model",
                  cell: (one) => (
                    <Link className="link" to="/models/$name" params={{ name: one.model }}>
                      {one.model}
                    </Link>
                  ),
                },
                { head: "Features", wide: true, cell: (one) => <span className="text-muted">{one.service ?? "–"}</span> },
                { head: "Answers", cell: (one) => (one.stable === null ? <span className="text-muted">nothing yet</span> : `version ${one.stable}`) },
                {
                  head: "Rollout",
                  cell: (one) =>
                    one.candidate === null ? (
                      "–"
                    ) : (
                      <Badge tone="info">
                        version {one.candidate} on {share(one.weight, 0)}
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
    </Page>
  );
}
