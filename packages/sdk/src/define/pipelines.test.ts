import { expect, test } from "vitest";
import {
  approval,
  championModel,
  checkProject,
  choose,
  command,
  compile,
  dataset,
  float,
  float64,
  int,
  int64,
  Json,
  json,
  list,
  Metrics,
  Model,
  many,
  map,
  month,
  ProjectError,
  partitions,
  pipeline,
  project,
  python,
  schema,
  step,
  string,
  Table,
  table,
  text,
  trigger,
  value,
  waitFor,
  when,
} from "../index.js";
import type { NodeSpec } from "../spec.js";

const trips = schema({ name: "trips", columns: { city: string(), km: float64() } });
const tripData = dataset({ name: "trips", schema: trips });

const clean = step({
  name: "clean",
  in: { rows: table({ km: float64() }), least: float({ default: 0, min: 0 }) },
  out: { rows: table({ km: float64() }), counts: Metrics },
  cache: { for: "7d" },
  run: async ({ inputs, params, progress }) => {
    const rows = (await inputs.rows.rows()).filter((row) => (row.km ?? 0) >= params.least);
    progress(1, 1);
    return { rows, counts: { rows: rows.length } };
  },
});
const train = python({
  script: "models.fit:train",
  requirements: "requirements.lock",
  in: { rows: Table, depth: int({ min: 1, max: 20 }), start: Model },
  out: { model: Model, metrics: Metrics },
  resources: { cpus: 2, memory: "4GiB" },
  retries: { times: 2, on: ["out_of_memory"] },
  secrets: ["API_KEY"],
  group: { name: "gpu", limit: 1 },
});
const blend = python({ script: "blend.py", in: { models: many(Model), weights: json<number[]>() }, out: { model: Model } });
const weigh = step({ name: "weigh", in: { n: int() }, out: { weights: json<number[]>() }, run: ({ params }) => ({ weights: Array(params.n).fill(1) }) });
const tell = command({ command: ["curl", "-d", "@{inputs.report}", "https://example.org"], name: "tell", in: { report: Json } });

/** A pipeline that is used alone and within another one. */
const prepared = pipeline({ name: "prepared", params: { until: month(), least: float({ default: 0 }) } }, ({ until, least }) =>
  clean({ rows: tripData.upTo(until), least }),
);

const whole = pipeline(
  { name: "whole", params: { until: month({ default: "latest" }), depths: list({ default: [2, 4] }), size: text({ default: "small" }) } },
  ({ until, depths, size }) => {
    const { rows, counts } = prepared({ until }, { name: "prep" });
    const start = championModel("trip", { optional: true });
    const fits = map(depths, (depth) => train({ rows, depth, start }), { name: "fit", atOnce: 2 });
    const { weights } = weigh({ n: 2 });
    const { model } = blend({ models: fits.model, weights }, { retries: 3, timeout: "1h", after: waitFor({ event: "alias.set", timeout: "2d" }) });
    const large = when(value(size).is("large"), () => blend({ models: fits.model, weights }));
    const chosen = choose(large.model, model);
    const counted = map(partitions(tripData), (key) => clean({ rows: tripData.partition(key) }).counts, { name: "each" });
    when([value(counts, "rows").above(10), approval({ question: "Shall it go out?", role: "admin", timeout: "7d" })], () => {
      tell({ report: weights });
    });
    return { chosen, counted };
  },
);
const folder = import.meta.dirname;
const nodesOf = (definition: { spec: object }): NodeSpec[] => {
  const spec = compile(project({ name: "p", definitions: [whole] }), { folder }).pipelines.find((one) => one === definition.spec || one.name === "whole");
  return spec?.nodes ?? [];
};
const byId = (nodes: readonly NodeSpec[]) => Object.fromEntries(nodes.map((node) => [node.id, node]));

