/** The columns of the table of runs: which there can be, how the address writes them, and what stands in a cell. */
import type { RunColumns, RunTableRow } from "@millrace/sdk/api";
import { duration, exact, number, relative } from "../format";

export type Group = "attributes" | "metrics" | "params" | "tags";
export interface RunColumn {
  /** `metrics.val/loss`; the table's own are `attributes.<name>`. */
  id: string;
  group: Group;
  name: string;
  width: number;
  pinned: boolean;
}

/** What the table knows by itself. `of` is what the server is asked for; what has no `order` can't be ordered by. */
const own: Record<string, { head: string; order?: string; of?: string; width: number }> = {
  start_time: { head: "Started", order: "attributes.start_time", width: 96 },
  duration: { head: "Took", order: "attributes.duration", width: 96 },
  end_time: { head: "Ended", order: "attributes.end_time", width: 96 },
  status: { head: "Status", order: "attributes.status", width: 96 },
  user_id: { head: "User", order: "attributes.user_id", width: 90 },
  experiment_id: { head: "Experiment", order: "attributes.experiment_id", width: 130 },
  run_id: { head: "Run id", order: "attributes.run_id", width: 120 },
  datasets: { head: "Datasets", of: "datasets", width: 150 },
  models: { head: "Models", of: "models", width: 150 },
  source: { head: "Source", order: "tags.`mlflow.source.name`", of: "tags.mlflow.source.name", width: 130 },
  commit: { head: "Commit", order: "tags.`mlflow.source.git.commit`", of: "tags.mlflow.source.git.commit", width: 90 },
  description: { head: "Description", order: "tags.`mlflow.note.content`", of: "tags.mlflow.note.content", width: 180 },
};
export const ownNames = Object.keys(own);
const ownOf = (name: string) => (Object.hasOwn(own, name) ? own[name] : undefined);

const groups: Group[] = ["attributes", "metrics", "params", "tags"];
export function column(id: string, width?: number, pinned = false): RunColumn | undefined {
  const at = id.indexOf(".");
  const group = groups.find((one) => one === id.slice(0, at));
  const name = id.slice(at + 1);
  if (group === undefined || name === "") return undefined;
  if (group === "attributes" && ownOf(name) === undefined) return undefined;
  return { id, group, name, pinned, width: width ?? (group === "attributes" ? (ownOf(name)?.width ?? 100) : group === "metrics" ? 104 : 116) };
}
export const headOf = ({ group, name }: Pick<RunColumn, "group" | "name">): string => (group === "attributes" ? (ownOf(name)?.head ?? name) : name);
export const kindOf = ({ group }: Pick<RunColumn, "group">): string => (group === "attributes" ? "" : group.slice(0, -1));
/** As a filter and an order write it; undefined where there is no order by it. */
export const orderOf = ({ group, name }: Pick<RunColumn, "group" | "name">): string | undefined =>
  group === "attributes" ? ownOf(name)?.order : `${group}.${quotedKey(name)}`;
export const quotedKey = (name: string): string => (/^[\w./:-]+$/.test(name) ? name : `\`${name}\``);
/** What the server is asked for, so that the columns can be drawn. */
export const asked = (columns: RunColumn[]): string[] => [
  ...new Set(columns.flatMap(({ id, group, name }) => (group === "attributes" ? (ownOf(name)?.of ?? []) : id))),
];

// --------------------------------------------------------------------------------------- in the address
const escaped = (id: string): string =>
  id
    .replaceAll(/[%,~!]/g, encodeURIComponent)
    .replaceAll("~", "%7E")
    .replaceAll("!", "%21");
/** `!metrics.auc~140,params.lr`: pinned, and 140 pixels wide. */
export const writeColumns = (columns: RunColumn[]): string =>
  columns.map((one) => `${one.pinned ? "!" : ""}${escaped(one.id)}${one.width === column(one.id)?.width ? "" : `~${Math.round(one.width)}`}`).join(",");
