import type { Endpoint as EndpointBody, Rollout } from "@millrace/sdk/api";
import { Link, useParams } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { count, duration, number, words } from "../format";
import { fallbackOf, GoBack, KillSwitch } from "../serving/actions";
import { History } from "../serving/history";
import { percent } from "../serving/plan";
import { Predictions, Scores } from "../serving/predictions";
import { RolloutPanel } from "../serving/rollout";
import { Traffic } from "../serving/traffic";
import { Badge, Empty, Figure, Page, Panel, Read, State, Tabs, Time } from "../ui";
import { useUrl } from "../url";

export function Endpoint() {
  const { name = "" } = useParams({ strict: false });
  const endpoint = useApi<EndpointBody>(`/endpoints/${encodeURIComponent(name)}`, 3_000);
  const [{ tab, rollout }] = useUrl();
  const { data } = endpoint;
  const running = data?.rollout?.state === "running" ? data.rollout.id : undefined;
  const shown = rollout ?? running;
  const features = data?.service !== null;
  return (
    <Page
      title={name}
      about={
        <>
          endpoint{" "}
          {data !== undefined && (
            <>
              of{" "}
              <Link className="link" to="/models/$name" params={{ name: data.model }}>
                {data.model}
              </Link>
            </>
          )}
        </>
      }
      actions={
        data !== undefined && (
          <>
            <GoBack of={data} />
            <KillSwitch of={data} />
          </>
        )
      }
    >
      {data?.killed != null && (
        <div role="alert" className="break-words rounded-lg border border-bad/50 bg-bad/8 px-3 py-2">
          <b className="font-semibold text-bad">Switched off</b> by {data.killed.by} <Time at={data.killed.at} />: {data.killed.reason}{" "}
          <span className="text-muted">{fallbackOf(data)}</span>
        </div>
      )}
      <Read query={endpoint}>{(data) => <Figures of={data} />}</Read>
      {shown !== undefined && <RolloutPanel key={shown} endpoint={name} id={shown} chosen={rollout !== undefined} />}
      <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 xl:grid-cols-[minmax(0,1fr)_27rem]">
        <Panel>
          <Tabs
            param="tab"
            of={[
              ["predictions", "Recent predictions"],
              ["scores", features ? "Scores" : "Outputs"],
              ["history", "History"],
            ]}
          />
          {tab === "history" ? (
            <History endpoint={name} />
          ) : tab === "scores" ? (
            <Scores endpoint={name} features={features} />
          ) : (
            <Predictions endpoint={name} features={features} />
          )}
        </Panel>
        <div className="space-y-3">
          {data !== undefined && <Traffic of={data} />}
          <Rollouts endpoint={name} shown={shown} />
        </div>
      </div>
    </Page>
  );
}

const Figures = ({ of }: { of: EndpointBody }) => (
  <div className="grid grid-cols-2 gap-3 lg:grid-cols-5">
    <Figure
      name="Answers"
      value={of.killed !== null ? "nothing" : of.stable === null ? "nothing yet" : `version ${of.stable}`}
      note={of.killed !== null ? "the kill switch is on" : of.service === null ? "takes what its model takes" : `features of ${of.service}`}
      {...(of.killed === null ? {} : { tone: "bad" as const })}
    />
    <Figure
      name="Tried"
      value={of.rollout?.state !== "running" ? "–" : of.rollout.arms.length > 1 ? `${of.rollout.arms.length} versions` : `version ${of.candidate}`}
      note={
        of.rollout?.state !== "running"
          ? "no rollout is under way"
          : of.rollout.kind === "shadow"
            ? "in the shadow, on copies"
            : `${words(of.rollout.kind)} on ${percent(of.weight)} of the traffic`
      }
    />
    <Figure name="Requests" value={`${number(of.requestsPerSecond, 3)} /s`} note="in the last minute, of this process" />
    <Figure
      name="Latency p99"
      value={duration(of.latency.p99Ms)}
      note={of.latency.p50Ms === null ? "no request in the last minute" : `p50 ${duration(of.latency.p50Ms)}`}
    />
    <Figure
      name="Predictions"
      value={count(of.predictions)}
      note={`${count(of.errors)} errors${notLogged(of.log)}`}
      {...(of.errors > 0 ? { tone: "warn" as const } : {})}
    />
  </div>
);

function notLogged({ sampledOut, dropped }: EndpointBody["log"]): string {
  return `${dropped === 0 ? "" : `, ${count(dropped)} not logged`}${sampledOut === 0 ? "" : `, ${count(sampledOut)} left out of the log's sample`}`;
}

function Rollouts({ endpoint, shown }: { endpoint: string; shown: string | undefined }) {
  const rollouts = useApi<Listed<Rollout>>(`/endpoints/${encodeURIComponent(endpoint)}/rollouts?limit=50`, 5_000);
  return (
    <Panel title="Rollouts" flush>
      <Read query={rollouts}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty>No version has been tried against another yet.</Empty>
          ) : (
            <ol className="max-h-[540px] overflow-auto">
              {items.map((one) => (
                <li key={one.id} className={`border-b border-line/60 px-3 py-2 last:border-0 ${one.id === shown ? "bg-accent/8" : ""}`}>
                  <div className="flex flex-wrap items-center gap-x-2">
                    <Link className="link font-medium" to="." search={(old) => ({ ...old, rollout: one.id })} replace>
                      {one.stable === null ? `version ${one.candidate}` : `${one.stable} → ${one.candidate}`}
                    </Link>
                    <Badge>{words(one.kind)}</Badge>
                    <State state={one.state === "running" && one.pausedAt !== null ? "paused" : one.state} />
                    <span className="ml-auto">
                      <Time at={one.finishedAt ?? one.stepStartedAt} />
                    </span>
                  </div>
                  {one.reason !== null && <p className="line-clamp-3 break-words">{one.reason}</p>}
                  <p className="break-words text-muted">
                    {one.steps > 1 && `step ${one.step + 1} of ${one.steps}; `}
                    {count(one.requests)} requests, {count(one.errors)} errors; by {one.by}
                  </p>
                </li>
              ))}
            </ol>
          )
        }
      </Read>
    </Panel>
  );
}
