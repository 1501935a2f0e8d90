import type { Monitor } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { count, number, share } from "../format";
import { Page, Panel, Read, State, Table, Time } from "../ui";

export const monitorState = ({ last }: Monitor): string => (last === null ? "no check" : last.alert !== null ? "alert" : last.drifted ? "drift" : "calm");

export function Monitors() {
  const monitors = useApi<Listed<Monitor>>("/monitors");
  return (
    <Page title="Monitors" about="Drift of what is asked, and performance as labels come">
      <Panel flush>
        <Read query={monitors}>
          {({ items }) => (
            <Table
              label="Monitors"
              rows={items}
              id={(one) => one.name}
              empty="No monitor is defined yet."
              columns={[
                { head: "State", cell: (one) => <State state={monitorState(one)} /> },
                {
                  head: "Name",
                  cell: (one) => (
                    <Link className="link font-medium" to="/monitors/$name" params={{ name: one.name }}>
                      {one.name}
                    </Link>
                  ),
                },
                {
                  head: "Endpoint",
                  cell: (one) => (
                    <Link className="link" to="/endpoints/$name" params={{ name: one.endpoint }}>
                      {one.endpoint}
                    </Link>
                  ),
                },
                { head: "Every", cell: (one) => one.every },
                { head: "Alert", wide: true, cell: (one) => <span className="line-clamp-1 text-muted">{one.last?.alert ?? ""}</span> },
                { head: "Drift", right: true, cell: (one) => share(one.last?.driftShare, 0) },
                { head: "AUC", right: true, cell: (one) => number(one.last?.metrics.auc) },
                { head: "Labels", right: true, cell: (one) => count(one.last?.labelled) },
                { head: "Checks", right: true, cell: (one) => count(one.checks) },
                { head: "Last", cell: (one) => <Time at={one.last?.at} /> },
              ]}
            />
          )}
        </Read>
      </Panel>
    </Page>
  );
}
