import type { Endpoint, Environment, EvaluationReport, Metrics, ModelVersion, ModelVersionDetail, Signature } from "@millrace/sdk/api";
import { Link, useParams } from "@tanstack/react-router";
import { type Listed, useApi, useList } from "../api";
import { Chart, seconds } from "../chart";
import { Promote } from "../delivery/actions";
import { bytes, count, duration, number, share, words } from "../format";
import { Badge, Choose, Empty, Facts, Failure, Loading, Page, Panel, Read, Table, Time } from "../ui";
import { useUrl } from "../url";

/** Beside a version in the list; it says all of them itself. */
const mostAliases = 2;

export function Model() {
  const { name = "" } = useParams({ strict: false });
  const [search] = useUrl();
  const versions = useList<ModelVersion>(`/models/${name}/versions?limit=200`);
  const champion = versions.rows.find((one) => one.aliases.includes("champion")) ?? versions.rows[0];
  const chosen = search.version ?? champion?.version.toString();
  const detail = useApi<ModelVersionDetail>(chosen === undefined ? undefined : `/models/${name}/versions/${chosen}`, 60_000);
  const measured = versions.rows.toReversed();
  return (
    <Page title={name} about="model">
      <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 xl:grid-cols-[25rem_minmax(0,1fr)]">
        <div className="space-y-3">
          <Panel title="Versions" flush>
            {versions.isError ? (
              <Failure message={versions.error.message} again={() => void versions.refetch()} />
            ) : versions.isPending ? (
              <Loading />
            ) : (
              <Table
                label="Versions"
                rows={versions.rows}
                id={(one) => String(one.version)}
                selected={chosen}
                columns={[
                  {
                    head: "Version",
                    wide: true,
                    cell: (one) => (
                      <span className="flex items-center gap-1.5">
                        <Link className="link font-medium" to="." search={(old) => ({ ...old, version: String(one.version) })} replace>
                          {one.version}
                        </Link>
                        {one.aliases.slice(0, mostAliases).map((alias) => (
                          <Badge key={alias} tone={alias === "champion" ? "ok" : "info"}>
                            <span className="max-w-24 truncate">{alias}</span>
                          </Badge>
                        ))}
                        {one.aliases.length > mostAliases && (
                          <Badge title={one.aliases.slice(mostAliases).join(", ")}>+{one.aliases.length - mostAliases}</Badge>
                        )}
                      </span>
                    ),
                  },
                  { head: "AUC", right: true, cell: (one) => number(one.metrics.auc) },
                  { head: "Created", cell: (one) => <Time at={one.createdAt} /> },
                ]}
              />
            )}
          </Panel>
          {measured.length > 1 && (
            <Panel title="AUC of versions">
              <Chart
                label="AUC of versions over time"
                time
                x={measured.map((one) => seconds(one.createdAt))}
                series={[{ name: "AUC at evaluation", values: measured.map((one) => one.metrics.auc ?? null) }]}
                height={190}
              />
            </Panel>
          )}
        </div>
        {chosen === undefined ? (
          !versions.isPending && (
            <Panel>
              <Empty>No version is registered yet.</Empty>
            </Panel>
          )
        ) : (
          <Read query={detail}>{(version) => <Version of={version} />}</Read>
        )}
      </div>
    </Page>
  );
}

function Version({ of }: { of: ModelVersionDetail }) {
  const signatures = useApi<Listed<Signature>>(`/models/${encodeURIComponent(of.model)}/versions/${of.version}/signatures`, 60_000);
  return (
    <div className="space-y-3">
      <Panel
        title={
          <span className="flex items-center gap-2">
            Version {of.version}{" "}
            {of.aliases.map((alias) => (
              <Badge key={alias} tone={alias === "champion" ? "ok" : "info"}>
                {alias}
              </Badge>
            ))}
          </span>
        }
        actions={
          <span className="flex items-center gap-3">
            <a
              className="link"
              href={`/api/v1/models/${encodeURIComponent(of.model)}/versions/${of.version}/card?format=html`}
              target="_blank"
              rel="noreferrer"
            >
              model card
            </a>
            <PromoteVersion of={of} />
            <Time at={of.createdAt} />
          </span>
        }
      >
        <div className="grid grid-cols-[minmax(0,1fr)] gap-4 md:grid-cols-[minmax(0,2fr)_minmax(0,3fr)]">
          <Facts
            of={[
              [
                "made by",
                of.runId === null ? (
                  "–"
                ) : (
                  <Link key="run" className="link" to="/runs/$id" params={{ id: of.runId }}>
                    run {of.runId.slice(-8)}
                  </Link>
                ),
              ],
              ["feature service", of.service ?? "–"],
              ["files", of.files.map((file) => `${file.path} ${bytes(file.size)}`).join(", ")],
              [
                "digest",
                <code key="digest" title={of.digest} className="text-[12px]">
                  {of.digest.slice(0, 19)}…
                </code>,
              ],
              ["signed by", <Signers key="signed" of={signatures.data?.items ?? []} />],
            ]}
          />
          <ul className="space-y-1" aria-label="Gates">
            {of.gates.map((gate) => (
              <li key={gate.gate} className="flex items-start gap-2">
                <Badge tone={gate.passed ? "ok" : gate.severity === "block" ? "bad" : "warn"}>
                  {gate.passed ? "passed" : gate.severity === "block" ? "refused" : "warned"}
                </Badge>
                <span>
                  <b className="font-medium">{gate.gate}</b> <span className="text-muted">{gate.message}</span>
                </span>
              </li>
            ))}
          </ul>
        </div>
      </Panel>
      {of.report === null ? (
        <Panel>
          <Empty>This version was registered without an evaluation report.</Empty>
        </Panel>
      ) : (
        <>
          <Panel title="Evaluation">
            <Report of={of.report} />
          </Panel>
          <Panel
            title={`Slices (${of.report.slices.length})`}
            actions={<Choose label="Column" param="slice" of={[...new Set(of.report.slices.map((one) => one.column))]} all="all" />}
            flush
          >
            <Slices of={of.report} />
          </Panel>
        </>
      )}
    </div>
  );
}

