/** What validation found in a table: anomalies, checks, statistics, and its distributions beside the reference's. */
import type { Anomaly, ColumnComparison, ColumnStatistics, ValidationCheck, ValidationReport } from "@millrace/sdk/api";
import { count, example, number, share, value, words } from "../format";
import { Badge, Empty, Table } from "../ui";

export const Anomalies = ({ of }: { of: ValidationReport }) =>
  of.anomalies.length === 0 ? (
    <Empty>Nothing is wrong with these rows: they pass the schema {of.schema}.</Empty>
  ) : (
    <ul className="space-y-2 pt-3">
      {of.anomalies.map((anomaly) => (
        <AnomalyView key={`${anomaly.kind} ${anomaly.column} ${anomaly.message}`} of={anomaly} />
      ))}
    </ul>
  );

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

const stateOf = (check: ValidationCheck) =>
  check.skipped !== undefined ? (
    <Badge title={check.skipped}>skipped</Badge>
  ) : check.passed ? (
    <Badge tone="ok">holds</Badge>
  ) : (
    <Badge tone={check.severity === "block" ? "bad" : "warn"}>{check.severity === "block" ? "blocks" : "warns"}</Badge>
  );

/** Every rule, those that are broken first. */
export function Checks({ of }: { of: ValidationReport }) {
  const order = (check: ValidationCheck) => (check.skipped !== undefined ? 1 : check.passed ? 2 : 0);
  const checks = [...(of.checks ?? [])].sort((a, b) => order(a) - order(b));
  return (
    <Table
      label="Checks"
      rows={checks}
      id={(check) => `${check.kind} ${check.name}`}
      height={560}
      empty="This report is of before checks were kept one by one."
      columns={[
        { head: "Check", wide: true, cell: (check) => check.name },
        { head: "Kind", cell: (check) => <span className="text-muted">{words(check.kind)}</span> },
        { head: "", cell: stateOf },
        { head: "Rule at", cell: (check) => <span className="text-[12px] text-muted">{check.rule ?? "–"}</span> },
      ]}
    />
  );
}

/** The columns that moved most come first. */
export function Comparison({ of }: { of: ValidationReport }) {
  if (of.reference === undefined) return <Empty>There is nothing before that these rows could be compared with.</Empty>;
  const { name, rows, columns } = of.reference;
  const drifted = new Map(of.anomalies.flatMap((anomaly) => (anomaly.kind === "drift" ? [[anomaly.column, anomaly.severity]] : [])));
  const sorted = [...columns].sort((a, b) => Number(drifted.has(b.name)) - Number(drifted.has(a.name)) || (b.psi ?? 0) - (a.psi ?? 0));
  return (
    <div className="pt-2">
      <p className="pb-2 text-muted">
        <span aria-hidden className="mr-1 inline-block size-2.5 rounded-sm bg-accent" /> now, {count(of.rows)} rows
        <span aria-hidden className="ml-4 mr-1 inline-block size-2.5 rounded-sm bg-muted/60" /> {name}, {count(rows)} rows
      </p>
      <ul className="grid grid-cols-[repeat(auto-fill,minmax(19rem,1fr))] gap-2">
        {sorted.slice(0, mostShown).map((column) => (
          <li key={column.name} className="rounded-md border border-line p-2.5">
            <div className="flex items-center gap-2">
              <b className="truncate">{column.name}</b>
              {drifted.has(column.name) && <Badge tone={drifted.get(column.name) === "block" ? "bad" : "warn"}>moved</Badge>}
              <span
                className="ml-auto whitespace-nowrap text-[12px] text-muted"
                title="population stability index, Jensen-Shannon divergence, L-infinity distance"
              >
                PSI {number(column.psi, 3)} · JS {number(column.jensenShannon, 3)} · L∞ {number(column.lInfinity, 3)}
              </span>
            </div>
            <SideBySide of={column} time={of.statistics.find((one) => one.name === column.name)?.type} />
          </li>
        ))}
      </ul>
      {sorted.length > mostShown && <p className="pt-2 text-muted">and {count(sorted.length - mostShown)} columns more, which moved less</p>}
    </div>
  );
}
const mostShown = 100;

/** Shares of the rows in each bin, now and in the reference, in one picture. */
function SideBySide({ of, time }: { of: ColumnComparison; time: string | undefined }) {
  const shares = (counts: readonly number[]) => {
    const total = Math.max(
      1,
      counts.reduce((sum, one) => sum + one, 0),
    );
    return counts.map((one) => one / total);
  };
  // More values than fit would be threads: the most frequent are shown, and the rest as one.
  const cut = (counts: readonly number[]) =>
    of.values === undefined || counts.length <= mostBars
      ? counts
      : [...counts.slice(0, mostBars - 1), counts.slice(mostBars - 1).reduce((sum, one) => sum + one, 0)];
  const [now, reference] = [shares(cut(of.now)), shares(cut(of.reference))];
  const most = Math.max(1e-9, ...now, ...reference);
  const name = (bin: number): string => {
    if (of.values !== undefined) return bin === now.length - 1 ? "all others" : (of.values[bin] ?? "");
    const edge = (i: number) => {
      const at = of.edges?.[i];
      return at !== undefined && (time === "timestamp" || time === "date") ? new Date(at).toISOString().slice(0, 10) : number(at, 4);
    };
    return `${edge(bin)} to ${edge(bin + 1)}`;
  };
  const told = `${of.name}: ${now.length} bins now beside the reference; the largest change is ${number(of.lInfinity, 3)} of the rows`;
  return (
    <>
      <svg viewBox={`0 0 ${now.length} 40`} preserveAspectRatio="none" role="img" aria-label={told} className="mt-1.5 h-20 w-full">
        {now.map((one, bin) => {
          const before = reference[bin] ?? 0;
          return (
            <g key={name(bin)}>
              <title>{`${name(bin)}: ${share(one)} now, ${share(before)} before`}</title>
              <rect x={bin} width={1} y={0} height={40} fill="transparent" />
              <rect x={bin + 0.08} width={0.42} y={40 - (39 * one) / most} height={(39 * one) / most} className="fill-accent" />
              <rect x={bin + 0.5} width={0.42} y={40 - (39 * before) / most} height={(39 * before) / most} className="fill-muted/60" />
            </g>
          );
        })}
      </svg>
      <div className="flex justify-between gap-2 text-[11px] text-muted">
        <span className="truncate">{of.values === undefined ? name(0).split(" to ")[0] : name(0)}</span>
        <span className="truncate">{of.values === undefined ? name(now.length - 1).split(" to ")[1] : name(now.length - 1)}</span>
      </div>
    </>
  );
}
const mostBars = 24;

export const Statistics = ({ of }: { of: ColumnStatistics[] }) => (
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