test("steps of each kind have their options, defaults of the definition and what the call says", () => {
  const nodes = byId(nodesOf(whole));
  expect(nodes["prep.clean"]).toMatchObject({
    kind: "typescript",
    config: { bundle: expect.stringMatching(/^pipelines\.test\.ts:\d+$/), step: "clean" },
    inputs: { rows: { node: "prep.read_trips", output: "rows" }, least: { literal: 0 } },
    takes: { rows: { type: "table" }, least: { type: "float" } },
    outputs: [
      { name: "rows", type: "table" },
      { name: "counts", type: "metrics" },
    ],
    cache: { for: "7d" },
  });
  expect(nodes.blend).toMatchObject({
    inputs: { models: { node: "fit", output: "model" }, weights: { node: "weigh", output: "weights" } },
    takes: { models: { type: "model", many: true }, weights: { type: "json" } },
    retries: { times: 3 },
    timeout: "1h",
    after: ["wait"],
  });
  expect(nodes.champion_trip).toMatchObject({ kind: "read_model", config: { model: "trip", alias: "champion", optional: true } });
  expect(nodes.wait).toMatchObject({ kind: "wait_event", config: { type: "alias.set" }, timeout: "2d" });
});

test("a map holds the steps of its body, which take its item and what stands outside, and gives lists", () => {
  const nodes = byId(nodesOf(whole));
  expect(nodes.fit).toMatchObject({
    kind: "map",
    inputs: { over: { param: "depths" } },
    outputs: [
      { name: "model", type: "model" },
      { name: "metrics", type: "metrics" },
    ],
    config: {
      atOnce: 2,
      gives: { model: { node: "train", output: "model" }, metrics: { node: "train", output: "metrics" } },
      body: [
        {
          id: "train",
          kind: "python",
          config: { script: "models.fit:train", requirements: "requirements.lock" },
          inputs: { rows: { node: "prep.clean", output: "rows" }, depth: { item: "fit" }, start: { node: "champion_trip", output: "model" } },
          resources: { cpus: 2, memory: "4GiB" },
          retries: { times: 2, on: ["out_of_memory"] },
          secrets: ["API_KEY"],
          group: { name: "gpu", limit: 1 },
        },
      ],
    },
  });
  expect(nodes.each).toMatchObject({
    inputs: { over: { node: "partitions_trips", output: "keys" } },
    config: { body: [{ kind: "read_dataset", inputs: { partition: { item: "each" } } }, {}], gives: { result: { node: "clean", output: "counts" } } },
  });
});

test("conditions stand at the steps of their branch, a choice joins branches, and a yes is a condition", () => {
  const nodes = byId(nodesOf(whole));
  expect(nodes.blend_2?.when).toEqual([{ of: { param: "size" }, is: "equal", value: "large" }]);
  expect(nodes.choose).toMatchObject({ inputs: { first: { node: "blend_2", output: "model" }, second: { node: "blend", output: "model" } } });
  expect(nodes.approval).toMatchObject({ kind: "approval", config: { question: "Shall it go out?", role: "admin" }, timeout: "7d" });
  expect(nodes.tell?.when).toEqual([
    { of: { node: "prep.clean", output: "counts" }, path: "rows", is: "greater", value: 10 },
    { of: { node: "approval", output: "decision" }, path: "approved", is: "equal", value: true },
  ]);
  const either = pipeline({ name: "either", params: { n: int() } }, ({ n }) => {
    const c = value(n).atLeast(3);
    return when(
      c,
      () => weigh({ n }),
      () => weigh({ n: 3 }),
    );
  });
  const [three, less, join] = either.spec.nodes;
  expect([three?.when, less?.when, join?.kind]).toEqual([
    [{ of: { param: "n" }, is: "greater_or_equal", value: 3 }],
    [{ of: { param: "n" }, is: "less", value: 3 }],
    "choose",
  ]);
});

