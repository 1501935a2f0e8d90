import type { Backfill, BackfillItem } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { type Listed, reasonOf, send, useApi, useList } from "../api";
import { value } from "../format";
import { Ask, Empty, Facts, NotDone, Page, Panel, Read, State, Table, Time } from "../ui";
import { useUrl } from "../url";
import { RunLink } from "./schedules";

const liveMs = 3_000;

export function Backfills() {
  const [search] = useUrl();
  const backfills = useApi<Listed<Backfill>>("/backfills?limit=200", liveMs);
  return (
    <Page title="Backfills" about="A run of a pipeline for each of many values of a param">
      <Read query={backfills}>
        {({ items }) => {
          const chosen = items.find((one) => one.id === search.backfill) ?? items[0];
          if (chosen === undefined)
            return (
              <Panel>
                <Empty>There is no backfill yet. Start one: millrace backfill delay --param until --from 2013-01 --to 2013-06</Empty>
              </Panel>
            );
          return (
            <>
              <Panel flush>
                <Table
                  label="Backfills"
                  rows={items}
                  id={(one) => one.id}
                  selected={chosen.id}
                  height={260}
                  columns={[
                    {
                      head: "Backfill",
                      cell: (one) => (
                        <Link className="link font-medium" to="." search={(old) => ({ ...old, backfill: one.id })} replace>
                          {one.id.slice(-12)}
                        </Link>
                      ),
                    },
                    { head: "State", cell: (one) => <State state={one.state} /> },
                    { head: "Pipeline", cell: (one) => one.pipeline },
                    { head: "Values", cell: (one) => `${one.param}: ${value(one.first)} to ${value(one.last)}` },
                    { head: "Progress", wide: true, cell: (one) => <Progress of={one} /> },
                    { head: "Begun", cell: (one) => <Time at={one.createdAt} /> },
                    { head: "By", cell: (one) => one.createdBy },
                  ]}
                />
              </Panel>
              <BackfillView key={chosen.id} of={chosen} />
            </>
          );
        }}
      </Read>
    </Page>
  );
}

const colors = [
  ["succeeded", "bg-ok"],
  ["skipped", "bg-ok/40"],
  ["refused", "bg-warn"],
  ["failed", "bg-bad"],
  ["cancelled", "bg-muted"],
  ["running", "bg-info"],
] as const;
function Progress({ of: { progress } }: { of: Backfill }) {
  const told = colors.flatMap(([name]) => (progress[name] === 0 ? [] : [`${progress[name]} ${name}`])).join(", ");
  const over = progress.total - progress.waiting - progress.running;
  return (
    <span className="flex items-center gap-2">
      <span role="img" aria-label={`${told || "nothing yet"} of ${progress.total}`} title={told} className="flex h-2 w-40 overflow-hidden rounded bg-sunken">
        {colors.map(([name, color]) => (
          <span key={name} className={color} style={{ width: `${(100 * progress[name]) / progress.total}%` }} />
        ))}
      </span>
      <span className="whitespace-nowrap text-muted">
        {over} of {progress.total}
      </span>
    </span>
  );
}

function BackfillView({ of }: { of: Backfill }) {
  const client = useQueryClient();
  const [failure, setFailure] = useState<string>();
  const items = useList<BackfillItem>(`/backfills/${of.id}/items?limit=200`, liveMs);
  const act = (what: string) =>
    send("POST", `/backfills/${of.id}/${what}`).then(
      () => client.invalidateQueries(),
      (error: unknown) => setFailure(reasonOf(error)),
    );
  const undone = of.progress.failed + of.progress.cancelled;
  return (
    <div className="grid grid-cols-[22rem_minmax(0,1fr)] items-start gap-3">
      <Panel
        title={of.pipeline}
        actions={
          <>
            {undone > 0 && (
              <button type="button" className="button" onClick={() => void act("retry")}>
                Retry {undone}
              </button>
            )}
            {of.state === "running" && (
              <button type="button" className="button" onClick={() => void act("pause")}>
                Pause
              </button>
            )}
            {of.state === "paused" && (
              <button type="button" className="button" onClick={() => void act("resume")}>
                Resume
              </button>
            )}
            {(of.state === "running" || of.state === "paused") && (
              <Ask button="Cancel" title="Cancel this backfill?" run={() => act("cancel")}>
                Its runs are ended, and what waits is not begun.
              </Ask>
            )}
          </>
        }
      >
        <NotDone why={failure} className="pb-2" />
        <Facts
          of={[
            ["state", <State key="state" state={of.state} />],
            ...(of.message === null ? [] : [["why", of.message] as const]),
            ["values of", of.param],
            [
              "with",
              Object.entries(of.params)
                .map(([name, one]) => `${name} = ${value(one)}`)
                .join(", ") || "its defaults",
            ],
            ["at once", of.atOnce],
            ["progress", <Progress key="progress" of={of} />],
            ["finished", <Time key="end" at={of.finishedAt} />],
          ]}
        />
      </Panel>
      <Panel title="Values" flush>
        <Table
          label="Values of the backfill"
          rows={items.rows}
          id={(one) => String(one.n)}
          more={items.hasNextPage && !items.isFetching ? () => void items.fetchNextPage() : undefined}
          columns={[
            { head: of.param, cell: (one) => value(one.value) },
            { head: "State", cell: (one) => <State state={one.state} /> },
            { head: "Attempt", right: true, cell: (one) => one.attempt || "–" },
            { head: "Run", cell: (one) => <RunLink id={one.runId} /> },
            {
              head: "Message",
              wide: true,
              cell: (one) => (
                <span className="line-clamp-1 text-muted" title={one.message ?? ""}>
                  {one.message}
                </span>
              ),
            },
          ]}
        />
      </Panel>
    </div>
  );
}
