/** The files of a run and of its logged models, as a tree, with the one that is looked at beside it. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { read } from "../api";
import { bytes, count } from "../format";
import { Empty, Failure, Loading, Panel } from "../ui";
import { useUrl } from "../url";
import { ArtifactView } from "./artifact-view";

interface Entry {
  path: string;
  is_dir: boolean;
  file_size?: number | string;
}
export interface ArtifactRoot {
  name: string;
  /** `mlflow-artifacts:/1/<run>/artifacts` */
  uri: string;
}
const mostShown = 1_000;

/** The path of an address that this server keeps; undefined for any other. */
const pathOf = (uri: string): string | undefined => /^mlflow-artifacts:(?:\/\/[^/]*)?\/+(.*?)\/*$/.exec(uri)?.[1];

function useFolder(path: string | undefined) {
  return useQuery<{ files?: Entry[] }>({
    queryKey: ["artifacts", path],
    enabled: path !== undefined,
    queryFn: ({ signal }) => read(`/api/2.0/mlflow-artifacts/artifacts?${new URLSearchParams({ path: path ?? "" })}`, signal),
  });
}

export function Artifacts({ roots }: { roots: ArtifactRoot[] }) {
  const [{ file }, change] = useUrl();
  const known = roots.flatMap((root) => {
    const path = pathOf(root.uri);
    return path === undefined ? [] : [{ ...root, path }];
  });
  const folder = file?.split("/").slice(0, -1).join("/");
  // Only what is below one of the roots is shown, whatever the address says.
  const within = file !== undefined && known.some(({ path }) => file.startsWith(`${path}/`));
  const beside = useFolder(within ? folder : undefined);
  const entry = beside.data?.files?.find((one) => `${folder}/${one.path}` === file);
  if (known.length === 0) return <Empty>The artifacts of this run are not kept by this server.</Empty>;
  return (
    <div className="grid grid-cols-1 items-start gap-3 lg:grid-cols-[20rem_minmax(0,1fr)]">
      <Panel title="Files" flush>
        <div className="max-h-[70vh] overflow-auto p-2">
          {known.map((root, i) => (
            <Folder
              key={root.path}
              path={root.path}
              name={root.name}
              open={i === 0 || file?.startsWith(`${root.path}/`) === true}
              chosen={file}
              choose={(path) => change({ file: path })}
            />
          ))}
        </div>
      </Panel>
      <Panel flush>
        {within && file !== undefined ? (
          <ArtifactView key={file} path={file} size={entry?.file_size === undefined ? undefined : Number(entry.file_size)} />
        ) : (
          <Empty>Choose a file to see it.</Empty>
        )}
      </Panel>
    </div>
  );
}

function Folder({
  path,
  name,
  open,
  chosen,
  choose,
}: {
  path: string;
  name: string;
  open: boolean;
  chosen: string | undefined;
  choose: (path: string) => void;
}) {
  const [isOpen, setOpen] = useState(open || chosen?.startsWith(`${path}/`) === true);
  const { data, error, refetch } = useFolder(isOpen ? path : undefined);
  const entries = (data?.files ?? []).toSorted((a, b) => Number(b.is_dir) - Number(a.is_dir) || (a.path < b.path ? -1 : 1));
  return (
    <div>
      <button
        type="button"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
        className="flex w-full items-center gap-1 truncate rounded px-1 text-left hover:bg-sunken"
      >
        <span aria-hidden className="w-3 text-muted">
          {isOpen ? "▾" : "▸"}
        </span>
        <span className="truncate">{name}</span>
      </button>
      {isOpen && (
        <div className="ml-2.5 border-l border-line pl-1.5">
          {error !== null && <Failure message={error.message} again={() => void refetch()} />}
          {data === undefined && error === null && <Loading />}
          {data !== undefined && entries.length === 0 && <p className="px-1 text-muted">Nothing here.</p>}
          {entries.slice(0, mostShown).map((one) => {
            const full = `${path}/${one.path}`;
            return one.is_dir ? (
              <Folder key={full} path={full} name={one.path} open={false} chosen={chosen} choose={choose} />
            ) : (
              <button
                key={full}
                type="button"
                aria-current={chosen === full ? "true" : undefined}
                onClick={() => choose(full)}
                className={`flex w-full items-baseline gap-2 rounded px-1 pl-5 text-left hover:bg-sunken ${chosen === full ? "bg-sunken font-medium" : ""}`}
              >
                <span className="truncate" title={one.path}>
                  {one.path}
                </span>
                <span className="ml-auto shrink-0 text-[12px] font-normal text-muted">{bytes(Number(one.file_size ?? 0))}</span>
              </button>
            );
          })}
          {entries.length > mostShown && <p className="px-1 text-muted">{count(entries.length - mostShown)} more files.</p>}
        </div>
      )}
    </div>
  );
}
