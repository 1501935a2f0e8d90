/** What can be done with the runs that are selected, and with the search as a whole. */
import type { RunTableRow } from "@millrace/sdk/api";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { reasonOf, send } from "../api";
import { AskFor } from "../dialog";
import { counted } from "../format";
import { Ask, NotDone } from "../ui";
import { asked, type RunColumn } from "./columns";
import { quotedText } from "./filter-language";
import type { RunSearch } from "./rows";

const mostCompared = 500;

export function SelectionActions({
  id,
  selected,
  rows,
  view,
  onDone,
  onClear,
}: {
  /** The experiment of the address. */
  id: string;
  selected: string[];
  rows: RunTableRow[];
  view: RunSearch["view"];
  onDone(): void;
  onClear(): void;
}) {
  const navigate = useNavigate();
  const [failure, setFailure] = useState<string>();
  const comparison = `/experiments/${id}/compare?runs=${selected.join(",")}`;
  const what = counted(selected.length, "run");
  const deleted = new Set(rows.filter((row) => row.stage === "deleted").map((row) => row.id));
  const some = (stage: "active" | "deleted") => selected.filter((one) => (view === "all" ? deleted.has(one) : view === "deleted") === (stage === "deleted"));
  const change = async (body: { ids: string[]; stage?: "active" | "deleted"; tags?: Record<string, string> }) => {
    for (let at = 0; at < body.ids.length; at += 1_000) await send("POST", "/tracking/runs/change", { ...body, ids: body.ids.slice(at, at + 1_000) });
    onDone();
  };
  return (
    <div className="flex flex-wrap items-center gap-2" role="toolbar" aria-label="Selected runs">
      <span className="font-medium">{what} selected</span>
      {selected.length >= 2 && selected.length <= mostCompared ? (
        <a
          className="button"
          href={comparison}
          onClick={(event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey) return;
            event.preventDefault();
            void navigate({ href: comparison });
          }}
        >
          Compare
        </a>
      ) : (
        <button
          type="button"
          className="button"
          disabled
          title={selected.length < 2 ? "Select two runs or more" : `At most ${mostCompared} runs are compared at once`}
        >
          Compare
        </button>
      )}
      {some("active").length > 0 && (
        <>
          <AskFor
            button="Tag"
            title={`Tag ${counted(some("active").length, "run")}`}
            fields={[
              { name: "key", label: "Key", placeholder: "team" },
              { name: "value", label: "Value" },
            ]}
            done="Tag"
            run={async ({ key = "", value = "" }) => {
              if (key.trim() === "") throw new Error("A tag needs a key.");
              await change({ ids: some("active"), tags: { [key.trim()]: value } });
            }}
          />
          <Ask
            button="Delete"
            title={`Delete ${counted(some("active").length, "run")}?`}
            run={async () => {
              await change({ ids: some("active"), stage: "deleted" });
              onClear();
            }}
          >
            They can be restored from the view of deleted runs, until they are freed for good.
          </Ask>
        </>
      )}
      {some("deleted").length > 0 && (
        <button
          type="button"
          className="button"
          onClick={() =>
            void change({ ids: some("deleted"), stage: "active" })
              .then(onClear)
              .catch((error: unknown) => setFailure(reasonOf(error)))
          }
        >
          Restore
        </button>
      )}
      <button type="button" className="button" onClick={onClear}>
        Clear
      </button>
      <NotDone why={failure} />
    </div>
  );
}

export const csvAddress = ({ experiments, filter, orderBy, view }: RunSearch, columns: RunColumn[]): string =>
  `/api/v1/tracking/runs.csv?${new URLSearchParams([
    ...experiments.map((one) => ["experiments", one] as [string, string]),
    ...(filter === "" ? [] : [["filter", filter] as [string, string]]),
    ["view", view],
    ...orderBy.map((one) => ["orderBy", one] as [string, string]),
    ...asked(columns).map((one) => ["columns", one] as [string, string]),
  ])}`;

export function CopyAsPython({ search, selected }: { search: RunSearch; selected: string[] }) {
  const [copied, setCopied] = useState(false);
  return (
    <button
      type="button"
      className="button"
      title="The same search for MLflow's client"
      onClick={() => {
        void navigator.clipboard
          .writeText(python(search, selected))
          .then(() => setCopied(true))
          .catch(() => {});
        setTimeout(() => setCopied(false), 2_000);
      }}
    >
      {copied ? "Copied" : "Copy as Python"}
    </button>
  );
}

function python({ experiments, filter, orderBy, view }: RunSearch, selected: string[]): string {
  const chosen = selected.length === 0 ? "" : `run_id IN (${selected.map(quotedText).join(", ")})`;
  const text = (of: string) => JSON.stringify(of);
  const whole = [filter === "" || chosen === "" ? filter : `(${filter})`, chosen].filter((one) => one !== "").join(" and ");
  const views = { active: "ACTIVE_ONLY", deleted: "DELETED_ONLY", all: "ALL" };
  const lines = [
    `experiment_ids=[${experiments.map(text).join(", ")}],`,
    ...(whole === "" ? [] : [`filter_string=${text(whole)},`]),
    ...(orderBy.length === 0 ? [] : [`order_by=[${orderBy.map(text).join(", ")}],`]),
    ...(view === "active" ? [] : [`run_view_type=mlflow.entities.ViewType.${views[view]},`]),
  ];
  return `import mlflow\n\nmlflow.set_tracking_uri(${text(location.origin)})\nruns = mlflow.search_runs(\n${lines.map((line) => `    ${line}\n`).join("")})\n`;
}
