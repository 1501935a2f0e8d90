/** What a step took and gave. */
import type { Artifact, ArtifactRows, Step, StepDetail } from "@millrace/sdk/api";
import type { InputRef, NodeSpec } from "@millrace/sdk/spec";
import { useState } from "react";
import { useApi } from "../api";
import { bytes, count, counted, number, value, words } from "../format";
import { Cells } from "../runs/artifact-view";
import { Badge, Empty, Facts, Read, Table } from "../ui";
import { StepLink } from "./timeline";

export const short = (digest: string): string => digest.replace(/^sha256:/, "").slice(0, 12);
export const Digest = ({ of }: { of: string }) => (
  <button
    type="button"
    className="font-mono text-[11px] text-muted hover:underline"
    title={`${of}\nClick to copy it`}
    onClick={() => void navigator.clipboard.writeText(of)}
  >
    {short(of)}
  </button>
);
const sizeOf = (artifact: Artifact): number => artifact.files.reduce((sum, file) => sum + file.size, 0);
const encoded = (path: string): string => path.split("/").map(encodeURIComponent).join("/");

export function Outputs({ run, step }: { run: string; step: Step }) {
  const outputs: [string, Artifact][] = Object.entries(step.outputs);
  if (outputs.length === 0) return <Empty>This step has given nothing{step.state === "running" || step.state === "waiting" ? " yet" : ""}.</Empty>;
  return (
    <div className="space-y-4">
      {outputs.map(([name, artifact]) => (
        <Output
          key={name}
          base={`/runs/${encodeURIComponent(run)}/steps/${encodeURIComponent(step.id)}/artifacts/${encodeURIComponent(name)}`}
          name={name}
          of={artifact}
        />
      ))}
    </div>
  );
}

function Output({ base, name, of }: { base: string; name: string; of: Artifact }) {
  const { rows, columns, value: plain, metrics, ...rest } = of.meta;
  const facts = Object.entries(rest).filter(([, fact]) => typeof fact !== "object" || fact === null);
  return (
    <section aria-label={`Output ${name}`}>
      <h3 className="flex items-center gap-2 font-semibold">
        {name} <Badge>{words(of.type)}</Badge>
        <span className="font-normal text-muted">
          {[
            ...(typeof rows === "number" ? [counted(rows, "row")] : []),
            ...(typeof columns === "number" ? [counted(columns, "column")] : []),
            bytes(sizeOf(of)),
            ...facts.map(([key, fact]) => `${words(key)} ${typeof fact === "number" ? number(fact) : value(fact)}`),
          ].join(" · ")}
        </span>
        <span className="ml-auto">
          <Digest of={of.digest} />
        </span>
      </h3>
      {isNumbers(metrics ?? plain) && of.type !== "json" ? (
        <Facts of={Object.entries(metrics ?? plain ?? {}).map(([key, one]) => [key, number(typeof one === "number" ? one : null, 6)] as const)} />
      ) : plain !== undefined ? (
        <Plain of={plain} />
      ) : null}
      {of.type === "table" ? <Preview base={base} of={of} /> : null}
      <Files base={base} name={name} of={of} read={plain === undefined && of.type !== "table"} />
    </section>
  );
}
const isNumbers = (of: unknown): boolean =>
  typeof of === "object" && of !== null && !Array.isArray(of) && Object.values(of).every((one) => typeof one === "number");
const Plain = ({ of }: { of: unknown }) => (
  <pre className="mt-1 max-h-72 overflow-auto whitespace-pre-wrap break-all rounded bg-sunken p-2 font-mono text-[12px]">{JSON.stringify(of, null, 2)}</pre>
);

const largestRead = 512 * 1024;
function Files({ base, name, of, read }: { base: string; name: string; of: Artifact; read: boolean }) {
  const one = read && of.files.length === 1 ? of.files[0] : undefined;
  const shows = one !== undefined && one.size <= largestRead && /\.json$/i.test(one.path) ? one.path : undefined;
  return (
    <>
      {shows !== undefined && <JsonFile path={`${base}/files/${encoded(shows)}`} />}
      <Table
        label={`Files of ${name}`}
        rows={of.files}
        id={(file) => file.path}
        height={180}
        empty="It has no files."
        columns={[
          {
            head: "File",
            wide: true,
            cell: (file) => (
              <a className="link" href={`/api/v1${base}/files/${encoded(file.path)}`} download={file.path.split("/").at(-1)}>
                {file.path}
              </a>
            ),
          },
          { head: "Digest", cell: (file) => <Digest of={file.digest} /> },
          { head: "Size", right: true, cell: (file) => bytes(file.size) },
        ]}
      />
    </>
  );
}
function JsonFile({ path }: { path: string }) {
  const read = useApi<unknown>(path, 600_000);
  return <Read query={read}>{(data) => <Plain of={data} />}</Read>;
}

/** The first rows of a table, part by part where it has several. */
function Preview({ base, of }: { base: string; of: Artifact }) {
  const parts = of.files.filter((file) => /\.parquet$/i.test(file.path));
  const [part, setPart] = useState(parts[0]?.path);
  const rows = useApi<ArtifactRows>(part === undefined ? undefined : `${base}/rows?${new URLSearchParams({ file: part })}`, 600_000);
  if (part === undefined) return null;
  return (
    <div className="py-1.5">
      {parts.length > 1 && (
        <label className="flex items-center gap-1.5 pb-1 text-muted">
          Part
          <select className="field" value={part} onChange={(event) => setPart(event.target.value)}>
            {parts.map((file) => (
              <option key={file.path}>{file.path}</option>
            ))}
          </select>
        </label>
      )}
      <Read query={rows}>
        {(data) => (
          <>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
            <section className="max-h-72 overflow-auto" tabIndex={0} aria-label="First rows">
              <Cells
                head={data.columns.map(({ name, type }) => ({ name, title: type.toLowerCase() }))}
                rows={data.rows.map((row) => row.map((cell) => cell ?? ""))}
              />
            </section>
            <p className="pt-1 text-[12px] text-muted">
              {data.rows.length < data.total ? `The first ${count(data.rows.length)} of ${count(data.total)} rows.` : `${counted(data.total, "row")}.`}
            </p>
          </>
        )}
      </Read>
    </div>
  );
}

export function Inputs({ step, node }: { step: StepDetail; node: NodeSpec | undefined }) {
  const names = [...new Set([...Object.keys(node?.inputs ?? {}), ...Object.keys(step.inputs)])];
  if (names.length === 0) return <Empty>This step takes nothing.</Empty>;
  return (
    <Table
      label="Inputs"
      rows={names}
      id={(name) => name}
      height={300}
      columns={[
        { head: "Input", cell: (name) => <span className="font-medium">{name}</span> },
        { head: "From", cell: (name) => <From of={node?.inputs[name]} beside={step.parent} /> },
        {
          head: "Given",
          wide: true,
          cell: (name) => {
            const given = step.inputs[name];
            if (typeof given === "string" && /^sha256:[0-9a-f]{64}$/.test(given)) return <Digest of={given} />;
            return <code className="break-all text-[12px]">{value(given)}</code>;
          },
        },
      ]}
    />
  );
}
function From({ of, beside }: { of: InputRef | undefined; beside: string | null }) {
  if (of === undefined) return <>–</>;
  if ("param" in of) return <>param {of.param}</>;
  if ("item" in of) return <>item of {of.item}</>;
  if ("literal" in of) return <>a constant</>;
  return (
    <>
      {words(of.output)} of {beside === null ? <StepLink step={of.node}>{of.node}</StepLink> : of.node}
    </>
  );
}
