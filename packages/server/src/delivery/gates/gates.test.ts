import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { FeatureComparison, Promotion, PromotionDetail } from "@millrace/sdk/api";
import type { EnvironmentGate, EnvironmentSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openShadeLoop, type ShadeLoop } from "../../monitoring/testing.js";

let folder: string;
let loop: ShadeLoop;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-gates-"));
  loop = await openShadeLoop(folder, "2024-01-01T00:00:00Z");
  await loop.apply({});
  await arrive("one.parquet");
  expect(await train()).toBe("shade/1");
});
afterAll(async () => {
  await loop?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** What is dark is what the model says, but for some. */
const arrive = (file: string) =>
  loop.arrive(file, `select case i % 2 when 0 then 'red' else 'blue' end as color, i / 150.0 - 2 as x, (i > 300 or i % 7 = 0) as dark from range(600) t(i)`);
async function train(params: Record<string, string> = {}): Promise<string | null> {
  const { id } = await loop.send<{ id: string }>("POST", "/api/v1/pipelines/shade/runs", { params });
  const { modelVersion = null } = (await loop.finished(id)) as { modelVersion?: string | null };
  return modelVersion;
}
/** What each gate says of a version. */
async function judged(version: number, gates: EnvironmentGate[]): Promise<[state: string, ...said: string[]]> {
  const only: EnvironmentSpec = {
    name: "only",
    after: [],
    gates,
    freezes: [{ from: "2000-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z", reason: "for ever" }],
    windows: [],
  };
  await loop.apply({ environments: [only], ...dataset });
  const { id } = await loop.send<Promotion>("POST", "/api/v1/promotions", { environment: "only", model: "shade", version });
  const get = () => loop.get<PromotionDetail>(`/api/v1/promotions/${id}`);
  await expect.poll(async () => (await get()).message).not.toBeNull();
  const { state, decisions } = await get();
  if (state === "waiting") await loop.send("POST", `/api/v1/promotions/${id}/cancel`, {});
  return [state, ...decisions.flatMap(({ gate, passed, message }) => (gate === null ? [] : [`${passed ? "yes" : "no"}: ${message}`]))];
}
let dataset: object = {};

test("metrics and slices of a version's evaluation decide, and one that is not known does not pass", async () => {
  expect(
    await judged(1, [
      { kind: "at_least", metric: "auc", value: 0.6 },
      { kind: "no_slice_worse", metric: "auc", by: 0, minRows: 10 },
    ]),
  ).toEqual([
    "waiting",
    expect.stringMatching(/^yes: The candidate's auc is 0\.\d+; asked is at least 0\.6\.$/),
    "yes: There is no champion to compare slices with.",
  ]);
  expect(
    await judged(1, [
      { kind: "at_most", metric: "log_loss", value: 0.01 },
      { kind: "at_least", metric: "fame", value: 1, severity: "warn" },
    ]),
  ).toEqual(["refused", expect.stringContaining("no: The candidate's log_loss is"), expect.stringContaining('no: A warning: There is no metric "fame"')]);
});

test("data is validated where each version of a dataset that a model was made from was looked at by a schema", async () => {
  const gate: EnvironmentGate = { kind: "data_validated", accepted: false };
  expect(await judged(1, [gate])).toEqual([
    "refused",
    expect.stringContaining("no: Of 1 versions of datasets 1 are not good: shades/1 was not validated: its dataset has no schema"),
  ]);
  dataset = {
    datasets: [{ name: "shades", mode: "append", schema: "shade_rows" }],
    schemas: [{ name: "shade_rows", columns: { x: { type: "float64", max: 1_000 } }, unexpectedColumns: "allow" }],
  };
  await loop.apply(dataset);
  // What a person lets in counts where the gate says so.
  const refused = await loop
    .arrive("two.parquet", "select 'red' as color, 2000.0 + i as x, i % 2 = 0 as dark from range(300) t(i)")
    .then(() => "it was taken", String);
  expect(refused).toContain("422");
  await loop.send("POST", "/api/v1/datasets/shades/versions/2/accept", { reason: "the sun was bright" });
  expect(await train({ model: "reversed" })).toBe("shade/2");
  expect(await judged(2, [gate])).toEqual(["refused", expect.stringMatching(/shades\/\d+ was refused, and local accepted it: the sun was bright/)]);
  expect(await judged(2, [{ ...gate, accepted: true }])).toEqual([
    "waiting",
    expect.stringMatching(/^yes: Validation looked at shades\/\d+; people accepted shades\/\d+ by local\.$/),
  ]);
});

test("requests that try a version are no part of what is judged later, and wrong ones are told in words", async () => {
  const rows = [{ color: "red", x: 1, asked: "2024-01-01T00:00:00Z" }];
  const [state, ...said] = await judged(1, [
    { kind: "load", perSecond: 20, p99Ms: 5_000, for: "1s", requests: [{ rows }] },
    { kind: "load", perSecond: 20, p99Ms: 0.001, for: "1s", requests: [{ rows }] },
    { kind: "smoke", requests: [{ rows: [{ colour: "red" }] }] },
    {
      kind: "smoke",
      requests: [
        { rows, expect: { odds: [1] } },
        { rows, expect: { probability: [null] } },
      ],
    },
    { kind: "fits", memory: "1MiB" },
    { kind: "same_signature" },
  ]);
  expect([state, ...said]).toEqual([
    "refused",
    expect.stringContaining("yes: shade answered 20 of 20 requests"),
    expect.stringContaining("asked is 20 a second with a p99 of at most 0.001 ms"),
    expect.stringContaining('there is no input "colour"; it takes asked, color, x'),
    expect.stringMatching(/^no: 2 of 2 requests .* there is no output odds, there is probability, prediction_id; .*expected is null/),
    expect.stringContaining("yes: It is loaded with all that it needs"),
    "yes: at shade it takes and gives what v1 does.",
  ]);
  const compared = await loop.send<FeatureComparison>("POST", "/api/v1/feature-services/shade_features/check", { endpoint: "shade", sample: 100 });
  expect(compared.rows).toBe(0);
});
