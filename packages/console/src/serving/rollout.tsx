import type { RolloutDetail, RolloutNumbers } from "@millrace/sdk/api";
import { useApi } from "../api";
import { count, duration, number, share, words } from "../format";
import { Badge, Panel, Read, State, Table, Time } from "../ui";
import { useUrl } from "../url";
import { RolloutActions } from "./actions";
import { Result } from "./experiment";
import { aboutPlan, judgeInWords, judgesOf, percent } from "./plan";
import { Steps } from "./steps";

/** One rollout: its plan, how far it is, what each version did, and what may be done with it while it runs. */
export function RolloutPanel({ endpoint, id, chosen }: { endpoint: string; id: string; chosen: boolean }) {
  const [, change] = useUrl();
  const rollout = useApi<RolloutDetail>(`/endpoints/${encodeURIComponent(endpoint)}/rollouts/${encodeURIComponent(id)}`, 5_000);
  return (
    <Panel
      title={rollout.data === undefined ? "Rollout" : <Title of={rollout.data} />}
      actions={
        chosen && (
          <button type="button" className="button" onClick={() => change({ rollout: undefined })}>
            Close
          </button>
        )
      }
    >
      <Read query={rollout}>{(data) => <Body of={data} />}</Read>
    </Panel>
  );
}

const Title = ({ of }: { of: RolloutDetail }) => (
  <span className="flex flex-wrap items-center gap-x-2">
    <Badge tone="info">{words(of.kind)}</Badge>
    <span>
      {of.stable === null ? "" : `${of.stable} → `}
      {of.arms.length > 1 ? of.arms.map((arm) => arm.version).join(", ") : of.candidate}
    </span>
    <State state={of.state === "running" && of.pausedAt !== null ? "paused" : of.state} />
    <span className="font-normal text-muted">
      begun by {of.by} <Time at={of.startedAt} />
      {of.finishedAt !== null && (
        <>
          , over <Time at={of.finishedAt} />
        </>
      )}
    </span>
  </span>
);

function Body({ of }: { of: RolloutDetail }) {
  const judges = judgesOf(of.plan);
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-start gap-x-6 gap-y-2">
        <div className="min-w-60 flex-1 space-y-1">
          <p>{aboutPlan(of)}</p>
          {of.reason !== null && <p className="break-words">{of.reason}</p>}
        </div>
        {of.state === "running" && <RolloutActions of={of} />}
      </div>
      <Steps of={of} />
      {of.kind === "experiment" && of.result === null && of.needed !== null && (
        <p className="text-muted">
          {of.arms.length + 1} arms, the control too: the result comes with {count(of.needed)} labelled keys of each
          {of.plan.kind === "experiment" && of.plan.test === "sequential" ? ", or sooner" : ""}.
        </p>
      )}
      {of.result !== null && <Result of={of} result={of.result} />}
      {judges.length > 0 && (
        <ul className="flex flex-wrap gap-x-4 gap-y-0.5 text-muted" aria-label="Judges">
          {judges.map((judge) => (
            <li key={JSON.stringify(judge)} className="before:mr-1.5 before:content-['•']">
              {judgeInWords(judge)}
            </li>
          ))}
        </ul>
      )}
      {of.kind === "shadow" && <Comparison of={of} />}
      <Versions of={of} />
    </div>
  );
}

/** Copies beside what was answered. */
function Comparison({ of }: { of: RolloutDetail }) {
  const copies = of.versions.find((one) => one.version === of.candidate);
  if (copies === undefined || copies.compared === 0) return <p className="text-muted">No copy has been compared yet.</p>;
  const agreed = copies.agreed / copies.compared;
  return (
    <section aria-label="Comparison" className="flex flex-wrap items-center gap-x-4 gap-y-1">
      <div
        className="flex h-3 w-56 max-w-full overflow-hidden rounded-full bg-bad/70"
        role="img"
        aria-label={`${share(agreed)} of ${count(copies.compared)} agree`}
      >
        <div className="bg-ok" style={{ width: `${agreed * 100}%` }} />
      </div>
      <span>
        <b className="font-medium">{share(agreed)}</b> of {count(copies.compared)} answers agree
      </span>
      <span className="text-muted">
        mean difference {number(copies.meanDifference)}; {count(copies.dropped)} copies found no room
      </span>
    </section>
  );
}

function Versions({ of }: { of: RolloutDetail }) {
  if (of.versions.length === 0) return <p className="text-muted">No request has come since it began.</p>;
  const weights = new Map(of.arms.map((arm) => [arm.version, arm.weight]));
  const weightOf = ({ version }: RolloutNumbers): string => {
    if (of.kind === "shadow" && version === of.candidate) return "copies";
    return percent(version === of.stable ? Math.max(0, 1 - of.weight) : (weights.get(version) ?? 0));
  };
  return (
    <div className="-mx-3 border-t border-line/60">
      <Table
        label="Versions of the rollout"
        rows={of.versions}
        id={(one) => String(one.version)}
        height={230}
        columns={[
          {
            head: "Version",
            wide: true,
            cell: (one) => (
              <>
                {one.version} {one.version === of.stable ? <Badge>{of.kind === "experiment" ? "control" : "stable"}</Badge> : ""}
                {one.version === of.candidate && of.state !== "running" ? <State state={of.state} /> : ""}
              </>
            ),
          },
          ...(of.state === "running" ? [{ head: "Traffic", right: true, cell: weightOf }] : []),
          { head: "Requests", right: true, cell: (one) => count(one.requests) },
          {
            head: "Errors",
            right: true,
            cell: (one) =>
              one.errors === 0 ? (
                "0"
              ) : (
                <span className="text-bad">
                  {count(one.errors)} ({share(one.errors / Math.max(1, one.requests), 2)})
                </span>
              ),
          },
          { head: "Rows", right: true, cell: (one) => count(one.rows) },
          { head: "p50", right: true, cell: (one) => duration(one.p50Ms) },
          { head: "p99", right: true, cell: (one) => duration(one.p99Ms) },
        ]}
      />
    </div>
  );
}
