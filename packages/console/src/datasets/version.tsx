/** What a dataset's page says beside validation: where a version came from, its partitions, what it changed, and who reads it. */
import type { Dataset, DatasetDiff, DatasetPartition, DatasetVersion, DatasetVersionDetail } from "@millrace/sdk/api";
import { useApi } from "../api";
import { bytes, count, day, example, number, value } from "../format";
import { Empty, Facts, Panel, Read, Table } from "../ui";

export function originOf({ origin }: DatasetVersionDetail): string {
  if (origin === null) return "–";
  const words = { file: "a file", watch: "what is watched", s3: "S3", postgres: "PostgreSQL", push: "pushed rows", run: "a run" }[origin.kind];
  const by = origin.by === null ? "" : `, by ${origin.by}`;
  const run = origin.run === null ? "" : ` ${origin.run}, step ${origin.step}`;
  return `${words}${origin.of === null ? "" : ` (${origin.of})`}${run}${by}`;
}

/** Who reads a dataset and who writes it. */
export function Use({ of }: { of: Dataset | undefined }) {
  if (of === undefined) return null;
  const readers = of.readers.map((one) => `${one.kind === "pipeline" ? "pipeline" : "feature view"} ${one.name}`);
  const { partition } = of;
  return (
    <Panel>
      <Facts
        of={[
          ["read by", readers.join(", ") || "nobody"],
          ["written by", [...of.writers.map((name) => `pipeline ${name}`), ...(of.watch === null ? [] : ["what is watched"])].join(", ") || "arrivals"],
          ["key", of.key.join(", ") || "–"],
          ["partitions", partition === null ? "–" : partition.by === "time" ? `each ${partition.each}` : partition.columns.join(", ")],
          ["waiting", of.pendingRows === 0 ? "–" : `${count(of.pendingRows)} pushed rows`],
        ]}
      />
    </Panel>
  );
}

export function Partitions({ of }: { of: DatasetVersionDetail }) {
  const found = useApi<{ items: DatasetPartition[] }>(`/datasets/${of.dataset}/versions/${of.version}/partitions`, 60_000);
  return (
    <Read query={found}>
      {({ items }) => (
        <Table
          label="Partitions"
          rows={items}
          id={(one) => one.key}
          height={560}
          empty="This dataset has no partitions."
          columns={[
            { head: "Partition", wide: true, cell: (one) => one.key },
            { head: "Rows", right: true, cell: (one) => count(one.rows) },
            { head: "Size", right: true, cell: (one) => bytes(one.bytes) },
            { head: "From", cell: (one) => (one.from === null ? "–" : day(one.from)) },
            { head: "To", cell: (one) => (one.to === null ? "–" : day(one.to)) },
          ]}
        />
      )}
    </Read>
  );
}

/** Against the accepted version before: numbers between are of what was refused. */
export function Changes({ of }: { of: DatasetVersionDetail }) {
  const accepted = useApi<{ items: DatasetVersion[] }>(`/datasets/${of.dataset}/versions?status=accepted&limit=1&after=${of.version}`, 60_000);
  return <Read query={accepted}>{({ items: [before] }) => <ChangesSince of={of} before={before?.version} />}</Read>;
}

function ChangesSince({ of, before }: { of: DatasetVersionDetail; before: number | undefined }) {
  const path = before === undefined ? undefined : `/datasets/${of.dataset}/diff?from=${before}&to=${of.version}`;
  const diff = useApi<DatasetDiff>(path, 60_000);
  if (path === undefined) return <Empty>No accepted version came before this one.</Empty>;
  return (
    <Read query={diff}>
      {({ rows, columns, examples, statistics }) => (
        <>
          <Facts
            of={[
              [
                `rows since version ${before}`,
                `${count(rows.added)} added, ${count(rows.removed)} removed${rows.changed === null ? "" : `, ${count(rows.changed)} changed`}`,
              ],
              ["columns added", columns.added.map((one) => one.name).join(", ") || "–"],
              ["columns removed", columns.removed.map((one) => one.name).join(", ") || "–"],
              ["columns retyped", columns.retyped.map((one) => `${one.name}: ${one.from} to ${one.to}`).join(", ") || "–"],
              ["a changed row", examples.changed[0] === undefined ? "–" : `${example(examples.changed[0].from)} → ${example(examples.changed[0].to)}`],
            ]}
          />
          <Table
            label="Statistics of both versions"
            rows={statistics}
            id={(one) => one.name}
            height={420}
            columns={[
              { head: "Column", wide: true, cell: (one) => one.name },
              { head: "Nulls", right: true, cell: (one) => `${count(one.from?.nulls ?? 0)} → ${count(one.to?.nulls ?? 0)}` },
              { head: "Mean", right: true, cell: (one) => `${number(one.from?.mean)} → ${number(one.to?.mean)}` },
              { head: "Min", right: true, cell: (one) => `${value(one.from?.min).slice(0, 10)} → ${value(one.to?.min).slice(0, 10)}` },
              { head: "Max", right: true, cell: (one) => `${value(one.from?.max).slice(0, 10)} → ${value(one.to?.max).slice(0, 10)}` },
            ]}
          />
        </>
      )}
    </Read>
  );
}