test("a document of another language is told what it got wrong, and where", () => {
  const problems = (change: (nodes: Record<string, NodeSpec>, spec: ReturnType<typeof compile>) => void): string => {
    const spec = compile(project({ name: "p", definitions: [whole] }), { folder });
    const pipeline = spec.pipelines.find((one) => one.name === "whole");
    change(byId(pipeline?.nodes ?? []), spec);
    return new ProjectError(checkProject(spec)).message;
  };
  const at = (nodes: Record<string, NodeSpec>, id: string): NodeSpec => {
    const node = nodes[id];
    if (node === undefined) throw new Error(`no ${id}`);
    return node;
  };
  expect(problems((nodes) => void Object.assign(at(nodes, "blend").inputs, { models: { node: "weigh", output: "weights" } }))).toMatch(
    /^pipelines\.test\.ts:\d+: the step "blend" of the pipeline "whole" takes a list of models, as a map gives it, as "models" and is given a json$/,
  );
  expect(problems((nodes) => void Object.assign(at(nodes, "blend").inputs, { models: { node: "train", output: "model" } }))).toMatch(
    /takes "models" from "train", which is in the body of a map: take it from what the map gives/,
  );
  expect(problems((nodes) => void Object.assign(at(nodes, "weigh").inputs, { n: { item: "fit" } }))).toMatch(
    /the item of the map "fit", whose body it is not in/,
  );
  expect(problems((nodes) => void Object.assign(at(nodes, "weigh").inputs, { n: { literal: 1.5 } }))).toMatch(/has for "n" what is 1.5, not a whole number/);
  expect(problems((nodes) => void Object.assign(at(nodes, "weigh").inputs, { m: { literal: 1 } }))).toMatch(/takes no input "m": it takes n/);
  expect(problems((nodes) => void Object.assign(at(nodes, "blend"), { after: ["wai"] }))).toMatch(/stands after a step that is not there: .*is "wait" meant\?/);
  expect(problems((nodes) => void Object.assign(at(nodes, "blend"), { timeout: "soon" }))).toMatch(/the timeout of the step "blend" .* is "soon"/);
  expect(problems((nodes) => void Object.assign(at(nodes, "tell").config, { command: ["x", "{outputs.y}"] }))).toMatch(
    /\{outputs\.y\} in its command: there is no output "y"/,
  );
  expect(problems((nodes) => void Object.assign(at(nodes, "fit").config, { gives: {} }))).toMatch(/does not say which step of its body gives it/);
  expect(problems((nodes) => void Object.assign(at(nodes, "wait").config, { type: "something" }))).toMatch(/events have names as dataset\.version_accepted/);
  expect(problems((_, spec) => void Object.assign(spec.pipelines.find((one) => one.name === "whole")?.params[1] ?? {}, { min: 3 }))).toMatch(
    /"depths" .* is of type list: min and max are for numbers/,
  );
});

test("wiring of pipelines that can't work does not compile", () => {
  pipeline({ name: "wrong", params: { depths: list({ default: [1] }), name: text() } }, ({ depths, name }) => {
    const rows = tripData.upTo("2013-03");
    const fits = map(depths, (depth) => train({ rows, depth, start: championModel("x") }));
    const { weights } = weigh({ n: 1 });
    // @ts-expect-error: a list is no model
    train({ rows, depth: 1, start: fits.model });
    // @ts-expect-error: a model is no list
    blend({ models: championModel("x"), weights });
    // @ts-expect-error: metrics are no models
    blend({ models: fits.metrics, weights });
    // @ts-expect-error: a text is no whole number
    weigh({ n: name });
    // @ts-expect-error: an item of numbers is no partition's key
    map(depths, (depth) => clean({ rows: tripData.partition(depth) }).rows);
    // @ts-expect-error: a text is compared with texts
    when(value(name).is(3), () => weigh({ n: 1 }));
    // @ts-expect-error: a text has no order
    value(name).above(3);
    // @ts-expect-error: not a size
    weigh({ n: 1 }, { resources: { memory: "4 GB" } });
    const other = { model: championModel("x") };
    when(
      value(name).is("a"),
      () => weigh({ n: 1 }),
      // @ts-expect-error: the branches give different things
      () => other,
    );
    // @ts-expect-error: the param "until" is needed
    prepared({});
    // @ts-expect-error: no such output
    prepared({ until: "2013-03" }).rowz;
  });
  step({ name: "says", run: ({ log }) => log("done") });
  step({
    name: "wrong",
    in: { rows: table({ km: float64() }), n: int() },
    out: { rows: table({ id: int64() }), sizes: json<number[]>() },
    // @ts-expect-error: sizes are numbers
    run: async ({ inputs, params, outputs }) => {
      // @ts-expect-error: a number
      const name: string = params.n;
      // @ts-expect-error: the table has no such column
      const found = (await inputs.rows.rows())[0]?.speed;
      // @ts-expect-error: an id is a number
      await outputs.rows.write([{ id: "one" }]);
      return { sizes: [name, found] };
    },
  });
  trigger({ name: "t", run: whole, when: [], params: { depths: [1, 2] } });
  // @ts-expect-error: not a list
  trigger({ name: "t", run: whole, when: [], params: { depths: 1 } });
  // @ts-expect-error: a whole number
  expect(int({ default: "six" })).toBeDefined();
});