export function readColumns(text: string): RunColumn[] {
  const found = new Map<string, RunColumn>();
  for (const part of text.split(",").slice(0, 300)) {
    const match = /^(!?)([^~!]+)(?:~(\d{2,4}))?$/.exec(part);
    if (match?.[2] === undefined) continue;
    const one = column(decoded(match[2]), match[3] === undefined ? undefined : Number(match[3]), match[1] === "!");
    if (one !== undefined) found.set(one.id, one);
  }
  return pinnedFirst([...found.values()]);
}
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
export const pinnedFirst = (columns: RunColumn[]): RunColumn[] => [...columns.filter((one) => one.pinned), ...columns.filter((one) => !one.pinned)];

/** Where nothing was chosen: what most runs have. */
export function usualColumns(known: RunColumns | undefined, several: boolean): RunColumn[] {
  const most = (of: Record<string, number> | undefined, count: number) =>
    Object.entries(of ?? {})
      .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
      .slice(0, count)
      .map(([key]) => key)
      .sort();
  const ids = [
    ...(several ? ["attributes.experiment_id"] : []),
    "attributes.start_time",
    "attributes.duration",
    "attributes.user_id",
    ...(known?.datasets ? ["attributes.datasets"] : []),
    ...(known?.models ? ["attributes.models"] : []),
    ...most(known?.metrics, 6).map((key) => `metrics.${key}`),
    ...most(known?.params, 6).map((key) => `params.${key}`),
  ];
  return ids.flatMap((id) => column(id) ?? []);
}

// ------------------------------------------------------------------------------------------------- cells
export interface Cell {
  text: string;
  title?: string;
}
export function cellOf(run: RunTableRow, { group, name }: RunColumn, now: number): Cell {
  if (group === "metrics") return measured(run.metrics[name]);
  if (group === "params") return shown(run.params[name]);
  if (group === "tags") return shown(run.tags[name]);
  switch (name) {
    case "start_time":
      return moment(run.startTime, now);
    case "end_time":
      return run.endTime === null ? nothing : moment(run.endTime, now);
    case "duration": {
      const ms = run.endTime === null ? (run.status === "RUNNING" ? Math.max(0, now - run.startTime) : null) : run.endTime - run.startTime;
      return ms === null ? nothing : { text: duration(ms) };
    }
    case "status":
      return { text: run.status.toLowerCase() };
    case "user_id":
      return shown(run.user || undefined);
    case "experiment_id":
      return { text: run.experimentId };
    case "run_id":
      return { text: run.id, title: run.id };
    case "datasets":
      return shown(run.datasets?.map((one) => (one.context === null ? one.name : `${one.name} (${one.context})`)).join(", ") || undefined);
    case "models":
      return shown(run.models?.map((one) => one.name).join(", ") || undefined);
    case "source":
      return shown(run.tags["mlflow.source.name"]);
    case "commit": {
      const commit = run.tags["mlflow.source.git.commit"];
      return commit === undefined ? nothing : { text: commit.slice(0, 8), title: commit };
    }
    default:
      return shown(run.tags["mlflow.note.content"]);
  }
}
const nothing: Cell = { text: "" };
const shown = (value: string | undefined): Cell => (value === undefined ? nothing : { text: value, title: value });
const measured = (value: number | string | undefined): Cell =>
  value === undefined ? nothing : { text: typeof value === "number" ? number(value) : value.replace("Infinity", "∞"), title: String(value) };
/** A client may have told a time that no calendar has. */
const moment = (at: number, now: number): Cell => (Math.abs(at) > 8.64e15 ? { text: String(at) } : { text: relative(at, now), title: exact(at) });
/** Numbers stand to the right. */
export const isRight = ({ group, name }: Pick<RunColumn, "group" | "name">): boolean => group === "metrics" || (group === "attributes" && name === "duration");
