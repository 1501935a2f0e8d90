import type { Run, RunDetail, Step } from "@millrace/sdk/api";
import { Link } from "@tanstack/react-router";
import { type Listed, useApi } from "../api";
import { duration, number, relative, value } from "../format";
import { short } from "../pipelines/artifacts";
import { Badge, Empty, Page, Panel, Read, State, Table } from "../ui";
import { useUrl } from "../url";

/** Two runs of a pipeline side by side: what was given, how long each step took, and whether it gave the same. */
export function CompareRuns() {
  const [{ a, b }, change] = useUrl();
  const left = useApi<RunDetail>(a === undefined ? undefined : `/runs/${encodeURIComponent(a)}`);
  const pipeline = left.data?.pipeline;
  const others = useApi<Listed<Run>>(pipeline === undefined ? undefined : `/runs?limit=200&pipeline=${encodeURIComponent(pipeline)}`);
  // Without a choice: the one before.
  const at = others.data?.items.findIndex((run) => run.id === a) ?? -1;
  const right = b ?? (others.data?.items[at + 1] ?? others.data?.items[at - 1])?.id;
  const second = useApi<RunDetail>(right === undefined ? undefined : `/runs/${encodeURIComponent(right)}`);
  const choose = (label: string, param: "a" | "b", chosen: string | undefined) => (
    <label className="flex items-center gap-1.5 text-muted">
      {label}
      <select className="field max-w-72" value={chosen ?? ""} onChange={(event) => change({ [param]: event.target.value })}>
        {others.data?.items.map((run) => (
          <option key={run.id} value={run.id}>
            {run.id.slice(-8)} · {run.state} · {relative(Date.parse(run.createdAt), Date.now())}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <Page
      title="Compare runs"
      about={pipeline}
      actions={
        <>
          {choose("A", "a", a)}
          {choose("B", "b", right)}
        </>
      }
    >
      {a === undefined ? (
        <Panel>
          <Empty>Open a run, and choose Compare there.</Empty>
        </Panel>
      ) : (
        <Read query={left}>
          {(one) =>
            right === undefined ? (
              <Panel>
                <Empty>{others.data === undefined ? "Loading…" : "This pipeline has no other run."}</Empty>
              </Panel>
            ) : (
              <Read query={second}>{(other) => <Compared a={one} b={other} />}</Read>
            )
          }
        </Read>
      )}
    </Page>
  );
}

interface Fact {
  name: string;
  a: string;
  b: string;
  delta?: string;
}
const changed = (a: number | undefined, b: number | undefined): string => {
  if (a === undefined || b === undefined || a === b) return "";
  const by = b - a;
  return `${by > 0 ? "+" : "−"}${number(Math.abs(by))}${a === 0 ? "" : ` (${by > 0 ? "+" : "−"}${number(Math.abs((100 * by) / a), 1)} %)`}`;
};

function Compared({ a, b }: { a: RunDetail; b: RunDetail }) {
  const [{ only }, change] = useUrl();
  const names = (of: "params" | "metrics") => [...new Set([...Object.keys(a[of]), ...Object.keys(b[of])])];
  const fits = (fact: { a: string; b: string }) => only === undefined || fact.a !== fact.b;
  const about: Fact[] = [
    { name: "state", a: a.state, b: b.state },
    { name: "took", a: duration(a.durationMs), b: duration(b.durationMs), delta: slower(a.durationMs, b.durationMs) },
    { name: "project version", a: String(a.projectVersion), b: String(b.projectVersion) },
    { name: "commit", a: a.commit?.slice(0, 12) ?? "–", b: b.commit?.slice(0, 12) ?? "–" },
    { name: "model", a: a.modelVersion ?? "–", b: b.modelVersion ?? "–" },
    ...names("params").map((name) => ({ name: `param ${name}`, a: value(a.params[name]), b: value(b.params[name]) })),
    ...names("metrics").map((name) => ({
      name: `metric ${name}`,
      a: number(a.metrics[name], 5),
      b: number(b.metrics[name], 5),
      delta: changed(a.metrics[name], b.metrics[name]),
    })),
  ];
  const steps = stepsOf(a, b).filter(({ left, right }) => only === undefined || differ(left, right));
  const head = (run: RunDetail, letter: string) => (
    <Link className="link" to="/runs/$id" params={{ id: run.id }}>
      {letter} · {run.id.slice(-8)}
    </Link>
  );
  return (
    <>
      <label className="flex items-center gap-2 text-muted">
        <input type="checkbox" checked={only !== undefined} onChange={(event) => change({ only: event.target.checked ? "differences" : undefined })} />
        Only what differs
      </label>
      <Panel
        title={
          <span className="flex gap-4">
            {[head(a, "A"), head(b, "B")].map((one, i) => (
              <span key={i === 0 ? "a" : "b"}>{one}</span>
            ))}
          </span>
        }
        flush
      >
        <Table
          label="Runs compared"
          rows={about.filter(fits)}
          id={(fact) => fact.name}
          height={320}
          empty="Nothing differs."
          columns={[
            { head: "", cell: (fact) => fact.name },
            { head: "A", cell: (fact) => <Shown of={fact.a} other={fact.b} /> },
            { head: "B", cell: (fact) => <Shown of={fact.b} other={fact.a} /> },
            { head: "B against A", wide: true, cell: (fact) => <span className="text-muted">{fact.delta}</span> },
          ]}
        />
      </Panel>
      <Panel title="Steps" flush>
        <Table
          label="Steps compared"
          rows={steps}
          id={(row) => row.id}
          height={520}
          empty="Every step gave the same."
          columns={[
            { head: "Step", cell: (row) => <span className="font-medium">{row.id}</span> },
            { head: "A", cell: (row) => (row.left === undefined ? "–" : <State state={row.left.state} />) },
            { head: "B", cell: (row) => (row.right === undefined ? "–" : <State state={row.right.state} />) },
            { head: "Took A", right: true, cell: (row) => duration(row.left?.durationMs) },
            { head: "Took B", right: true, cell: (row) => duration(row.right?.durationMs) },
            { head: "B against A", right: true, cell: (row) => <span className="text-muted">{slower(row.left?.durationMs, row.right?.durationMs)}</span> },
            { head: "Outputs", cell: (row) => <Digests a={row.left} b={row.right} /> },
            {
              head: "Why B",
              wide: true,
              cell: (row) => (
                <span className="line-clamp-1 text-muted" title={row.right?.reason ?? ""}>
                  {row.right?.reason}
                </span>
              ),
            },
          ]}
        />
      </Panel>
    </>
  );
}
const Shown = ({ of, other }: { of: string; other: string }) => (
  <code title={of.slice(0, 2_000)} className={`block max-w-96 truncate text-[12px] ${of === other ? "text-muted" : "font-semibold"}`}>
    {of.slice(0, 300)}
  </code>
);
function slower(a: number | null | undefined, b: number | null | undefined): string {
  if (a == null || b == null || a < 1) return "";
  const ratio = b / a;
  return ratio > 0.95 && ratio < 1.05 ? "the same" : ratio > 1 ? `${number(ratio, 3)} times as long` : `${number(100 * ratio, 3)} % of it`;
}
/** Those of the definition, in its order; items of maps are told by their map. */
function stepsOf(a: RunDetail, b: RunDetail): { id: string; left: Step | undefined; right: Step | undefined }[] {
  const of = (run: RunDetail) => new Map(run.steps.map((step) => [step.id, step]));
  const [left, right] = [of(a), of(b)];
  const ids = [...new Set([...left.keys(), ...right.keys()])];
  return ids.map((id) => ({ id, left: left.get(id), right: right.get(id) }));
}
const digestsOf = (step: Step | undefined): Record<string, string> =>
  Object.fromEntries(Object.entries(step?.outputs ?? {}).map(([name, { digest }]) => [name, digest]));
const differ = (a: Step | undefined, b: Step | undefined): boolean => JSON.stringify(digestsOf(a)) !== JSON.stringify(digestsOf(b)) || a?.error !== b?.error;
function Digests({ a, b }: { a: Step | undefined; b: Step | undefined }) {
  const [left, right] = [digestsOf(a), digestsOf(b)];
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  return (
    <span className="flex gap-1.5">
      {names.map((name) => {
        const same = left[name] === right[name];
        return (
          <Badge key={name} tone={same ? "ok" : "warn"} title={`A ${left[name] ?? "none"}\nB ${right[name] ?? "none"}`}>
            {name} {same ? "equal" : `${short(left[name] ?? "none")} → ${short(right[name] ?? "none")}`}
          </Badge>
        );
      })}
    </span>
  );
}
