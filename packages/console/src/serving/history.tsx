import type { RolloutEvent } from "@millrace/sdk/api";
import { useList } from "../api";
import { value, words } from "../format";
import { Badge, Empty, Failure, Loading, Time, type Tone } from "../ui";
import { useUrl } from "../url";
import { percent } from "./plan";

const tones: Record<RolloutEvent["kind"], Tone> = {
  ...{ started: "info", advanced: "info", reweighted: "info", paused: "warn", resumed: "info", decided: "info" },
  ...{ promoted: "ok", rolled_back: "bad", superseded: "none", killed: "bad", revived: "ok" },
};
/** What became of an endpoint's versions: who did what, when, why, and by what numbers. */
export function History({ endpoint }: { endpoint: string }) {
  const [{ rollout }, change] = useUrl();
  const events = useList<RolloutEvent>(
    `/endpoints/${encodeURIComponent(endpoint)}/history?limit=50${rollout === undefined ? "" : `&rollout=${encodeURIComponent(rollout)}`}`,
    5_000,
  );
  if (events.isError) return <Failure message={events.error.message} again={() => void events.refetch()} />;
  if (events.isPending) return <Loading />;
  return (
    <div className="space-y-2 pt-3">
      {rollout !== undefined && (
        <p className="text-muted">
          Of one rollout.{" "}
          <button type="button" className="link" onClick={() => change({ rollout: undefined })}>
            Show all
          </button>
        </p>
      )}
      {events.rows.length === 0 && <Empty>Nothing has happened to its versions yet.</Empty>}
      <ol className="space-y-2.5" aria-label="History">
        {events.rows.map((one) => (
          <li key={one.id} className="border-l-2 border-line pl-3">
            <div className="flex flex-wrap items-center gap-x-2">
              <Badge tone={tones[one.kind]}>{words(one.kind)}</Badge>
              {one.version !== null && <b className="font-medium">version {one.version}</b>}
              {one.weight !== null && <span className="text-muted">{percent(one.weight)} tried</span>}
              <span className="text-muted">by {one.by}</span>
              <span className="ml-auto">
                <Time at={one.at} />
              </span>
            </div>
            <p className="break-words">{one.reason}</p>
            <Numbers of={one.numbers} />
          </li>
        ))}
      </ol>
      {events.hasNextPage && (
        <button type="button" className="button" disabled={events.isFetchingNextPage} onClick={() => void events.fetchNextPage()}>
          Show earlier ones
        </button>
      )}
    </div>
  );
}

/** The order in which they are told: as they are kept they have none. */
const places = ["requests", "errors", "rows", "p50_ms", "p99_ms", "compared", "agreed", "mean_difference", "dropped"];
/** By version. */
const Numbers = ({ of }: { of: RolloutEvent["numbers"] }) => (
  <>
    {Object.entries(of).map(([version, numbers]) => (
      <p key={version} className="break-words text-[12px] text-muted">
        <span className="font-medium">{version}</span>{" "}
        {typeof numbers === "object" && numbers !== null
          ? Object.entries(numbers)
              .filter(([, one]) => one !== null)
              .sort(([a], [b]) => places.indexOf(a) - places.indexOf(b))
              .map(([name, one]) => (name.endsWith("_ms") ? `${name.slice(0, -3)} ${value(one)} ms` : `${words(name)} ${value(one)}`))
              .join(" · ")
          : value(numbers)}
      </p>
    ))}
  </>
);
