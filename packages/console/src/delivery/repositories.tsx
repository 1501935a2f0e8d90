import type { Build, Repository } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { type Listed, reasonOf, send, useApi, useList } from "../api";
import { Badge, Empty, Facts, Failure, Loading, NotDone, Panel, Read, Table, Time, type Tone } from "../ui";
import { objectAt, short } from "./subject";

/** The git repositories that are watched, and what became of the commits that came to them. */
export function Repositories() {
  const repositories = useApi<Listed<Repository>>("/repositories", 5_000);
  return (
    <Read query={repositories}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty>No repository is watched. `millrace repository watch` has each push and tag checked and released by itself.</Empty>
        ) : (
          <div className="space-y-3">
            {items.map((one) => (
              <Watched key={one.name} of={one} />
            ))}
          </div>
        )
      }
    </Read>
  );
}

function Watched({ of }: { of: Repository }) {
  const builds = useList<Build>(`/repositories/${encodeURIComponent(of.name)}/builds?limit=50`, 5_000);
  const [failure, setFailure] = useState<string>();
  const look = () => {
    setFailure(undefined);
    send("POST", `/repositories/${encodeURIComponent(of.name)}/look`)
      .then(() => builds.refetch())
      .catch((error: unknown) => setFailure(reasonOf(error)));
  };
  return (
    <Panel
      title={<span className="[overflow-wrap:anywhere]">{of.name}</span>}
      actions={
        <>
          <span className="text-muted">
            looked at <Time at={of.lookedAt} />
          </span>
          <button type="button" className="button" onClick={look}>
            Look now
          </button>
        </>
      }
    >
      <NotDone why={failure ?? of.problem} className="pb-2" />
      <Facts
        of={[
          ["url", <span key="url" className="break-all">{`${of.url}${of.folder === "" || of.folder === "." ? "" : `, ${of.folder}`}`}</span>],
          ["releases", `pushes to ${of.branch}, tags ${of.tags}${of.check ? ", each checked first" : ""}`],
          [
            "looked at",
            of.pollSeconds === 0 ? "when its webhook says so" : `each ${of.pollSeconds} s${of.webhookSecret === null ? "" : ", and when its webhook says so"}`,
          ],
          ["project", of.project ?? "none was released yet"],
        ]}
      />
      <div className="-mx-3 mt-3 border-t border-line/60">
        {builds.isError ? (
          <Failure message={builds.error.message} again={() => void builds.refetch()} />
        ) : builds.isPending ? (
          <Loading />
        ) : (
          <Table
            label={`Builds of ${of.name}`}
            rows={builds.rows}
            id={(one) => one.id}
            height={330}
            empty="No commit has come yet."
            more={builds.hasNextPage && !builds.isFetchingNextPage ? () => void builds.fetchNextPage() : undefined}
            columns={[
              { head: "Found", cell: (one) => <Time at={one.foundAt} /> },
              {
                head: "Ref",
                cell: (one) => (
                  <span className="block max-w-44 truncate" title={one.ref}>
                    {one.ref.replace(/^refs\/(heads|tags)\//, "")}
                  </span>
                ),
              },
              {
                head: "Commit",
                cell: (one) => (
                  <code className="text-[12px]" title={one.commit}>
                    {one.commit.slice(0, 8)}
                  </code>
                ),
              },
              { head: "State", cell: (one) => <Badge tone={tones[one.state]}>{one.state}</Badge> },
              {
                head: "Release",
                cell: (one) =>
                  one.release === null ? (
                    <span className="text-muted">–</span>
                  ) : (
                    <Link className="link font-mono text-[12px]" to="/delivery/releases/$digest" params={{ digest: one.release }} title={one.release}>
                      {short(one.release)}
                    </Link>
                  ),
              },
              {
                head: "Log",
                cell: (one) =>
                  one.log === null ? (
                    <span className="text-muted">–</span>
                  ) : (
                    <a className="link" href={objectAt(one.log)} download={`build-${one.commit.slice(0, 8)}.log`}>
                      log
                    </a>
                  ),
              },
              {
                head: "",
                wide: true,
                cell: (one) => (
                  <span className="line-clamp-2 min-w-60 break-words text-muted" title={one.message ?? undefined}>
                    {one.message}
                  </span>
                ),
              },
            ]}
          />
        )}
      </div>
    </Panel>
  );
}
const tones: Record<Build["state"], Tone> = { waiting: "warn", building: "info", released: "ok", failed: "bad", superseded: "none", known: "none" };
