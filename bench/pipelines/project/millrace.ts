/** The pipelines that are measured: steps that do next to nothing, so that what is left is the platform's own cost. */
import { int, Json, json, list, many, map, pipeline, project, python, step, Table } from "@millrace/sdk";

const first = step({ name: "first", out: { value: json<number>() }, run: () => ({ value: 0 }) });
const more = step({
  name: "more",
  in: { value: json<number>() },
  out: { value: json<number>() },
  run: async ({ inputs }) => ({ value: (await inputs.value.json()) + 1 }),
});
const work = step({ name: "work", in: { item: int() }, out: { value: json<number>() }, run: ({ params }) => ({ value: params.item * 2 }) });
const join = step({
  name: "join",
  in: { values: many(json<number>()) },
  out: { total: json<number>() },
  run: async ({ inputs }) => {
    let total = 0;
    for (const value of inputs.values) total += await value.json();
    return { total };
  },
});

const sequence = (name: string, count: number) =>
  pipeline({ name }, () => {
    let { value } = first({});
    for (let n = 1; n < count; n++) ({ value } = more({ value }, { name: `s${n}` }));
  });
const fan = (name: string) =>
  pipeline({ name, params: { items: list() } }, ({ items }) => {
    const { value } = map<number, { value: ReturnType<typeof work>["value"] }>(items, (item) => work({ item }));
    join({ values: value });
  });

export const sequence10 = sequence("sequence", 10);
export const sequence50 = sequence("sequence50", 50);
export const fanOut = fan("fan");

const firstPy = python({ name: "first", script: "first.py", in: {}, out: { value: Json } });
const morePy = python({ name: "more", script: "more.py", in: { value: Json }, out: { value: Json } });
export const sequencePy = pipeline({ name: "sequence_py" }, () => {
  let { value } = firstPy({});
  for (let n = 1; n < 10; n++) ({ value } = morePy({ value }, { name: `s${n}` }));
});

const makeTable = python({ name: "make", script: "make.py", requirements: "requirements.lock", in: { rows: int() }, out: { table: Table } });
const total = python({ name: "total", script: "total.py", requirements: "requirements.lock", in: { table: Table }, out: { total: Json } });
export const tableBetween = pipeline({ name: "table", params: { rows: int() } }, ({ rows }) => {
  total({ table: makeTable({ rows }).table });
});

export default project({ name: "bench", definitions: [sequence10, sequence50, fanOut, sequencePy, tableBetween] });
