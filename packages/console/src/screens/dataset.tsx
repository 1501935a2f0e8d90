import type { Dataset as DatasetBody, DatasetVersion, DatasetVersionDetail } from "@millrace/sdk/api";
import { Link, useParams } from "@tanstack/react-router";
import { useApi, useList } from "../api";
import { Changes, originOf, Partitions, Use } from "../datasets/version";
import { bytes, count, day } from "../format";
import { Choose, Empty, Facts, Failure, Loading, Page, Panel, Read, State, Table, Tabs, Time } from "../ui";
import { useUrl } from "../url";
import { Decision } from "../validation/decision";
import { Anomalies, Checks, Comparison, Statistics } from "../validation/report";

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
          <div className="space-y-3">
            <Use of={dataset.data} />
            <Read query={detail}>{(version) => <Version of={version} />}</Read>
          </div>
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
          ["from", originOf(of)],
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
      <Decision of={of} />
      <div className="mt-3">
        <Tabs
          param="tab"
          of={[
            ["report", `Anomalies (${report?.anomalies.length ?? 0})`],
            ["checks", `Checks (${report?.checks?.length ?? 0})`],
            ["statistics", "Statistics"],
            ["compared", "Against before"],
            ["parts", `Files (${of.parts.length})`],
            ["partitions", "Partitions"],
            ["diff", "Changes"],
          ]}
        />
      </div>
      {tab === "partitions" ? (
        <Partitions of={of} />
      ) : tab === "diff" ? (
        <Changes of={of} />
      ) : tab === "parts" ? (
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
      ) : tab === "compared" ? (
        <Comparison of={report} />
      ) : tab === "checks" ? (
        <Checks of={report} />
      ) : (
        <Anomalies of={report} />
      )}
    </Panel>
  );
}
