/** An artifact in place: whatever a client put there is read as data and never run. */
import type { ArtifactRows } from "@millrace/sdk/api";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Refused, useApi } from "../api";
import { bytes, count } from "../format";
import { Empty, Failure, Loading, Read } from "../ui";
import { rowsOf } from "./delimited";
import { Markdown } from "./markdown";

const most = { text: 512 * 1024, image: 10 * 1024 * 1024, rows: 500, lines: 5_000 };
type Kind = "image" | "html" | "markdown" | "json" | "table" | "parquet" | "text" | "none";

const images: Record<string, string> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  bmp: "image/bmp",
  svg: "image/svg+xml",
};
const closed = new Set([
  "pkl",
  "pickle",
  "joblib",
  "onnx",
  "pt",
  "pth",
  "bin",
  "npy",
  "npz",
  "h5",
  "zip",
  "gz",
  "tar",
  "xls",
  "xlsx",
  "pdf",
  "ubj",
  "safetensors",
  "cbm",
]);
function kindOf(path: string): Kind {
  const ending = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
  if (Object.hasOwn(images, ending)) return "image";
  if (ending === "html" || ending === "htm") return "html";
  if (ending === "md" || ending === "markdown") return "markdown";
  if (ending === "json" || ending === "ipynb") return "json";
  if (ending === "csv" || ending === "tsv") return "table";
  if (ending === "parquet") return "parquet";
  return closed.has(ending) ? "none" : "text";
}

export const artifactAddress = (path: string): string => `/api/2.0/mlflow-artifacts/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`;

export function ArtifactView({ path, size }: { path: string; size: number | undefined }) {
  const kind = kindOf(path);
  const [raw, setRaw] = useState(false);
  const name = path.split("/").at(-1) ?? path;
  const tooLarge = kind === "image" && (size ?? 0) > most.image;
  const canBeRaw = kind === "html" || kind === "markdown" || kind === "json" || kind === "table";
  return (
    <div className="flex min-h-0 min-w-0 flex-col">
      <div className="flex items-center gap-3 border-b border-line px-3 py-1.5">
        <h3 className="truncate font-semibold" title={path}>
          {name}
        </h3>
        <span className="text-muted">{bytes(size)}</span>
        <span className="ml-auto flex items-center gap-3">
          {canBeRaw && (
            <button type="button" className="link" aria-pressed={raw} onClick={() => setRaw(!raw)}>
              {raw ? "As it is meant" : "As text"}
            </button>
          )}
          <a className="button" href={artifactAddress(path)} download={name}>
            Download
          </a>
        </span>
      </div>
      {kind === "none" || tooLarge ? (
        <Empty>
          {tooLarge ? `This picture is larger than ${bytes(most.image)}: download it to see it.` : "This kind of file is not shown here: download it."}
        </Empty>
      ) : kind === "image" ? (
        <Picture path={path} />
      ) : kind === "parquet" ? (
        <Parquet path={path} />
      ) : (
        <Text path={path} size={size} kind={raw ? "text" : kind} />
      )}
    </div>
  );
}

function useBytes(path: string, until: number) {
  return useQuery({
    queryKey: ["artifact", path, until],
    staleTime: 60_000,
    retry: false,
    queryFn: async ({ signal }) => {
      const response = await fetch(artifactAddress(path), { signal, headers: { range: `bytes=0-${until - 1}` } });
      // An empty file has no range.
      if (response.status === 416) return new Uint8Array();
      if (!response.ok) throw new Refused(response.status, `The file could not be read (${response.status}).`);
      return new Uint8Array(await response.arrayBuffer());
    },
  });
}

function Picture({ path }: { path: string }) {
  const read = useBytes(path, most.image);
  const ending = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
  const source = useQuery({
    queryKey: ["picture", path, read.dataUpdatedAt],
    enabled: read.data !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () =>
      new Promise<string>((resolve, reject) => {
        const reader = new FileReader();
        reader.onload = () => resolve(String(reader.result));
        reader.onerror = () => reject(new Error("The picture could not be read."));
        reader.readAsDataURL(new Blob([read.data ?? new Uint8Array()], { type: images[ending] ?? "image/png" }));
      }),
  });
  if (read.isError) return <Failure message={read.error.message} />;
  if (source.data === undefined) return <Loading />;
  return (
    <div className="overflow-auto p-3">
      <img src={source.data} alt={path.split("/").at(-1)} className="max-w-full rounded border border-line bg-white" />
    </div>
  );
}

