import type { Model } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { count, number } from "../format";
import { Badge, Page, Panel, Read, Table, Time } from "../ui";

export function Models() {
  const models = useApi<Listed<Model>>("/models");
  return (
    <Page title="Models" about="Immutable versions, and the aliases that name them">
      <Panel flush>
        <Read query={models}>
          {({ items }) => (
            <Table
              label="Models"
              rows={items}
              id={(one) => one.name}
              empty="No model is registered yet: a pipeline's register step does it where its gates pass."
              columns={[
                {
                  head: "Name",
                  cell: (one) => (
                    <Link className="link font-medium" to="/models/$name" params={{ name: one.name }}>
                      {one.name}
                    </Link>
                  ),
                },
                {
                  head: "Aliases",
                  wide: true,
                  cell: (one) => (
                    <span className="flex gap-1.5">
                      {Object.entries(one.aliases).map(([alias, version]) => (
                        <Badge key={alias} tone={alias === "champion" ? "ok" : "info"}>
                          {alias} {version}
                        </Badge>
                      ))}
                    </span>
                  ),
                },
                { head: "Versions", right: true, cell: (one) => count(one.versions) },
                { head: "AUC", right: true, cell: (one) => number(one.latest?.metrics.auc) },
                { head: "Log loss", right: true, cell: (one) => number(one.latest?.metrics.log_loss) },
                { head: "Newest", cell: (one) => <Time at={one.latest?.createdAt} /> },
              ]}
            />
          )}
        </Read>
      </Panel>
    </Page>
  );
}
