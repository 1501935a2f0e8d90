import type { RunFamily, RunMetric } from "@millrace/sdk/api";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { mlflow, Refused, read, reasonOf, useApi } from "../api";
import { AskFor } from "../dialog";
import { counted, exact, number, value } from "../format";
import { Badge, Empty, Facts, NotDone, Panel, Table, Time } from "../ui";
import { Markdown } from "./markdown";

interface KeyValue {
  key: string;
  value: string;
}
/** As MLflow's protocol has it: whole numbers may be texts. */
export interface TrackedRun {
  info: {
    run_id: string;
    run_name: string;
    experiment_id: string;
    user_id: string;
    status: string;
    start_time: number | string;
    end_time?: number | string;
    artifact_uri: string;
    lifecycle_stage: string;
  };
  data: { metrics?: { key: string; value: number | string; step: number | string; timestamp: number | string }[]; params?: KeyValue[]; tags?: KeyValue[] };
  inputs?: {
    dataset_inputs?: { dataset: { name: string; digest: string; source_type?: string; source?: string; schema?: string }; tags?: KeyValue[] }[];
    model_inputs?: { model_id: string }[];
  };
}
export interface LoggedModel {
  info: { model_id: string; name: string; status: string; model_type?: string; artifact_uri: string; source_run_id?: string };
}
interface Version {
  name: string;
  version: string;
  current_stage?: string;
  aliases?: string[];
  source?: string;
}
type Did = (route: string, body: Record<string, unknown>) => Promise<void>;

const description = "mlflow.note.content";
const told = (of: number | string | undefined): string => (typeof of === "number" ? number(of, 5) : (of ?? "–").replace("Infinity", "∞"));

export function RunOverview({ run, models, tags, did }: { run: TrackedRun; models: LoggedModel[]; tags: Map<string, string>; did: Did }) {
  const { info } = run;
  const id = encodeURIComponent(info.run_id);
  const running = info.status === "RUNNING";
  const measured = useApi<{ items: RunMetric[] }>(`/tracking/runs/${id}/metrics`, running ? 3_000 : 60_000);
  const family = useApi<RunFamily>(`/tracking/runs/${id}/family`, 30_000);
  const versions = useQuery<{ model_versions?: Version[] }>({
    queryKey: ["/tracking/run", info.run_id, "versions"],
    queryFn: ({ signal }) =>
      read(`/api/2.0/mlflow/model-versions/search?${new URLSearchParams({ filter: `run_id='${info.run_id}'`, max_results: "100" })}`, signal),
  });
  // Until what is asked of all points is there, the latest values are.
  const metrics =
    measured.data?.items ??
    (run.data.metrics ?? []).map((one): Partial<RunMetric> & Pick<RunMetric, "key" | "value" | "step"> => ({
      key: one.key,
      value: one.value,
      step: Number(one.step),
    }));
  const [search, setSearch] = useState("");
  const fits = ({ key }: { key: string }) => key.toLowerCase().includes(search.trim().toLowerCase());
  const params = run.data.params ?? [];
  const many = metrics.length + params.length > 12;
  const writable = info.lifecycle_stage !== "deleted";
  const inputs = run.inputs?.dataset_inputs ?? [];
  const note = tags.get(description) ?? "";
  return (
    <div className="grid grid-cols-1 items-start gap-3 xl:grid-cols-[minmax(0,1fr)_26rem]">
      <div className="space-y-3">
        {note !== "" && (
          <Panel title="Description" actions={writable && <Describe note={note} did={did} />}>
            <Markdown text={note} />
          </Panel>
        )}
        {many && (
          <input
            type="search"
            className="field w-72"
            aria-label="Search metrics and params"
            placeholder="Search metrics and params"
            value={search}
            onChange={(event) => setSearch(event.target.value)}
          />
        )}
        <div className="grid grid-cols-1 items-start gap-3 lg:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]">
          <Panel title={`Metrics (${metrics.length})`} flush>
            <Table
              label="Metrics"
              rows={metrics.filter(fits)}
              id={(one) => one.key}
              height={560}
              empty={metrics.length === 0 ? "No metric was logged." : "No metric has this in its name."}
              columns={[
                { head: "Metric", wide: true, cell: (one) => <span className="break-all font-medium">{one.key}</span> },
                { head: "Latest", right: true, cell: (one) => <span title={String(one.value)}>{told(one.value)}</span> },
                { head: "Min", right: true, cell: (one) => <span title={String(one.min ?? "")}>{told(one.min)}</span> },
                { head: "Max", right: true, cell: (one) => <span title={String(one.max ?? "")}>{told(one.max)}</span> },
                { head: "Step", right: true, cell: (one) => one.step },
                { head: "Points", right: true, cell: (one) => number(one.points) },
              ]}
            />
          </Panel>
          <Panel title={`Params (${params.length})`} flush>
            <Table
              label="Params"
              rows={params.filter(fits)}
              id={(one) => one.key}
              height={560}
              empty={params.length === 0 ? "No param was logged." : "No param has this in its name."}
              columns={[
                {
                  head: "Param",
                  cell: (one) => (
                    <span className="inline-block max-w-56 truncate align-bottom font-medium" title={one.key}>
                      {one.key}
                    </span>
                  ),
                },
                { head: "Value", wide: true, cell: (one) => <code className="break-all text-[12px]">{one.value}</code> },
              ]}
            />
          </Panel>
        </div>
        <Family of={family.data} />
      </div>
      <div className="space-y-3">
        <Panel title="Run">
          <Facts of={facts(run, tags)} />
        </Panel>
        <Panel title="Tags" actions={writable && <AddTag did={did} />}>
          <Tags tags={tags} did={did} writable={writable} />
          {note === "" && writable && (
            <p className="pt-2">
              <Describe note="" did={did} />
            </p>
          )}
        </Panel>
        {inputs.length > 0 && (
          <Panel title="Datasets">
            <ul className="space-y-2">
              {inputs.map(({ dataset, tags: about }) => (
                <li key={`${dataset.name} ${dataset.digest}`}>
                  <span className="font-medium">{dataset.name}</span> <code className="text-[12px] text-muted">{dataset.digest}</code>{" "}
                  {about?.map((one) => (
                    <Badge key={one.key} title={one.key}>
                      {one.value}
                    </Badge>
                  ))}
                  <div className="truncate text-[12px] text-muted" title={dataset.source}>
                    {[dataset.source_type, sourceOf(dataset.source), profileOf(dataset.schema)].filter((one) => one !== undefined && one !== "").join(" · ")}
                  </div>
                </li>
              ))}
            </ul>
          </Panel>
        )}
        <Models run={run} models={models} versions={versions.data?.model_versions ?? []} again={() => void versions.refetch()} />
      </div>
    </div>
  );
}

