import type { Anomaly, ColumnStatistics, Dataset as DatasetBody, DatasetVersion, DatasetVersionDetail } from "@millrace/sdk/api";
import { Link, useParams } from "@tanstack/react-router";
import { useApi, useList } from "../api";
import { bytes, count, day, example, number, share, value, words } from "../format";
import { Badge, Choose, Empty, Facts, Failure, Loading, Page, Panel, Read, State, Table, Tabs, Time } from "../ui";
import { useUrl } from "../url";

export function Dataset() {
  const { name = "" } = useParams({ strict: false });
  const [search] = useUrl();
  const dataset = useApi<DatasetBody>(`/datasets/${name}`);
  const versions = useList<DatasetVersion>(`/datasets/${name}/versions?limit=200${search.status === undefined ? "" : `&status=${search.status}`}`);
  const chosen = search.version ?? versions.rows[0]?.version.toString();
  const detail = useApi<DatasetVersionDetail>(chosen === undefined ? undefined : `/datasets/${name}/versions/${chosen}`, 60_000);
  return (
    <Page
      title={name}
      about={dataset.data?.description ?? "dataset"}
      actions={<Choose label="Versions" param="status" of={["accepted", "quarantined"]} all="all" />}
    >
      <div className="grid grid-cols-[25.5rem_minmax(0,1fr)] items-start gap-3">
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
              height={720}
              more={versions.hasNextPage && !versions.isFetchingNextPage ? () => void versions.fetchNextPage() : undefined}
              empty={search.status === "quarantined" ? "Nothing is in quarantine." : "No version yet: no file has arrived."}
              columns={[
                {
                  head: "Version",
                  wide: true,
                  cell: (one) => (
                    <Link
                      className="link line-clamp-1 font-medium"
                      to="."
                      search={(old) => ({ ...old, version: String(one.version) })}
                      replace
                      title={one.added.file}
                    >
                      {one.version} <span className="font-normal text-muted">{one.added.file}</span>
                    </Link>
                  ),
                },
                { head: "State", cell: (one) => <State state={one.status} /> },
                { head: "Rows", right: true, cell: (one) => <span title={`${count(one.added.rows)} added`}>{count(one.rows)}</span> },
              ]}
            />
          )}
        </Panel>
        {chosen === undefined ? (
          <Panel>
            <Empty>No version to show.</Empty>
          </Panel>
        ) : (
          <Read query={detail}>{(version) => <Version of={version} />}</Read>
        )}
      </div>
    </Page>
  );
}

function Version({ of }: { of: DatasetVersionDetail }) {
  const [{ tab }] = useUrl();
  const { report } = of;
  return (
    <Panel
      title={
        <span className="flex items-center gap-2">
          Version {of.version} <State state={of.status} />
        </span>
      }
      actions={<Time at={of.createdAt} />}
    >
      <Facts
        of={[
          ["file", of.added.file],
          ["rows", `${count(of.rows)} (${count(of.added.rows)} in this file)`],
          ["size", bytes(of.bytes)],
          ["covers", of.added.from === null || of.added.to === null ? "–" : `${day(of.added.from)} to ${day(of.added.to)}`],
          [
            "digest",
            <code key="digest" className="text-[12px]">
              {of.digest}
            </code>,
          ],
        ]}
      />
      <div className="mt-3">
        <Tabs
          param="tab"
          of={[
            ["report", `Anomalies (${report?.anomalies.length ?? 0})`],
            ["statistics", "Statistics"],
            ["parts", `Files (${of.parts.length})`],
          ]}
        />
      </div>
      {tab === "parts" ? (
        <Table
          label="Files"
          rows={of.parts}
          id={(part) => part.digest}
          columns={[
            { head: "File", wide: true, cell: (part) => part.file },
            { head: "Rows", right: true, cell: (part) => count(part.rows) },
            { head: "Size", right: true, cell: (part) => bytes(part.bytes) },
            { head: "From", cell: (part) => (part.from === null ? "–" : day(part.from)) },
            { head: "To", cell: (part) => (part.to === null ? "–" : day(part.to)) },
          ]}
        />
      ) : report === null ? (
        <Empty>This dataset has no schema: its files are not checked.</Empty>
      ) : tab === "statistics" ? (
        <Statistics of={report.statistics} />
      ) : report.anomalies.length === 0 ? (
        <Empty>Nothing is wrong with this file: it passes the schema {report.schema}.</Empty>
      ) : (
        <ul className="space-y-2 pt-3">
          {report.anomalies.map((anomaly) => (
            <AnomalyView key={`${anomaly.kind} ${anomaly.column} ${anomaly.message}`} of={anomaly} />
          ))}
        </ul>
      )}
    </Panel>
  );
}

