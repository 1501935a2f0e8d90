import type { Endpoint as EndpointBody, Prediction, Rollout } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { Fragment } from "react";
import { type Listed, send, useApi } from "../api";
import { Chart, seconds } from "../chart";
import { count, duration, number, share, value } from "../format";
import { Ask, Badge, Empty, Facts, Figure, Page, Panel, Read, State, Table, Tabs, Time } from "../ui";
import { useUrl } from "../url";

export function Endpoint() {
  const { name = "" } = useParams({ strict: false });
  const endpoint = useApi<EndpointBody>(`/endpoints/${name}`, 3_000);
  const client = useQueryClient();
  const [{ tab }] = useUrl();
  return (
    <Page
      title={name}
      about="endpoint"
      actions={
        endpoint.data?.candidate != null && (
          <Ask
            button="Roll back"
            title={`Take version ${endpoint.data.candidate} out of the traffic?`}
            run={async () => {
              await send("POST", `/endpoints/${name}/rollback`);
              await client.invalidateQueries();
            }}
          >
            Version {endpoint.data.stable ?? "–"} answers all requests again.
          </Ask>
        )
      }
    >
      <Read query={endpoint}>{(data) => <Figures of={data} />}</Read>
      <div className="grid grid-cols-[minmax(0,1fr)_27rem] items-start gap-3">
        <Panel>
          <Tabs
            param="tab"
            of={[
              ["predictions", "Recent predictions"],
              ["scores", "Scores"],
            ]}
          />
          <Predictions endpoint={name} scores={tab === "scores"} />
        </Panel>
        <div className="space-y-3">
          {endpoint.data !== undefined && <Traffic of={endpoint.data} />}
          <Rollouts endpoint={name} />
        </div>
      </div>
    </Page>
  );
}

const Figures = ({ of }: { of: EndpointBody }) => (
  <div className="grid grid-cols-5 gap-3">
    <Figure
      name="Answers"
      value={of.stable === null ? "nothing yet" : `${of.model} ${of.stable}`}
      note={of.service === null ? "takes what its model takes" : `features of ${of.service}`}
    />
    <Figure
      name="Tried"
      value={of.candidate === null ? "–" : `version ${of.candidate}`}
      note={of.candidate === null ? "no rollout is under way" : `on ${share(of.weight, 0)} of the traffic`}
    />
    <Figure name="Requests" value={`${number(of.requestsPerSecond, 3)} /s`} note="in the last minute, of this process" />
    <Figure
      name="Latency p99"
      value={duration(of.latency.p99Ms)}
      note={of.latency.p50Ms === null ? "no request in the last minute" : `p50 ${duration(of.latency.p50Ms)}`}
    />
    <Figure name="Predictions" value={count(of.predictions)} note={`${count(of.errors)} errors`} {...(of.errors > 0 ? { tone: "warn" as const } : {})} />
  </div>
);

/** How the traffic is split now, and who answered the last predictions. */
function Traffic({ of }: { of: EndpointBody }) {
  const recent = useApi<Listed<Prediction>>(`/endpoints/${of.name}/predictions?limit=1000`, 30_000);
  const weight = of.candidate === null ? 0 : of.weight;
  return (
    <Panel title="Traffic">
      <div
        className="flex h-5 overflow-hidden rounded text-[12px] leading-5 text-panel"
        role="img"
        aria-label={`version ${of.stable ?? "none"} answers ${share(1 - weight, 0)}, version ${of.candidate ?? "none"} ${share(weight, 0)}`}
      >
        <div className="bg-accent px-2" style={{ width: `${(1 - weight) * 100}%` }}>
          {of.stable === null ? "nothing is deployed" : `version ${of.stable}: ${share(1 - weight, 0)}`}
        </div>
        {weight > 0 && (
          <div className="overflow-hidden whitespace-nowrap bg-warn text-center" style={{ width: `${weight * 100}%` }}>
            {`${of.candidate}: ${share(weight, 0)}`}
          </div>
        )}
      </div>
      {recent.data !== undefined && recent.data.items.length > 1 && <Answered of={recent.data.items} />}
    </Panel>
  );
}

/** The last predictions by the version that answered, in forty equal parts of their time. */
function Answered({ of }: { of: Prediction[] }) {
  const times = of.map((one) => seconds(one.at));
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const width = (to - from) / 40;
  if (width === 0) return null;
  const versions = [...new Set(of.map((one) => one.version))].sort((a, b) => a - b);
  const counts = versions.map(() => Array.from({ length: 40 }, () => 0));
  of.forEach((one, i) => {
    const bins = counts[versions.indexOf(one.version)] ?? [];
    const bin = Math.min(39, Math.floor(((times[i] ?? from) - from) / width));
    bins[bin] = (bins[bin] ?? 0) + 1;
  });
  return (
    <div className="pt-2">
      <p className="text-[12px] text-muted">
        the last {count(of.length)} predictions, in each {duration(width * 1_000)} of the platform's time
      </p>
      <Chart
        label="Predictions by version"
        time
        x={Array.from({ length: 40 }, (_, i) => from + (i + 0.5) * width)}
        series={versions.map((version, i) => ({ name: `version ${version}`, values: counts[i] ?? [], points: false }))}
        height={150}
        plain
      />
    </div>
  );
}