function facts({ info }: TrackedRun, tags: Map<string, string>): (readonly [string, ReactNode])[] {
  const repository = tags.get("mlflow.source.git.repoURL");
  const commit = tags.get("mlflow.source.git.commit");
  const moment = (ms: number | string | undefined) => (ms === undefined ? null : Math.abs(Number(ms)) <= 8.64e15 ? new Date(Number(ms)).toISOString() : null);
  const optional = (name: string, of: ReactNode): (readonly [string, ReactNode])[] => (of === undefined || of === "" ? [] : [[name, of]]);
  return [
    [
      "id",
      <code key="id" className="text-[12px]">
        {info.run_id}
      </code>,
    ],
    ["started", <Time key="started" at={moment(info.start_time)} />],
    ["ended", <Time key="ended" at={moment(info.end_time)} />],
    ...optional("user", tags.get("mlflow.user") || info.user_id),
    ...optional("source", tags.get("mlflow.source.name")),
    ...optional("branch", tags.get("mlflow.source.git.branch")),
    ...optional("commit", commit === undefined ? undefined : <code title={commit}>{commit.slice(0, 12)}</code>),
    ...optional(
      "repository",
      repository !== undefined && /^https?:\/\//.test(repository) ? (
        <a className="link" href={repository} target="_blank" rel="noopener noreferrer nofollow">
          {repository}
        </a>
      ) : (
        repository
      ),
    ),
    [
      "artifacts",
      <code key="artifacts" className="break-all text-[12px]">
        {info.artifact_uri}
      </code>,
    ],
  ];
}

/** A dataset's source is a text that says where it is, in JSON for most kinds. */
function sourceOf(source: string | undefined): string | undefined {
  try {
    const read: unknown = JSON.parse(source ?? "");
    if (typeof read !== "object" || read === null) return source;
    const place = ["uri", "url", "path", "table_name", "query"].flatMap((name) => (name in read ? [Reflect.get(read, name)] : []))[0];
    return place === undefined ? undefined : value(place);
  } catch {
    return source;
  }
}
function profileOf(schema: string | undefined): string | undefined {
  try {
    const read: unknown = JSON.parse(schema ?? "");
    const columns: unknown = typeof read === "object" && read !== null ? Reflect.get(read, "mlflow_colspec") : undefined;
    return Array.isArray(columns) ? counted(columns.length, "column") : undefined;
  } catch {
    return undefined;
  }
}

