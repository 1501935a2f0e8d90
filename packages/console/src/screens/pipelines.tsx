import type { Pipeline, Run } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { type Listed, useApi } from "../api";
import { value, words } from "../format";
import { type Box, Graph, type Line } from "../graph";
import { Empty, Page, Panel, Read, State, Table, Tabs, Time } from "../ui";
import { useUrl } from "../url";
import { RunMetrics, RunTable } from "./runs";

export function Pipelines() {
  const [search] = useUrl();
  const pipelines = useApi<Listed<Pipeline>>("/pipelines");
  return (
    <Page title="Pipelines" about="Typed steps over artifacts: durable, cached, resumable">
      <Read query={pipelines}>
        {({ items }) => {
          const chosen = items.find((one) => one.name === search.pipeline) ?? items[0];
          return (
            <>
              <Panel flush>
                <Table
                  label="Pipelines"
                  rows={items}
                  id={(one) => one.name}
                  selected={chosen?.name}
                  height={240}
                  empty="No pipeline is defined yet."
                  columns={[
                    {
                      head: "Name",
                      cell: (one) => (
                        <Link className="link font-medium" to="." search={(old) => ({ ...old, pipeline: one.name })}>
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
                            .map((param) => `${param.name}: ${param.type}${param.default === undefined ? "" : ` = ${value(param.default)}`}`)
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
                  ]}
                />
              </Panel>
              {chosen !== undefined && <PipelineView key={chosen.name} of={chosen} />}
            </>
          );
        }}
      </Read>
    </Page>
  );
}

function PipelineView({ of }: { of: Pipeline }) {
  const [{ tab }] = useUrl();
  const runs = useApi<Listed<Run>>(`/runs?limit=200&pipeline=${encodeURIComponent(of.name)}`);
  const boxes = useMemo<Box[]>(
    () => of.spec.nodes.map((node) => ({ id: node.id, kind: words(node.kind), title: node.id, lines: [node.definedAt ?? ""] })),
    [of],
  );
  const lines = useMemo<Line[]>(() => {
    const pairs = new Map<string, Line>();
    for (const node of of.spec.nodes)
      for (const from of Object.values(node.inputs)) if ("node" in from) pairs.set(`${from.node} ${node.id}`, { from: from.node, to: node.id });
    return [...pairs.values()];
  }, [of]);
  return (
    <Panel title={of.name} actions={<span className="text-muted">{of.spec.definedAt}</span>}>
      {of.spec.description !== undefined && <p className="pb-2 text-muted">{of.spec.description}</p>}
      <Tabs
        param="tab"
        of={[
          ["runs", "Runs"],
          ["steps", "Steps"],
          ["metrics", "Metrics of runs"],
        ]}
      />
      <div className="pt-3">
        {tab === "steps" ? (
          <Graph label={`Steps of ${of.name}`} boxes={boxes} lines={lines} height={300} />
        ) : (
          <Read query={runs}>
            {({ items }) =>
              tab === "metrics" ? (
                <RunMetrics runs={items} />
              ) : items.length === 0 ? (
                <Empty>No run yet. Start one: millrace run {of.name}</Empty>
              ) : (
                <RunTable runs={items} height={440} />
              )
            }
          </Read>
        )}
      </div>
    </Panel>
  );
}
