/** What of a model's inputs can be attributed to: features, or the columns of its tensors; and how rows of their values become tensors. */
import type { Columns } from "@millrace/sdk/api";
import { type Cell, dataOf, type Feature, featureTensors, type ServedModel, type Tensor, type TensorSpec } from "../inference/index.js";
import { ApiError } from "../platform/index.js";
import type { Origin } from "./flow.js";

export interface Places {
  /** In the order of a row's cells. */
  names: readonly string[];
  /** Where they go: which of them an input tensor is, or its columns are. */
  origins: ReadonlyMap<string, Origin>;
  tensors(rows: readonly (readonly Cell[])[]): Tensor[];
}

const mostPlaces = 1_000;
const unexplained = (why: string) => new ApiError(422, "NOT_EXPLAINABLE", `The prediction can't be explained: ${why}.`);

/** Throws a 422 where the model does not say enough of itself. */
export function placesOf(model: ServedModel, features: readonly Feature[] | undefined): Places {
  if (model.inputs?.some(({ shape }) => shape[0] !== -1)) throw unexplained("its model takes no several rows at once");
  const places = features === undefined ? ofTensors(model.inputs) : ofFeatures(model.inputs, features);
  if (places.names.length > mostPlaces) throw unexplained(`its model takes ${places.names.length} values a row; at most ${mostPlaces} are attributed to`);
  return places;
}

function ofFeatures(inputs: ServedModel["inputs"], features: readonly Feature[]): Places {
  const names = features.map(({ name }) => name);
  const make = featureTensors(inputs, features);
  const [only] = inputs ?? [];
  const isMatrix = inputs?.length === 1 && only !== undefined && !names.includes(only.name);
  return {
    names,
    origins: isMatrix
      ? new Map([[only.name, columnsOf(names.map((_, player) => player))]])
      : new Map(names.map((name, player) => [name, { kind: "one", player }])),
    tensors(rows) {
      const columns: Columns = Object.fromEntries(names.map((name, at) => [name, rows.map((row) => plain(row[at]))]));
      return make(columns, rows.length);
    },
  };
}
const columnsOf = (players: readonly number[]): Origin => ({ kind: "columns", segments: players.map((player) => ({ player, width: 1 })) });
const plain = (cell: Cell | undefined) => (typeof cell === "bigint" ? Number(cell) : (cell ?? null));

function ofTensors(inputs: ServedModel["inputs"]): Places {
  if (inputs === null) throw unexplained("its model does not say what it takes");
  const names: string[] = [];
  const origins = new Map<string, Origin>();
  const placed: { spec: TensorSpec; from: number; width: number }[] = [];
  for (const spec of inputs) {
    const rest = spec.shape.slice(1);
    const width = rest.reduce((product, size) => product * size, 1);
    if (rest.some((size) => size < 0) || width < 1) throw unexplained(`its model takes "${spec.name}" in any width`);
    const from = names.length;
    placed.push({ spec, from, width });
    if (width === 1) {
      origins.set(spec.name, { kind: "one", player: from });
      names.push(spec.name);
    } else {
      origins.set(spec.name, rest.length === 1 ? columnsOf(Array.from({ length: width }, (_, at) => from + at)) : { kind: "mixed" });
      for (let at = 0; at < width; at++) names.push(`${spec.name}[${at}]`);
    }
    if (names.length > mostPlaces) break;
  }
  return {
    ...{ names, origins },
    tensors: (rows) =>
      placed.map(({ spec: { name, datatype, shape }, from, width }) => {
        const cells = rows.flatMap((row) => row.slice(from, from + width));
        return { name, datatype, shape: [rows.length, ...shape.slice(1)], data: dataOf(datatype, cells) };
      }),
  };
}

/** A row's cells, of what the log keeps of a prediction: by feature, or by input with a value or the list of its values. */
export function cellsOf(places: Places, logged: Readonly<Record<string, unknown>>): Cell[] {
  return places.names.map((name) => {
    if (Object.hasOwn(logged, name)) return cell(logged[name]);
    const within = /^(.+)\[([0-9]+)\]$/.exec(name);
    const list = within?.[1] === undefined ? undefined : logged[within[1]];
    return cell(Array.isArray(list) ? list[Number(within?.[2])] : null);
  });
}
function cell(value: unknown): Cell {
  if (Array.isArray(value)) return value.length === 1 ? cell(value[0]) : null;
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" || typeof value === "bigint" ? value : null;
}