const Describe = ({ note, did }: { note: string; did: Did }) => (
  <AskFor
    plain
    button={note === "" ? "Add a description" : "Edit"}
    title="Description"
    about="Markdown."
    fields={[{ name: "text", label: "Text", value: note, long: true }]}
    done="Save"
    run={({ text = "" }) => did("runs/set-tag", { key: description, value: text })}
  />
);
const AddTag = ({ did }: { did: Did }) => (
  <AskFor
    plain
    button="Add"
    title="Tag this run"
    fields={[
      { name: "key", label: "Key", placeholder: "team" },
      { name: "value", label: "Value" },
    ]}
    done="Tag"
    run={async ({ key = "", value: text = "" }) => {
      if (key.trim() === "") throw new Error("A tag needs a key.");
      await did("runs/set-tag", { key: key.trim(), value: text });
    }}
  />
);
function Tags({ tags, did, writable }: { tags: Map<string, string>; did: Did; writable: boolean }) {
  const [all, setAll] = useState(false);
  const [failure, setFailure] = useState<string>();
  const own = [...tags].filter(([key]) => !key.startsWith("mlflow."));
  const shown = all ? [...tags] : own;
  return (
    <>
      <ul className="space-y-0.5">
        {shown.map(([key, text]) => (
          <li key={key} className="flex items-baseline gap-2">
            <span className="shrink-0 text-muted">{key}</span>
            <span className="min-w-0 break-words">{text}</span>
            {writable && !key.startsWith("mlflow.") && (
              <button
                type="button"
                aria-label={`Remove the tag ${key}`}
                className="ml-auto text-muted hover:text-bad"
                onClick={() => {
                  setFailure(undefined);
                  did("runs/delete-tag", { key }).catch((error: unknown) => setFailure(reasonOf(error)));
                }}
              >
                ×
              </button>
            )}
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p className="text-muted">No tag of its own.</p>}
      <NotDone why={failure} />
      {tags.size > own.length && (
        <button type="button" className="link pt-1" onClick={() => setAll(!all)}>
          {all ? "Only its own" : `and ${counted(tags.size - own.length, "tag")} of MLflow's`}
        </button>
      )}
    </>
  );
}

function Family({ of }: { of: RunFamily | undefined }) {
  if (of === undefined || (of.parent === null && of.children.length === 0)) return null;
  const to = (one: { id: string; experimentId: string; name: string }) => (
    <Link className="link" to="/experiments/$id/runs/$runId" params={{ id: one.experimentId, runId: one.id }}>
      {one.name || one.id}
    </Link>
  );
  return (
    <Panel title={of.children.length === 0 ? "Parent run" : `Child runs (${of.children.length}${of.more ? "+" : ""})`} flush={of.children.length > 0}>
      {of.parent !== null && <p className={of.children.length > 0 ? "px-3 pt-2" : ""}>below {to(of.parent)}</p>}
      {of.children.length > 0 && (
        <Table
          label="Child runs"
          rows={of.children}
          id={(one) => one.id}
          height={320}
          columns={[
            { head: "Run", wide: true, cell: to },
            { head: "Status", cell: (one) => one.status.toLowerCase() },
            {
              head: "Started",
              cell: (one) => (
                <span title={exact(one.startTime)}>
                  <Time at={new Date(one.startTime).toISOString()} />
                </span>
              ),
            },
          ]}
        />
      )}
    </Panel>
  );
}

function Models({ run, models, versions, again }: { run: TrackedRun; models: LoggedModel[]; versions: Version[]; again: () => void }) {
  if (models.length === 0 && versions.length === 0) return null;
  const ofModel = (id: string) => versions.filter((one) => one.source === `models:/${id}` || one.source?.includes(`/${id}/`) === true);
  const others = versions.filter((one) => !models.some(({ info }) => ofModel(info.model_id).includes(one)));
  return (
    <Panel title="Models">
      {models.length === 0 && others.length === 0 && <Empty>No model.</Empty>}
      <ul className="space-y-2">
        {models.map(({ info }) => (
          <li key={info.model_id}>
            <div className="flex items-baseline gap-2">
              <span className="font-medium">{info.name}</span>
              <span className="text-muted">{info.model_type}</span>
              {info.status !== "LOGGED_MODEL_READY" && <Badge tone="warn">{info.status.replace("LOGGED_MODEL_", "").toLowerCase().replace("_", " ")}</Badge>}
              <span className="ml-auto">
                <AskFor
                  plain
                  button="Register"
                  title={`Register ${info.name}`}
                  about="It becomes the next version of the registered model; the model is made where there is none of the name."
                  fields={[{ name: "name", label: "Registered model", value: info.name }]}
                  done="Register"
                  run={async ({ name = "" }) => {
                    await register(name.trim(), info.model_id, run.info.run_id);
                    again();
                  }}
                />
              </span>
            </div>
            <code className="block truncate text-[12px] text-muted" title={`models:/${info.model_id}`}>
              models:/{info.model_id}
            </code>
            <Versions of={ofModel(info.model_id)} />
          </li>
        ))}
        {others.length > 0 && (
          <li>
            <Versions of={others} />
          </li>
        )}
      </ul>
    </Panel>
  );
}
const Versions = ({ of }: { of: Version[] }) => (
  <ul className="flex flex-wrap gap-x-3">
    {of.map((one) => (
      <li key={`${one.name} ${one.version}`}>
        <Link className="link" to="/models/$name" params={{ name: one.name }} search={{ version: String(one.version) }}>
          {one.name} {one.version}
        </Link>{" "}
        {one.aliases?.map((alias) => (
          <Badge key={alias} tone={alias === "champion" ? "ok" : "info"}>
            {alias}
          </Badge>
        ))}
      </li>
    ))}
  </ul>
);
async function register(name: string, model: string, run: string): Promise<void> {
  await mlflow("registered-models/create", { name }).catch((error: unknown) => {
    // It is there already: another version of it is made.
    if (!(error instanceof Refused && error.status === 400 && error.message.includes("already exists"))) throw error;
  });
  await mlflow("model-versions/create", { name, source: `models:/${model}`, run_id: run, model_id: model });
}
