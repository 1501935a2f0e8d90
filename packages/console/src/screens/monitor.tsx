import type { Monitor as MonitorBody, MonitorCheck, Performance } from "@millrace/sdk/api";
import { Link, useParams } from "@tanstack/react-router";
import { type Listed, useApi, useClock } from "../api";
import { Chart, seconds } from "../chart";
import { count, day, number, share, words } from "../format";
import { Badge, Choose, Empty, Figure, Page, Panel, Read, State, Table, Tabs, Time } from "../ui";
import { useUrl } from "../url";
import { monitorState } from "./monitors";

const ranges: Record<string, number> = { "7_days": 7, "30_days": 30, "90_days": 90 };

export function Monitor() {
  const { name = "" } = useParams({ strict: false });
  const [{ range, tab }] = useUrl();
  const { now } = useClock();
  const monitor = useApi<MonitorBody>(`/monitors/${name}`);
  const days = ranges[range ?? ""];
  // Whole days, so that the address asked for does not change with every second.
  const from = days === undefined ? "" : `from=${day(now - days * 86_400_000)}T00:00:00Z`;
  const checks = useApi<Listed<MonitorCheck>>(`/monitors/${name}/checks${from === "" ? "?limit=1000" : `?${from}&limit=1000`}`);
  return (
    <Page
      title={name}
      about={
        monitor.data === undefined ? (
          "monitor"
        ) : (
          <>
            watches{" "}
            <Link className="link" to="/endpoints/$name" params={{ name: monitor.data.endpoint }}>
              {monitor.data.endpoint}
            </Link>{" "}
            every {monitor.data.every} <State state={monitorState(monitor.data)} />
          </>
        )
      }
      actions={<Choose label="Range" param="range" of={Object.keys(ranges)} all="all time" />}
    >
      <Read query={monitor}>
        {({ last, checks: all }) => <Figures last={last} labelled={checks.data?.items.findLast((check) => check.metrics.auc != null) ?? last} checks={all} />}
      </Read>
      <Tabs
        param="tab"
        of={[
          ["drift", "Drift and performance"],
          ["months", "Performance by month"],
          ["checks", "Checks"],
        ]}
      />
      {tab === "months" ? (
        <Months monitor={name} from={from} />
      ) : (
        <Read query={checks}>
          {(data) => {
            const items = data.items.toSorted((a, b) => a.at.localeCompare(b.at));
            if (items.length === 0)
              return (
                <Panel>
                  <Empty>No check in this range. A check is made every {monitor.data?.every} once predictions are there.</Empty>
                </Panel>
              );
            return tab === "checks" ? <Checks of={items} /> : <Drift of={items} />;
          }}
        </Read>
      )}
    </Page>
  );
}

const Figures = ({ last, labelled, checks }: { last: MonitorCheck | null; labelled: MonitorCheck | null; checks: number }) => (
  <div className="grid grid-cols-5 gap-3">
    <Figure name="Drift" value={share(last?.driftShare, 0)} note="of features over the threshold" {...(last?.drifted ? { tone: "warn" as const } : {})} />
    <Figure name="PSI of predictions" value={number(last?.predictionPsi, 3)} note="against the training rows" />
    <Figure
      name="AUC"
      value={number(labelled?.metrics.auc)}
      note={labelled === null ? "no check yet" : `${count(labelled.labelled)} labels, to ${day(labelled.to)}`}
    />
    <Figure name="Calibration error" value={number(labelled?.metrics.calibration_error)} note={`log loss ${number(labelled?.metrics.log_loss)}`} />
    <Figure name="Checks" value={count(checks)} note={last?.version == null ? "" : `version ${last.version} answered`} />
  </div>
);

function Drift({ of }: { of: MonitorCheck[] }) {
  const x = of.map((check) => seconds(check.at));
  const metric = (name: string) => of.map((check) => check.metrics[name] ?? null);
  const names = [...new Set(of.flatMap((check) => Object.keys(check.metrics)))].filter((name) => of.some((check) => check.metrics[name] != null));
  const alerts = of.filter((check) => check.alert !== null).reverse();
  return (
    <div className="grid grid-cols-2 items-start gap-3">
      <div className="space-y-3">
        <Panel title="Features that drifted">
          <Chart
            label="Share of features that drifted"
            time
            x={x}
            range="from zero"
            series={[
              { name: "share of features", values: of.map((check) => check.driftShare) },
              { name: "PSI of predictions", values: of.map((check) => check.predictionPsi), dashed: true },
            ]}
            height={160}
            plain
          />
        </Panel>
        <Heat of={of} />
      </div>
      <div className="space-y-3">
        <Panel title="AUC as labels came">
          <Chart label="AUC over time" time x={x} series={[{ name: "AUC", values: metric("auc") }]} height={160} plain />
        </Panel>
        <div className="grid grid-cols-2 gap-3">
          {names
            .filter((name) => name !== "auc" && name !== "mean_prediction")
            .slice(0, 4)
            .map((name) => (
              <Panel key={name} title={words(name)}>
                <Chart label={`${words(name)} over time`} time x={x} series={[{ name: words(name), values: metric(name) }]} height={130} plain />
              </Panel>
            ))}
        </div>
        <Panel title={`Alerts (${alerts.length})`}>
          {alerts.length === 0 ? (
            <Empty>No alert in this range.</Empty>
          ) : (
            <ul className="max-h-56 space-y-1 overflow-auto">
              {alerts.map((check) => (
                <li key={check.at} className="flex gap-2">
                  <span className="w-20 shrink-0 text-muted">
                    <Time at={check.at} />
                  </span>
                  <span>{check.alert}</span>
                </li>
              ))}
            </ul>
          )}
        </Panel>
      </div>
    </div>
  );
}

