import type { Decision, Environment, PromotionDetail } from "@millrace/sdk/api";
import { Link, useParams } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { Answer } from "../delivery/actions";
import { DecisionBadge, inWords, isOpen, objectAt, PromotionBadge, Subject, short } from "../delivery/subject";
import { Facts, Page, Panel, Read, Time } from "../ui";

/** One promotion: what is waited for, and all that was decided of it, by whom and by what evidence. */
export function Promotion() {
  const { id = "" } = useParams({ strict: false });
  const promotion = useApi<PromotionDetail>(`/promotions/${encodeURIComponent(id)}`, (data) => (data === undefined || isOpen(data) ? 3_000 : 60_000));
  const { data } = promotion;
  const environments = useApi<Listed<Environment>>(data === undefined ? undefined : `/environments?project=${encodeURIComponent(data.project)}`);
  const environment = environments.data?.items.find((one) => one.name === data?.environment);
  const wanted = environment?.spec.approvals?.count ?? 0;
  return (
    <Page
      title={data === undefined ? "Promotion" : `${data.release === null ? inWords(data) : short(data.release)} → ${data.environment}`}
      about={data === undefined ? "promotion" : <PromotionBadge of={data} />}
      actions={data !== undefined && <Answer of={data} wanted={wanted} />}
    >
      <Read query={promotion}>
        {(of) => (
          <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 lg:grid-cols-[24rem_minmax(0,1fr)]">
            <Panel title={isOpen(of) ? "What is waited for" : "How it ended"}>
              <p className="break-words pb-2">{of.message ?? (isOpen(of) ? "Its gates are looked at." : "–")}</p>
              <Facts
                of={[
                  ["what", <Subject key="what" of={of} />],
                  [
                    "to",
                    <span key="to">
                      <Link className="link" to="/delivery">
                        {of.environment}
                      </Link>{" "}
                      of {of.project}
                    </span>,
                  ],
                  [
                    "asked for",
                    <span key="asked">
                      by {of.requestedBy} <Time at={of.requestedAt} />
                    </span>,
                  ],
                  ["why", of.reason ?? "–"],
                  ...(of.rollback || wanted === 0
                    ? []
                    : [
                        [
                          "approved by",
                          `${of.approvedBy.length === 0 ? "nobody yet" : of.approvedBy.join(", ")} (${of.approvedBy.length} of ${wanted})`,
                        ] as const,
                        ["may not approve", of.authors.length === 0 ? "–" : of.authors.join(", ")] as const,
                      ]),
                  ["over", <Time key="over" at={of.finishedAt} />],
                ]}
              />
            </Panel>
            <Panel title="Decisions">
              <ol className="space-y-2.5" aria-label="Decisions">
                {of.decisions.map((one) => (
                  <Decided key={JSON.stringify(one)} of={one} />
                ))}
              </ol>
            </Panel>
          </div>
        )}
      </Read>
    </Page>
  );
}

const Decided = ({ of }: { of: Decision }) => (
  <li className="border-l-2 border-line pl-3">
    <div className="flex flex-wrap items-center gap-x-2">
      <DecisionBadge of={of} />
      {of.gate !== null && <b className="font-medium [overflow-wrap:anywhere]">{of.gate}</b>}
      <span className="text-muted">by {of.by}</span>
      <span className="ml-auto">
        <Time at={of.at} />
      </span>
    </div>
    <p className="break-words">{of.message}</p>
    {of.evidence.length > 0 && (
      <p className="flex flex-wrap gap-x-3 text-[12px] text-muted">
        evidence:
        {of.evidence.map(({ what, digest }) => (
          <a key={`${what} ${digest}`} className="link" href={objectAt(digest)} title={digest} download={what.replaceAll(/[^\w.-]+/g, "-")}>
            {what} <span className="font-mono">{short(digest)}</span>
          </a>
        ))}
      </p>
    )}
  </li>
);