function Text({ path, size, kind }: { path: string; size: number | undefined; kind: Kind }) {
  const read = useBytes(path, most.text);
  if (read.isError) return <Failure message={read.error.message} />;
  if (read.data === undefined) return <Loading />;
  if (read.data.subarray(0, 8_000).includes(0)) return <Empty>This file is no text: download it.</Empty>;
  const text = new TextDecoder().decode(read.data);
  const cut = size !== undefined && size > read.data.length;
  return (
    <div className="min-h-0 overflow-auto p-3">
      {cut && (
        <p className="pb-2 text-warn">
          The first {bytes(read.data.length)} of {bytes(size)}.
        </p>
      )}
      {text === "" ? (
        <Empty>The file is empty.</Empty>
      ) : kind === "html" ? (
        <Sandboxed html={text} name={path} />
      ) : kind === "markdown" ? (
        <Markdown text={text} />
      ) : kind === "table" ? (
        <Rows text={text} delimiter={path.endsWith(".tsv") ? "\t" : ","} cut={cut} />
      ) : (
        <Lines text={kind === "json" && !cut ? pretty(text) : text} />
      )}
    </div>
  );
}

/** In a frame of no origin in which nothing runs, and which by the console's policy loads nothing from elsewhere. */
const Sandboxed = ({ html, name }: { html: string; name: string }) => (
  <>
    <p className="pb-2 text-muted">Scripts don't run here. Download the page to see it with them.</p>
    <iframe title={name} sandbox="" srcDoc={html} referrerPolicy="no-referrer" className="h-[60vh] w-full rounded border border-line bg-white" />
  </>
);

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Lines({ text }: { text: string }) {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const shown = lines.slice(0, most.lines);
  return (
    <>
      <div className="flex rounded bg-sunken font-mono text-[12px] leading-[18px]">
        <pre aria-hidden className="select-none p-2 text-right text-muted">
          {shown.map((_, i) => i + 1).join("\n")}
        </pre>
        <pre className="min-w-0 grow overflow-x-auto p-2">{shown.join("\n")}</pre>
      </div>
      {lines.length > shown.length && <p className="pt-1 text-muted">{count(lines.length - shown.length)} more lines.</p>}
    </>
  );
}

function Parquet({ path }: { path: string }) {
  const rows = useApi<ArtifactRows>(`/tracking/artifacts/rows?${new URLSearchParams({ path })}`, 600_000);
  return (
    <div className="min-h-0 overflow-auto p-3">
      <Read query={rows}>
        {(data) => (
          <>
            <Cells
              head={data.columns.map(({ name, type }) => ({ name, title: type.toLowerCase() }))}
              rows={data.rows.map((row) => row.map((cell) => cell ?? ""))}
            />
            <p className="pt-1 text-muted">
              {data.rows.length < data.total ? `The first ${count(data.rows.length)} of ${count(data.total)} rows.` : `${count(data.total)} rows.`}
            </p>
          </>
        )}
      </Read>
    </div>
  );
}

function Rows({ text, delimiter, cut }: { text: string; delimiter: string; cut: boolean }) {
  const [head = [], ...rows] = rowsOf(text, delimiter, most.rows + 1);
  // The last one may end where reading ended.
  if (cut && rows.length < most.rows) rows.pop();
  return (
    <>
      <Cells head={head.map((name) => ({ name }))} rows={rows} />
      <p className="pt-1 text-muted">{rows.length >= most.rows || cut ? `The first ${count(rows.length)} rows.` : `${count(rows.length)} rows.`}</p>
    </>
  );
}

export const Cells = ({ head, rows }: { head: { name: string; title?: string }[]; rows: string[][] }) => (
  <table className="border-collapse text-[12px]">
    <thead>
      <tr>
        {head.map(({ name, title }, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: columns of a file may have one name twice
          <th key={i} scope="col" className="border border-line bg-sunken px-2 py-0.5 text-left font-medium">
            {name}
            {title !== undefined && <span className="block font-normal text-muted">{title}</span>}
          </th>
        ))}
      </tr>
    </thead>
    <tbody>
      {rows.map((row, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: rows of a file have no other name
        <tr key={i}>
          {row.map((cell, j) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: as above
            <td key={j} className="max-w-80 truncate border border-line px-2 py-0.5" title={cell}>
              {cell}
            </td>
          ))}
        </tr>
      ))}
    </tbody>
  </table>
);
