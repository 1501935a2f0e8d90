import type { ExperimentSummary, LifecycleView } from "@millrace/sdk/api";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { mlflow, reasonOf, useList } from "../api";
import { AskFor } from "../dialog";
import { count } from "../format";
import { Ask, Badge, Failure, Loading, Page, Panel, Table, Time } from "../ui";
import { useUrl } from "../url";

const isShown = (tag: string) => !tag.startsWith("mlflow.");

export function Experiments() {
  const [{ search = "", view = "active", order = "activity" }, change] = useUrl();
  const client = useQueryClient();
  const query = new URLSearchParams({ limit: "100", view, order, ...(search === "" ? {} : { search }) });
  const experiments = useList<ExperimentSummary>(`/tracking/experiments?${query}`, 5_000);
  const [chosen, setChosen] = useState<string[]>([]);
  const [failure, setFailure] = useState<string>();
  const again = () => client.invalidateQueries({ predicate: ({ queryKey: [path] }) => typeof path === "string" && path.startsWith("/tracking/experiment") });
  const did = async (route: string, body: unknown) => {
    await mlflow(route, body);
    await again();
  };
  return (
    <Page
      title="Experiments"
      about="What was tried, and what came of it"
      actions={
        <>
          <SearchBox value={search} onChange={(next) => change({ search: next === "" ? undefined : next })} />
          <Pick
            label="Show"
            value={view}
            of={{ active: "active", deleted: "deleted", all: "all" } satisfies Record<LifecycleView, string>}
            onChange={(next) => change({ view: next === "active" ? undefined : next })}
          />
          <Pick
            label="Order"
            value={order}
            of={{ activity: "last activity", name: "name", created: "created" }}
            onChange={(next) => change({ order: next === "activity" ? undefined : next })}
          />
          <AskFor
            button="New experiment"
            title="New experiment"
            fields={[
              { name: "name", label: "Name", placeholder: "churn" },
              { name: "description", label: "Description", long: true },
            ]}
            done="Create"
            run={({ name = "", description = "" }) =>
              did("experiments/create", { name: name.trim(), ...(description === "" ? {} : { tags: [{ key: "mlflow.note.content", value: description }] }) })
            }
          />
        </>
      }
    >
      {chosen.length > 0 && (
        <div className="flex items-center gap-2" role="toolbar" aria-label="Selected experiments">
          <Link className="button" to="/experiments/$id" params={{ id: chosen[0] ?? "" }} search={chosen.length > 1 ? { experiments: chosen.join(",") } : {}}>
            Show the runs of {chosen.length === 1 ? "it" : `these ${chosen.length}`}
          </Link>
          <button type="button" className="button" onClick={() => setChosen([])}>
            Clear
          </button>
        </div>
      )}
      {failure !== undefined && <Failure message={failure} />}
      <Panel flush>
        {experiments.isError ? (
          <Failure message={experiments.error.message} again={() => void experiments.refetch()} />
        ) : experiments.isPending ? (
          <Loading />
        ) : (
          <Table
            label="Experiments"
            rows={experiments.rows}
            id={(one) => one.id}
            height={760}
            more={experiments.hasNextPage && !experiments.isFetchingNextPage ? () => void experiments.fetchNextPage() : undefined}
            empty={search === "" ? "Nothing here." : "No experiment has this in its name."}
            columns={[
              {
                head: "",
                cell: (one) => (
                  <input
                    type="checkbox"
                    aria-label={`Select ${one.name}`}
                    checked={chosen.includes(one.id)}
                    onChange={(event) => setChosen(event.target.checked ? [...chosen, one.id] : chosen.filter((id) => id !== one.id))}
                  />
                ),
              },
              {
                head: "Name",
                cell: (one) => (
                  <span className="flex max-w-[34rem] items-center gap-2">
                    <Link
                      className="link truncate font-medium"
                      title={one.name}
                      to="/experiments/$id"
                      params={{ id: one.id }}
                      search={one.stage === "deleted" ? { view: "deleted" } : {}}
                    >
                      {one.name}
                    </Link>
                    {one.stage === "deleted" && <Badge tone="warn">deleted</Badge>}
                    {one.running > 0 && <Badge tone="info">{count(one.running)} running</Badge>}
                  </span>
                ),
              },
              { head: "Runs", right: true, cell: (one) => (one.runs > 100_000 ? "100,000+" : count(one.runs)) },
              { head: "Last activity", cell: (one) => <Time at={iso(one.lastActivity)} /> },
              { head: "Created", cell: (one) => <Time at={iso(one.createdAt)} /> },
              {
                head: "Tags",
                wide: true,
                cell: (one) => (
                  <span className="flex flex-wrap items-center gap-1.5">
                    {Object.entries(one.tags)
                      .filter(([key]) => isShown(key))
                      .map(([key, value]) => (
                        <Badge key={key} title={`${key}: ${value}`}>
                          <span className="max-w-60 truncate">
                            {key}: {value}
                          </span>
                        </Badge>
                      ))}
                    {one.tags["mlflow.note.content"] !== undefined && <span className="line-clamp-1 text-muted">{one.tags["mlflow.note.content"]}</span>}
                  </span>
                ),
              },
              {
                head: "",
                right: true,
                cell: (one) =>
                  one.stage === "deleted" ? (
                    <button
                      type="button"
                      className="link"
                      onClick={() => {
                        setFailure(undefined);
                        did("experiments/restore", { experiment_id: one.id }).catch((error: unknown) => setFailure(reasonOf(error)));
                      }}
                    >
                      Restore
                    </button>
                  ) : (
                    <span className="inline-flex items-center gap-3">
                      <AskFor
                        plain
                        button="Rename"
                        title={`Rename ${one.name}`}
                        fields={[{ name: "name", label: "Name", value: one.name }]}
                        done="Rename"
                        run={({ name = "" }) => did("experiments/update", { experiment_id: one.id, new_name: name.trim() })}
                      />
                      <AskFor
                        plain
                        button="Tag"
                        title={`Tag ${one.name}`}
                        about="An empty value takes the tag away."
                        fields={[
                          { name: "key", label: "Key", placeholder: "team" },
                          { name: "value", label: "Value" },
                        ]}
                        done="Tag"
                        run={({ key = "", value = "" }) =>
                          value === ""
                            ? did("experiments/delete-experiment-tag", { experiment_id: one.id, key: key.trim() })
                            : did("experiments/set-experiment-tag", { experiment_id: one.id, key: key.trim(), value })
                        }
                      />
                      <Ask button="Delete" title={`Delete ${one.name}?`} run={() => did("experiments/delete", { experiment_id: one.id })}>
                        Its {count(one.runs)} runs are deleted with it. Both can be restored from the view of deleted experiments, until they are freed for
                        good.
                      </Ask>
                    </span>
                  ),
              },
            ]}
          />
        )}
      </Panel>
    </Page>
  );
}

const iso = (ms: number | null): string | null => (ms === null || ms === 0 || Math.abs(ms) > 8.64e15 ? null : new Date(ms).toISOString());

function Pick({ label, value, of, onChange }: { label: string; value: string; of: Record<string, string>; onChange(value: string): void }) {
  return (
    <label className="flex items-center gap-1.5 text-muted">
      {label}
      <select className="field" value={value} onChange={(event) => onChange(event.target.value)}>
        {Object.entries(of).map(([key, name]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Searches when typing pauses. */
function SearchBox({ value, onChange }: { value: string; onChange(value: string): void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what is typed starts the wait
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => onChange(text), 250);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <input
      type="search"
      className="field w-56"
      aria-label="Search experiments"
      placeholder="Search by name"
      value={text}
      onChange={(event) => setText(event.target.value)}
    />
  );
}