function Rollouts({ endpoint }: { endpoint: string }) {
  const rollouts = useApi<Listed<Rollout>>(`/endpoints/${endpoint}/rollouts?limit=50`, 5_000);
  return (
    <Panel title="Rollouts">
      <Read query={rollouts}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty>No version has been tried against another yet.</Empty>
          ) : (
            <ol className="max-h-[540px] space-y-3 overflow-auto">
              {items.map((one) => (
                <li key={one.id} className="border-l-2 border-line pl-3">
                  <div className="flex items-center gap-2">
                    <b className="font-medium">{one.stable === null ? `version ${one.candidate}` : `${one.stable} → ${one.candidate}`}</b>
                    <State state={one.state} />
                    <span className="text-muted">
                      step {one.step + 1} at {share(one.weight, 0)}
                    </span>
                    <span className="ml-auto">
                      <Time at={one.finishedAt ?? one.stepStartedAt} />
                    </span>
                  </div>
                  {one.reason !== null && <p>{one.reason}</p>}
                  <p className="text-muted">
                    {count(one.requests)} requests, {count(one.errors)} errors; began <Time at={one.startedAt} />
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

function Predictions({ endpoint, scores }: { endpoint: string; scores: boolean }) {
  const [{ prediction }, change] = useUrl();
  const predictions = useApi<Listed<Prediction>>(`/endpoints/${endpoint}/predictions?limit=${scores ? 1_000 : 200}`, 5_000);
  return (
    <Read query={predictions}>
      {({ items }) => {
        if (items.length === 0) return <Empty>Nobody has asked this endpoint yet.</Empty>;
        if (scores) return <Scores of={items} />;
        const open = items.find((one) => one.id === prediction);
        return (
          <>
            <Table
              label="Recent predictions"
              rows={items}
              id={(one) => one.id}
              height={open === undefined ? 600 : 330}
              selected={prediction}
              columns={[
                {
                  head: "Prediction",
                  cell: (one) => (
                    <Link className="link font-mono text-[12px]" to="/predictions/$id" params={{ id: one.id }}>
                      {one.id}
                    </Link>
                  ),
                },
                { head: "At", cell: (one) => <Time at={one.at} /> },
                {
                  head: "Version",
                  cell: (one) => (
                    <>
                      {one.version} {one.route !== "stable" && <Badge tone={one.route === "fallback" ? "bad" : "info"}>{one.route}</Badge>}
                    </>
                  ),
                },
                { head: "Score", right: true, cell: (one) => <b className="font-medium">{one.prediction === null ? "–" : one.prediction.toFixed(3)}</b> },
                { head: "Label", right: true, cell: (one) => (one.label === null ? <span className="text-muted">–</span> : one.label) },
                {
                  head: "Request",
                  wide: true,
                  cell: (one) => (
                    <span className="line-clamp-1 text-muted">
                      {Object.values({ ...one.request, ...one.inputs })
                        .filter((part) => !isMoment(part))
                        .map(value)
                        .join(" · ")}
                    </span>
                  ),
                },
                {
                  head: "Features",
                  cell: (one) => (
                    <button
                      type="button"
                      className="link"
                      aria-expanded={one.id === prediction}
                      onClick={() => change({ prediction: one.id === prediction ? undefined : one.id })}
                    >
                      {one.id === prediction ? "hide" : `show ${Object.keys(one.features).length}`}
                    </button>
                  ),
                },
              ]}
            />
            {open !== undefined && (
              <div className="border-t border-line pt-3">
                <h3 className="pb-1 font-semibold">Features of {open.id}</h3>
                <FeatureValues of={open.features} />
              </div>
            )}
          </>
        );
      }}
    </Read>
  );
}

export const FeatureValues = ({ of }: { of: Record<string, unknown> }) => (
  <dl className="grid grid-cols-[repeat(3,max-content_minmax(0,1fr))] gap-x-4 gap-y-0.5">
    {Object.entries(of).map(([name, one]) => (
      <Fragment key={name}>
        <dt className="text-muted">{name}</dt>
        <dd className="font-mono text-[12px]">{one === null ? "null" : value(one)}</dd>
      </Fragment>
    ))}
  </dl>
);

const isMoment = (part: unknown): boolean => typeof part === "string" && /^\d{4}-\d\d-\d\dT/.test(part);

/** How the last predictions spread over 0 to 1, and how many of each bin turned out positive. */
function Scores({ of }: { of: Prediction[] }) {
  const bins = Array.from({ length: 20 }, (_, i) => ({ at: (i + 0.5) / 20, rows: 0, labelled: 0, positive: 0 }));
  for (const one of of) {
    const bin = one.prediction === null ? undefined : bins[Math.min(19, Math.floor(one.prediction * 20))];
    if (bin === undefined) continue;
    bin.rows++;
    if (one.label !== null) {
      bin.labelled++;
      bin.positive += one.label;
    }
  }
  const x = bins.map((bin) => bin.at);
  return (
    <div className="pt-2">
      <Facts of={[["of", `the last ${count(of.length)} predictions, ${count(of.filter((one) => one.label !== null).length)} of them labelled`]]} />
      <Chart label="Predictions by score" along="score" x={x} height={220} series={[{ name: "predictions", values: bins.map((bin) => bin.rows) }]} />
      {of.some((one) => one.label !== null) && (
        <Chart
          label="Observed share by score"
          along="score"
          x={x}
          height={220}
          range={[0, 1]}
          series={[
            { name: "observed share of positives", values: bins.map((bin) => (bin.labelled < 3 ? null : bin.positive / bin.labelled)), points: true },
            { name: "ideal", values: x, dashed: true },
          ]}
        />
      )}
    </div>
  );
}
