import type { Schedule, ScheduleFiring, ScheduleMoment } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { type Listed, reasonOf, send, useApi } from "../api";
import { value } from "../format";
import { Badge, Empty, Facts, NotDone, Page, Panel, Read, State, Table, Time } from "../ui";
import { useUrl } from "../url";

export function Schedules() {
  const [search] = useUrl();
  const schedules = useApi<Listed<Schedule>>("/schedules");
  return (
    <Page
      title="Schedules"
      about="Runs at moments of the clock"
      actions={
        <Link className="button" to="/backfills">
          Backfills
        </Link>
      }
    >
      <Read query={schedules}>
        {({ items }) => {
          const chosen = items.find((one) => one.name === search.schedule) ?? items[0];
          if (chosen === undefined)
            return (
              <Panel>
                <Empty>There is no schedule yet. Define one in a project, or: millrace schedule create</Empty>
              </Panel>
            );
          return (
            <>
              <Panel flush>
                <Table
                  label="Schedules"
                  rows={items}
                  id={(one) => one.name}
                  selected={chosen.name}
                  height={260}
                  columns={[
                    {
                      head: "Name",
                      cell: (one) => (
                        <Link className="link font-medium" to="." search={(old) => ({ ...old, schedule: one.name })} replace>
                          {one.name}
                        </Link>
                      ),
                    },
                    {
                      head: "State",
                      cell: (one) => (
                        <span className="flex gap-1">
                          {one.paused ? <Badge tone="warn">paused</Badge> : <Badge tone="ok">on</Badge>}
                          {one.edited.length > 0 && <Badge title={`Edited on the server: ${one.edited.join(", ")}`}>edited</Badge>}
                        </span>
                      ),
                    },
                    { head: "Starts", cell: (one) => one.pipeline },
                    { head: "When", wide: true, cell: (one) => `${one.cron} (${one.zone})` },
                    { head: "Overlap", cell: (one) => one.overlap.replace("_", " ") },
                    { head: "Next", cell: (one) => <Time at={one.next} /> },
                    {
                      head: "Last",
                      cell: ({ last }) =>
                        last === null ? (
                          "–"
                        ) : (
                          <>
                            <State state={last.runState ?? last.outcome} /> <Time at={last.moment} />
                          </>
                        ),
                    },
                  ]}
                />
              </Panel>
              <ScheduleView key={chosen.name} of={chosen} />
            </>
          );
        }}
      </Read>
    </Page>
  );
}

function ScheduleView({ of }: { of: Schedule }) {
  const client = useQueryClient();
  const [failure, setFailure] = useState<string>();
  const firings = useApi<Listed<ScheduleFiring>>(`/schedules/${of.name}/firings?limit=500`);
  const next = useApi<Listed<ScheduleMoment>>(`/schedules/${of.name}/next?count=8`);
  const act = (what: string) => {
    setFailure(undefined);
    send("POST", `/schedules/${of.name}/${what}`)
      .then(() => client.invalidateQueries())
      .catch((error: unknown) => setFailure(reasonOf(error)));
  };
  return (
    <div className="grid grid-cols-[24rem_minmax(0,1fr)] items-start gap-3">
      <div className="space-y-3">
        <Panel
          title={of.name}
          actions={
            <>
              {of.edited.length > 0 && (
                <button type="button" className="button" title="What the project defines holds again" onClick={() => act("reset")}>
                  Reset
                </button>
              )}
              <button type="button" className="button" onClick={() => act("fire")}>
                Run now
              </button>
              <button type="button" className="button" onClick={() => act(of.paused ? "resume" : "pause")}>
                {of.paused ? "Resume" : "Pause"}
              </button>
            </>
          }
        >
          <NotDone why={failure} className="pb-2" />
          {of.description !== null && <p className="pb-2 text-muted">{of.description}</p>}
          <Facts
            of={[
              [
                "starts",
                <Link key="pipeline" className="link" to="/pipelines/$name" params={{ name: of.pipeline }}>
                  {of.pipeline}
                </Link>,
              ],
              ["when", `${of.cron} (${of.zone})`],
              [
                "with",
                Object.entries(of.params)
                  .map(([name, one]) => `${name} = ${value(one)}`)
                  .join(", ") || "its defaults",
              ],
              ["catch-up", of.catchUp === "all" ? `all, at most ${of.catchUpLimit}` : of.catchUp],
              ["overlap", of.overlap.replace("_", " ")],
              ["jitter", of.jitter ?? "none"],
              ["defined in", of.project ?? "the API"],
              ...(of.edited.length === 0 ? [] : [["edited", `${of.edited.join(", ")}, by ${of.editedBy ?? "somebody"}`] as const]),
            ]}
          />
        </Panel>
        <Panel title="Next" flush>
          <Read query={next}>
            {({ items }) => (
              <Table
                label="Next moments"
                rows={items}
                id={(one) => one.moment}
                empty="It has no moment any more."
                columns={[
                  { head: "In", cell: (one) => <Time at={one.dueAt} /> },
                  { head: of.zone, wide: true, cell: (one) => one.local.replace("T", " ") },
                ]}
              />
            )}
          </Read>
        </Panel>
      </div>
      <Panel title="Firings" flush>
        <Read query={firings}>
          {({ items }) => (
            <Table
              label="Firings"
              rows={items}
              id={(one) => one.id}
              empty="No moment has come yet."
              columns={[
                { head: "Moment", cell: (one) => <Time at={one.moment} /> },
                { head: "Outcome", cell: (one) => <State state={one.runState ?? one.outcome} /> },
                {
                  head: "Reason",
                  wide: true,
                  cell: (one) => (
                    <span className="line-clamp-1 text-muted" title={one.reason}>
                      {one.reason}
                    </span>
                  ),
                },
                { head: "Run", cell: (one) => <RunLink id={one.runId} /> },
              ]}
            />
          )}
        </Read>
      </Panel>
    </div>
  );
}

export const RunLink = ({ id }: { id: string | null }) =>
  id === null ? (
    "–"
  ) : (
    <Link className="link" to="/runs/$id" params={{ id }}>
      {id.slice(-8)}
    </Link>
  );