/** Up to 0.1 is calm, from 0.25 on the field speaks of a large shift, and single features go far beyond: on a logarithmic scale to 4. */
const heat = (psi: number): string =>
  `color-mix(in srgb, var(--bad) ${Math.round(Math.min(1, Math.log1p(Math.max(0, psi) / 0.1) / Math.log1p(40)) * 100)}%, var(--sunken))`;

/** A strip of PSI over time for each feature, the most drifted first. */
function Heat({ of }: { of: MonitorCheck[] }) {
  const shown = of.slice(-90);
  const psi = new Map<string, (number | undefined)[]>();
  shown.forEach((check, i) => {
    for (const one of check.features) {
      const strip = psi.get(one.feature) ?? [];
      strip[i] = one.psi;
      psi.set(one.feature, strip);
    }
  });
  const last = shown.at(-1);
  const drifted = new Set(last?.features.flatMap((one) => (one.drifted ? [one.feature] : [])));
  const rows = [...psi.entries()].sort(([, a], [, b]) => (b.at(-1) ?? 0) - (a.at(-1) ?? 0));
  return (
    <Panel
      title="PSI of each feature"
      actions={<span className="text-muted">{last === undefined ? "" : `${day(shown[0]?.at ?? last.at)} to ${day(last.at)}; darker is more`}</span>}
    >
      <table className="w-full border-separate border-spacing-y-0.5">
        <caption className="sr-only">Population stability index of each feature against the training rows, check by check</caption>
        <tbody>
          {rows.map(([feature, strip]) => {
            const now = strip[shown.length - 1];
            return (
              <tr key={feature}>
                <th scope="row" className="w-px whitespace-nowrap pr-2 text-left font-normal">
                  {feature}
                </th>
                <td>
                  <div className="flex h-4 overflow-hidden rounded-sm" aria-hidden>
                    {shown.map((check, i) => (
                      <span
                        key={check.at}
                        className="h-full grow"
                        style={{ background: strip[i] === undefined ? "transparent" : heat(strip[i]) }}
                        title={`${feature}, ${day(check.at)}: PSI ${number(strip[i], 3)}`}
                      />
                    ))}
                  </div>
                </td>
                <td className="w-px whitespace-nowrap pl-2 text-right">{number(now, 3)}</td>
                <td className="w-px pl-2">{drifted.has(feature) ? <Badge tone="warn">drift</Badge> : <Badge>calm</Badge>}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Panel>
  );
}

const Checks = ({ of }: { of: MonitorCheck[] }) => (
  <Panel flush>
    <Table
      label="Checks"
      rows={of.toReversed()}
      id={(check) => check.at}
      height={640}
      columns={[
        { head: "At", cell: (check) => <Time at={check.at} /> },
        { head: "Window", cell: (check) => `${day(check.from)} to ${day(check.to)}` },
        { head: "Version", cell: (check) => check.version ?? "–" },
        { head: "Rows", right: true, cell: (check) => count(check.rows) },
        { head: "Labels", right: true, cell: (check) => count(check.labelled) },
        { head: "Drift", right: true, cell: (check) => share(check.driftShare, 0) },
        { head: "PSI of predictions", right: true, cell: (check) => number(check.predictionPsi, 3) },
        { head: "AUC", right: true, cell: (check) => number(check.metrics.auc) },
        { head: "Log loss", right: true, cell: (check) => number(check.metrics.log_loss) },
        { head: "Alert", wide: true, cell: (check) => <span className="line-clamp-1">{check.alert ?? ""}</span> },
      ]}
    />
  </Panel>
);

function Months({ monitor, from }: { monitor: string; from: string }) {
  const performance = useApi<Performance[]>(`/monitors/${monitor}/performance?by=month${from === "" ? "" : `&${from}`}`, 60_000);
  return (
    <Read query={performance}>
      {(rows) => (
        <Panel flush>
          <Table
            label="Performance by month"
            rows={rows}
            id={(one) => `${one.period} ${one.version}`}
            empty="No labelled prediction in this range."
            columns={[
              { head: "Month", cell: (one) => one.period },
              { head: "Version", wide: true, cell: (one) => (one.version === null ? "what answered" : `version ${one.version}`) },
              { head: "Labels", right: true, cell: (one) => count(one.metrics.rows) },
              { head: "Positive", right: true, cell: (one) => share(one.metrics.positives / Math.max(1, one.metrics.rows)) },
              { head: "AUC", right: true, cell: (one) => number(one.metrics.auc) },
              { head: "Log loss", right: true, cell: (one) => number(one.metrics.log_loss) },
              { head: "Brier", right: true, cell: (one) => number(one.metrics.brier) },
              { head: "Calibration error", right: true, cell: (one) => number(one.metrics.calibration_error) },
            ]}
          />
        </Panel>
      )}
    </Read>
  );
}