const Signers = ({ of }: { of: Signature[] }) =>
  of.length === 0 ? (
    <span className="text-muted">nobody</span>
  ) : (
    <span className="flex flex-wrap gap-x-2">
      {of.map((one) => (
        <code key={one.key} className="break-all text-[12px]" title={`by ${one.addedBy}`}>
          {one.key}
        </code>
      ))}
    </span>
  );

/** Along the environments of the projects that have an endpoint of the model. */
function PromoteVersion({ of: { model, version } }: { of: ModelVersionDetail }) {
  const endpoints = useApi<Listed<Endpoint>>("/endpoints");
  const environments = useApi<Listed<Environment>>("/environments");
  const projects = new Set(endpoints.data?.items.filter((one) => one.model === model).map((one) => one.project));
  const held = (one: Environment) => one.holds.some((holding) => holding.model === model && holding.version === version);
  const to = environments.data?.items.filter((one) => projects.has(one.project) && !held(one)) ?? [];
  return <Promote what={{ kind: "model", release: null, model, version }} to={to} />;
}

const metricNames = ["auc", "log_loss", "brier", "calibration_error", "mean_prediction"] as const;
function Report({ of }: { of: EvaluationReport }) {
  const { candidate, champion } = of;
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-4 md:grid-cols-[minmax(0,5fr)_minmax(0,4fr)]">
      <div>
        <Table
          label="Metrics of candidate and champion"
          rows={[...metricNames]}
          id={(metric) => metric}
          columns={[
            { head: "Metric", wide: true, cell: (metric) => <span className="whitespace-nowrap">{words(metric)}</span> },
            { head: "This version", right: true, cell: (metric) => number(candidate[metric]) },
            {
              head: of.championVersion === null ? "Champion then" : `Against ${of.championVersion.replace("/", " ")}`,
              right: true,
              cell: (metric) => number(champion?.[metric]),
            },
            { head: "Difference", right: true, cell: (metric) => <Difference metric={metric} candidate={candidate} champion={champion} /> },
          ]}
        />
        <div className="p-3">
          <Facts
            of={[
              ["test rows", `${count(candidate.rows)}, ${share(candidate.positives / Math.max(1, candidate.rows))} positive`],
              ["one row takes", `${duration(of.latency.p50Ms)} p50, ${duration(of.latency.p99Ms)} p99`],
              ["exported against trained", of.parity === null ? "–" : `differs by at most ${number(of.parity.maxDifference)} on ${count(of.parity.rows)} rows`],
            ]}
          />
        </div>
      </div>
      <Calibration bins={of.calibration} />
    </div>
  );
}

export const Calibration = ({ bins }: { bins: EvaluationReport["calibration"] }) => {
  const used = bins.filter((bin) => bin.rows > 0).sort((a, b) => a.predicted - b.predicted);
  const x = [0, ...used.map((bin) => bin.predicted), 1];
  return (
    <div>
      <h3 className="pb-1 font-semibold">
        Calibration <span className="font-normal text-muted">observed by predicted share</span>
      </h3>
      <Chart
        label="Calibration: observed share by mean prediction"
        x={x}
        height={250}
        range={[0, 1]}
        along="predicted"
        series={[
          { name: "observed", values: [null, ...used.map((bin) => bin.observed), null], points: false },
          { name: "ideal", values: x, dashed: true },
        ]}
      />
    </div>
  );
};

function Difference({ metric, candidate, champion }: { metric: keyof Metrics; candidate: Metrics; champion: Metrics | null }) {
  const [a, b] = [candidate[metric], champion?.[metric]];
  if (a == null || b == null) return <span className="text-muted">–</span>;
  const better = metric === "auc" ? a - b : b - a;
  const tone = metric === "mean_prediction" || Math.abs(better) < 0.0005 ? "text-muted" : better > 0 ? "text-ok" : "text-bad";
  return <span className={tone}>{`${a >= b ? "+" : "−"}${number(Math.abs(a - b))}`}</span>;
}

function Slices({ of }: { of: EvaluationReport }) {
  const [{ slice }] = useUrl();
  const rows = of.slices.filter((one) => slice === undefined || one.column === slice).sort((a, b) => b.candidate.rows - a.candidate.rows);
  return (
    <Table
      label="Slices"
      rows={rows}
      id={(one) => `${one.column} ${one.value}`}
      height={430}
      columns={[
        {
          head: "Slice",
          wide: true,
          cell: (one) => (
            <>
              <span className="text-muted">{one.column}</span> <b className="font-medium">{one.value}</b>
            </>
          ),
        },
        { head: "Rows", right: true, cell: (one) => count(one.candidate.rows) },
        { head: "Positive", right: true, cell: (one) => share(one.candidate.positives / Math.max(1, one.candidate.rows)) },
        { head: "AUC", right: true, cell: (one) => number(one.candidate.auc) },
        { head: "Champion's", right: true, cell: (one) => number(one.champion?.auc) },
        { head: "Difference", right: true, cell: (one) => <Difference metric="auc" candidate={one.candidate} champion={one.champion} /> },
        { head: "Log loss", right: true, cell: (one) => number(one.candidate.log_loss) },
        { head: "Calibration error", right: true, cell: (one) => number(one.candidate.calibration_error) },
      ]}
    />
  );
}
