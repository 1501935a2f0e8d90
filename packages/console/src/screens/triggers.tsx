import type { Firing, Trigger } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { type Listed, reasonOf, send, useApi } from "../api";
import { Badge, Empty, Facts, NotDone, Page, Panel, Read, State, Table, Time } from "../ui";
import { useUrl } from "../url";

export function Triggers() {
  const [search] = useUrl();
  const triggers = useApi<Listed<Trigger>>("/triggers");
  return (
    <Page title="Triggers" about="What starts a run by itself">
      <Read query={triggers}>
        {({ items }) => {
          const chosen = items.find((one) => one.name === search.trigger) ?? items[0];
          if (chosen === undefined)
            return (
              <Panel>
                <Empty>No trigger is defined yet: runs start by hand, with millrace run.</Empty>
              </Panel>
            );
          return (
            <>
              <Panel flush>
                <Table
                  label="Triggers"
                  rows={items}
                  id={(one) => one.name}
                  selected={chosen.name}
                  height={260}
                  columns={[
                    {
                      head: "Name",
                      cell: (one) => (
                        <Link className="link font-medium" to="." search={(old) => ({ ...old, trigger: one.name })} replace>
                          {one.name}
                        </Link>
                      ),
                    },
                    { head: "State", cell: (one) => (one.paused ? <Badge tone="warn">paused</Badge> : <Badge tone="ok">on</Badge>) },
                    { head: "Starts", cell: (one) => one.pipeline },
                    { head: "When", wide: true, cell: (one) => one.conditions.join(", or ") },
                    { head: "Cool-down until", cell: (one) => <Time at={one.coolDownUntil} /> },
                    { head: "Next by clock", cell: (one) => <Time at={one.nextCron} /> },
                    {
                      head: "Last",
                      cell: (one) =>
                        one.lastFiring === null ? (
                          "–"
                        ) : (
                          <>
                            <State state={one.lastFiring.outcome} /> <Time at={one.lastFiring.at} />
                          </>
                        ),
                    },
                  ]}
                />
              </Panel>
              <TriggerView key={chosen.name} of={chosen} />
            </>
          );
        }}
      </Read>
    </Page>
  );
}

function TriggerView({ of }: { of: Trigger }) {
  const client = useQueryClient();
  const [failure, setFailure] = useState<string>();
  const firings = useApi<Listed<Firing>>(`/triggers/${of.name}/firings?limit=500`);
  const turn = () => {
    setFailure(undefined);
    send("POST", `/triggers/${of.name}/${of.paused ? "resume" : "pause"}`)
      .then(() => client.invalidateQueries())
      .catch((error: unknown) => setFailure(reasonOf(error)));
  };
  return (
    <div className="grid grid-cols-[22rem_minmax(0,1fr)] items-start gap-3">
      <Panel
        title={of.name}
        actions={
          <button type="button" className="button" onClick={turn}>
            {of.paused ? "Resume" : "Pause"}
          </button>
        }
      >
        <NotDone why={failure} className="pb-2" />
        <Facts
          of={[
            [
              "starts",
              <Link key="pipeline" className="link" to="/pipelines/$name" params={{ name: of.pipeline }}>
                {of.pipeline}
              </Link>,
            ],
            [
              "when",
              <ul key="when">
                {of.conditions.map((one) => (
                  <li key={one}>{one}</li>
                ))}
              </ul>,
            ],
            ["project", of.project],
            ["cool-down until", <Time key="cool" at={of.coolDownUntil} />],
            ["next by clock", <Time key="cron" at={of.nextCron} />],
          ]}
        />
      </Panel>
      <Panel title="Firings" flush>
        <Read query={firings}>
          {({ items }) => (
            <Table
              label="Firings"
              rows={items}
              id={(one) => one.id}
              empty="It has not fired yet."
              columns={[
                { head: "At", cell: (one) => <Time at={one.at} /> },
                { head: "Outcome", cell: (one) => <State state={one.outcome} /> },
                { head: "Condition", cell: (one) => one.condition },
                {
                  head: "Reason",
                  wide: true,
                  cell: (one) => (
                    <span className="line-clamp-1 text-muted" title={one.reason}>
                      {one.reason}
                    </span>
                  ),
                },
                {
                  head: "Run",
                  cell: (one) =>
                    one.runId === null ? (
                      "–"
                    ) : (
                      <Link className="link" to="/runs/$id" params={{ id: one.runId }}>
                        {one.runId.slice(-8)}
                      </Link>
                    ),
                },
              ]}
            />
          )}
        </Read>
      </Panel>
    </div>
  );
}
