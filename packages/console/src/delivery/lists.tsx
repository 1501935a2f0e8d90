import type { Promotion, Release } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { useList } from "../api";
import { Badge, Choose, Failure, Loading, Panel, Table, Time } from "../ui";
import { useUrl } from "../url";
import { PromotionBadge, Subject, short } from "./subject";

const states = ["open", "checking", "waiting", "deploying", "deployed", "refused", "failed", "superseded", "cancelled"];

export function Promotions() {
  const [{ state }] = useUrl();
  const promotions = useList<Promotion>(`/promotions?limit=100${state === undefined ? "" : `&state=${encodeURIComponent(state)}`}`, 5_000);
  return (
    <Panel title="Promotions" actions={<Choose label="State" param="state" of={states} all="all" />} flush>
      {promotions.isError ? (
        <Failure message={promotions.error.message} again={() => void promotions.refetch()} />
      ) : promotions.isPending ? (
        <Loading />
      ) : (
        <Table
          label="Promotions"
          rows={promotions.rows}
          id={(one) => one.id}
          height={640}
          empty={state === undefined ? "Nothing has been promoted yet." : "No promotion fits."}
          more={promotions.hasNextPage && !promotions.isFetchingNextPage ? () => void promotions.fetchNextPage() : undefined}
          columns={[
            { head: "Asked", cell: (one) => <Time at={one.requestedAt} /> },
            { head: "Project", cell: (one) => <Name>{one.project}</Name> },
            { head: "What", cell: (one) => <Subject of={one} /> },
            { head: "To", cell: (one) => <Name>{one.environment}</Name> },
            { head: "State", cell: (one) => <PromotionBadge of={one} /> },
            {
              head: "",
              cell: (one) => (
                <Link className="link" to="/delivery/promotions/$id" params={{ id: one.id }}>
                  decisions
                </Link>
              ),
            },
            {
              head: "",
              wide: true,
              cell: (one) => <span className="line-clamp-1 min-w-60 text-muted">{one.message ?? one.reason}</span>,
            },
            { head: "By", cell: (one) => <Name>{one.requestedBy}</Name> },
            { head: "Approved by", cell: (one) => <Name>{one.approvedBy.length === 0 ? "–" : one.approvedBy.join(", ")}</Name> },
          ]}
        />
      )}
    </Panel>
  );
}
const Name = ({ children }: { children: string }) => (
  <span className="block max-w-44 truncate" title={children}>
    {children}
  </span>
);

export function Releases() {
  const releases = useList<Release>("/releases?limit=100", 15_000);
  return (
    <Panel title="Releases" flush>
      {releases.isError ? (
        <Failure message={releases.error.message} again={() => void releases.refetch()} />
      ) : releases.isPending ? (
        <Loading />
      ) : (
        <Table
          label="Releases"
          rows={releases.rows}
          id={(one) => one.digest}
          height={640}
          empty="No release is known yet. `millrace release` makes one of a project's commit."
          more={releases.hasNextPage && !releases.isFetchingNextPage ? () => void releases.fetchNextPage() : undefined}
          columns={[
            { head: "Made", cell: (one) => <Time at={one.createdAt} /> },
            {
              head: "Release",
              cell: (one) => (
                <Link className="link font-mono text-[12px]" to="/delivery/releases/$digest" params={{ digest: one.digest }} title={one.digest}>
                  {short(one.digest)}
                </Link>
              ),
            },
            { head: "Project", cell: (one) => <Name>{one.project}</Name> },
            {
              head: "Commit",
              cell: (one) => (
                <code className="text-[12px]" title={one.commit}>
                  {one.commit.slice(0, 8)}
                </code>
              ),
            },
            {
              head: "Signed",
              cell: (one) =>
                one.signedBy.length === 0 ? (
                  <span className="text-muted">no</span>
                ) : (
                  <Badge tone="ok" title={one.signedBy.join(", ")}>
                    {one.signedBy.length === 1 ? "signed" : `signed by ${one.signedBy.length}`}
                  </Badge>
                ),
            },
            { head: "Authors", wide: true, cell: (one) => <span className="line-clamp-1 break-all text-muted">{one.authors.join(", ")}</span> },
          ]}
        />
      )}
    </Panel>
  );
}