const AnomalyView = ({ of }: { of: Anomaly }) => (
  <li className="rounded-md border border-line p-2.5">
    <div className="flex items-center gap-2">
      <Badge tone={of.severity === "block" ? "bad" : "warn"}>{of.severity === "block" ? "blocks" : "warns"}</Badge>
      <b>{of.column ?? "table"}</b>
      <span className="text-muted">{words(of.kind)}</span>
      <span className="ml-auto text-muted">
        {of.count === null ? "" : `${count(of.count)} rows`} {of.share === null ? "" : `(${share(of.share, 2)})`}
      </span>
    </div>
    <p className="pt-1">{of.message}</p>
    {of.examples.length > 0 && (
      <p className="pt-1 text-muted">
        for example{" "}
        {of.examples.slice(0, 8).map((one) => (
          <code key={example(one)} className="mr-1.5 rounded bg-sunken px-1">
            {example(one)}
          </code>
        ))}
      </p>
    )}
    {of.rule !== null && <p className="pt-1 text-[12px] text-muted">rule at {of.rule}</p>}
  </li>
);

const Statistics = ({ of }: { of: ColumnStatistics[] }) => (
  <Table
    label="Statistics of columns"
    rows={of}
    id={(column) => column.name}
    height={560}
    columns={[
      {
        head: "Column",
        cell: (column) => (
          <>
            <b className="font-medium">{column.name}</b> <span className="text-[12px] text-muted">{column.type}</span>
          </>
        ),
      },
      { head: "Distribution", wide: true, cell: (column) => <Shape of={column} /> },
      {
        head: "Nulls",
        right: true,
        cell: (column) => <span className={column.nulls > 0 ? "" : "text-muted"}>{share(column.nulls / Math.max(1, column.count + column.nulls))}</span>,
      },
      { head: "Distinct", right: true, cell: (column) => count(column.distinct) },
      { head: "Min", right: true, cell: (column) => <Short of={column.min} /> },
      { head: "Median", right: true, cell: (column) => number(column.quantiles?.[3]) },
      { head: "Mean", right: true, cell: (column) => number(column.mean) },
      { head: "Max", right: true, cell: (column) => <Short of={column.max} /> },
    ]}
  />
);
const Short = ({ of }: { of: unknown }) => <span title={value(of)}>{value(of).slice(0, 10)}</span>;

/** A histogram, or the most frequent values, in the height of a row. */
function Shape({ of }: { of: ColumnStatistics }) {
  const counts = of.histogram?.counts ?? [];
  if (counts.length > 1) {
    const most = Math.max(1, ...counts);
    const told = `histogram of ${counts.length} bins from ${value(of.min)} to ${value(of.max)}`;
    return (
      <svg viewBox={`0 0 ${counts.length} 20`} preserveAspectRatio="none" role="img" aria-label={told} className="h-5 w-32 text-accent">
        {counts.map((one, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a bin is its place
          <rect key={i} x={i + 0.06} width={0.88} y={20 - (19 * one) / most} height={(19 * one) / most} fill="currentColor" opacity={0.75} />
        ))}
      </svg>
    );
  }
  if (of.top === undefined || of.top.length === 0) return null;
  return (
    <span className="line-clamp-1 max-w-56 text-[12px] text-muted">
      {of.top
        .slice(0, 6)
        .map((one) => `${value(one.value)} ${share(one.count / Math.max(1, of.count), 0)}`)
        .join(" · ")}
    </span>
  );
}
