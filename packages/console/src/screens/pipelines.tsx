import type { Pipeline } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { value } from "../format";
import { StartRun } from "../pipelines/start-run";
import { Page, Panel, Read, State, Table, Time } from "../ui";

export function Pipelines() {
  const pipelines = useApi<Listed<Pipeline>>("/pipelines");
  return (
    <Page title="Pipelines" about="Typed steps over artifacts: durable, cached, resumable">
      <Read query={pipelines}>
        {({ items }) => (
          <Panel flush>
            <Table
              label="Pipelines"
              rows={items}
              id={(one) => one.name}
              height={700}
              empty="No pipeline is defined yet."
              columns={[
                {
                  head: "Name",
                  cell: (one) => (
                    <Link className="link font-medium" to="/pipelines/$name" params={{ name: one.name }}>
                      {one.name}
                    </Link>
                  ),
                },
                { head: "Project", cell: (one) => `${one.project} version ${one.projectVersion}` },
                { head: "Steps", right: true, cell: (one) => one.spec.nodes.length },
                {
                  head: "Params",
                  wide: true,
                  cell: (one) => (
                    <span className="text-muted">
                      {one.spec.params
                        .map((param) => `${param.name}: ${param.type}${param.default === undefined ? "" : ` = ${value(param.default).slice(0, 60)}`}`)
                        .join(", ")}
                    </span>
                  ),
                },
                {
                  head: "Last run",
                  cell: (one) =>
                    one.lastRun === null ? (
                      "never"
                    ) : (
                      <Link to="/runs/$id" params={{ id: one.lastRun.id }}>
                        <State state={one.lastRun.state} />
                      </Link>
                    ),
                },
                { head: "When", cell: (one) => <Time at={one.lastRun?.createdAt} /> },
                { head: "", cell: (one) => <StartRun button="Run" pipeline={one.name} spec={one.spec} /> },
              ]}
            />
          </Panel>
        )}
      </Read>
    </Page>
  );
}
