import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Lineage, Run } from "@millrace/sdk/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openShadeLoop, type ShadeLoop } from "../monitoring/testing.js";

let folder: string;
let loop: ShadeLoop;
let run: Run;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  loop = await openShadeLoop(folder, "2024-01-01T00:00:00Z");
  await loop.apply({ monitors: [], triggers: [] });
  for (const [file, rows] of Object.entries({ one: 100, two: 200 })) {
    await loop.arrive(`${file}.parquet`, `select null::varchar as color, i / 50.0 - 1 as x, i > 50 as dark from range(${rows}) t(i)`);
  }
  run = await loop.finished((await loop.send<Run>("POST", "/api/v1/pipelines/shade/runs", {})).id);
  await loop.predict("2024-01-01T12:00:00Z", "asked/today", [
    { color: "red", x: 0 },
    { color: null, x: 1 },
  ]);
  await loop.label("asked/today", [true, false]);
});
afterAll(async () => {
  await loop.stop();
  await rm(folder, { recursive: true, force: true });
});

/** What a node was made from, by kind and label. */
function madeFrom({ nodes, edges }: Lineage, id: string): string[] {
  const from = edges.filter((edge) => edge.from === id).map((edge) => edge.to);
  return nodes.flatMap((node) => (from.includes(node.id) ? [`${node.kind} ${node.label}`] : [])).sort();
}

test("a prediction leads back to its model version, run, steps, dataset version, files and commit", async () => {
  const found = await loop.get<Lineage>(`/api/v1/lineage/prediction/${encodeURIComponent("asked/today:0")}`);
  expect(found.root).toBe("prediction/asked/today:0");
  expect(found.nodes.find((node) => node.id === found.root)?.facts).toMatchObject({ endpoint: "shade", at: "2024-01-01T12:00:00.000Z", label: 1 });
  expect(madeFrom(found, found.root)).toEqual(["model_version shade v1"]);
  expect(madeFrom(found, "model_version/shade/1")).toEqual([`run shade ${run.id}`]);
  expect(madeFrom(found, `run/${run.id}`)).toEqual(["project_version test v1", "step register"]);
  expect(madeFrom(found, "project_version/test/1")).toEqual(["commit c0ffee"]);
  expect(madeFrom(found, `step/${run.id}/register`)).toEqual(["step evaluate", "step train"]);
  expect(madeFrom(found, `step/${run.id}/train`)).toEqual(["step read"]);
  expect(madeFrom(found, `step/${run.id}/read`)).toEqual(["dataset_version shades v2"]);
  expect(madeFrom(found, "dataset_version/shades/2")).toEqual(["file one.parquet", "file two.parquet"]);
  const ids = new Set(found.nodes.map((node) => node.id));
  for (const { from, to } of found.edges) expect([ids.has(from), ids.has(to)]).toEqual([true, true]);
});

test("lineage begins anywhere on the way, and what is not there is told as such", async () => {
  expect((await loop.get<Lineage>("/api/v1/lineage/dataset_version/shades/1")).nodes.map((node) => node.label)).toEqual(["shades v1", "one.parquet"]);
  expect((await loop.get<Lineage>("/api/v1/lineage/model_version/shade/1")).root).toBe("model_version/shade/1");
  expect((await loop.get<Lineage>(`/api/v1/lineage/run/${run.id}`)).root).toBe(`run/${run.id}`);
  for (const [route, status] of [
    ["prediction/none", 404],
    ["model_version/shade/7", 404],
    ["model_version/shade", 404],
    ["dataset_version/shades/99", 404],
    ["run/none", 404],
    ["mood/good", 400],
  ] as const) {
    await expect(loop.get(`/api/v1/lineage/${route}`), route).rejects.toThrow(`answered ${status}`);
  }
});
