import type { Dataset } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { bytes, count } from "../format";
import { Badge, Page, Panel, Read, Table, Time } from "../ui";

export function Datasets() {
  const datasets = useApi<Listed<Dataset>>("/datasets");
  return (
    <Page title="Datasets" about="Immutable versions of tables; what fails its schema waits in quarantine">
      <Panel flush>
        <Read query={datasets}>
          {({ items }) => (
            <Table
              label="Datasets"
              rows={items}
              id={(one) => one.name}
              empty="No dataset is defined yet."
              columns={[
                {
                  head: "Name",
                  cell: (one) => (
                    <Link className="link font-medium" to="/datasets/$name" params={{ name: one.name }}>
                      {one.name}
                    </Link>
                  ),
                },
                { head: "Project", cell: (one) => one.project },
                { head: "Description", wide: true, cell: (one) => <span className="text-muted">{one.description ?? ""}</span> },
                { head: "Mode", cell: (one) => one.mode },
                { head: "Schema", cell: (one) => one.schema ?? "–" },
                { head: "Versions", right: true, cell: (one) => count(one.versions) },
                { head: "Quarantined", right: true, cell: (one) => (one.quarantined === 0 ? "0" : <Badge tone="bad">{one.quarantined}</Badge>) },
                { head: "Rows", right: true, cell: (one) => count(one.latest?.rows) },
                { head: "Size", right: true, cell: (one) => bytes(one.latest?.bytes) },
                { head: "Newest", cell: (one) => <Time at={one.latest?.createdAt} /> },
              ]}
            />
          )}
        </Read>
      </Panel>
    </Page>
  );
}
