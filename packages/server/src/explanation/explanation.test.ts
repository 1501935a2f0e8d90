import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { PredictionExplanation } from "@millrace/sdk/api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openShadeLoop } from "../monitoring/testing.js";
import { openServingServer, type ServingServer, shadeRequest } from "../serving/testing.js";

type Row = { color: string | null; x: number };
interface Answer {
  outputs: { name: string; data: string[] }[];
}
const explanationsIn = ({ outputs }: Answer): (PredictionExplanation & { error?: { code: string; message: string } })[] =>
  (outputs.find(({ name }) => name === "explanation")?.data ?? []).map((text) => JSON.parse(text));

describe("of an endpoint", () => {
  let folder: string;
  let server: ServingServer;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
    server = await openServingServer(path.join(folder, "data"), { kind: "system" });
    await server.apply();
    await server.registry.setAlias("shade", "champion", await server.register("trees"));
    await server.settled();
  });
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });
  async function post<T>(route: string, body: unknown): Promise<{ status: number; body: T }> {
    const answer = await fetch(`${server.url}${route}`, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
    return { status: answer.status, body: (await answer.json()) as T };
  }
  const infer = (rows: Row[], id: string, explain?: unknown) =>
    post<Answer>("/v2/models/shade/infer", { ...shadeRequest(rows, id), ...(explain === undefined ? {} : { parameters: { explain } }) });

  it("a prediction is answered though there is nothing to compare it with, and the explanation says so", async () => {
    const { status, body } = await infer([{ color: "green", x: -1 }], "first", true);
    expect(status).toBe(200);
    expect(explanationsIn(body)).toEqual([
      { error: { code: "CONFLICT", message: expect.stringContaining('of the predictions of "shade" there are 1: an explanation compares with at least 10') } },
    ]);
  });

  it("reasons are exact for trees behind columns of text and numbers, and sum to the score less the base", async () => {
    for (let at = 1; at < 10; at++) await infer([{ color: "green", x: -1 }], `green-${at}`);
    // What it compares with from now on: ten predictions of score 0.
    expect(explanationsIn((await infer([{ color: "blue", x: -1 }], "blue", true)).body)).toMatchObject([
      { method: "exact", value: -1, background: { from: "log", rows: 11 } },
    ]);
    const { body } = await infer(
      [
        { color: "red", x: 2 },
        { color: "blue", x: 0.5 },
      ],
      "two",
      true,
    );
    // Eleven rows, one of them the blue one: of x alone 2, of red 1 or 2 more, of both 4; and one more of what is blue.
    const [red, blue] = explanationsIn(body);
    expect(red).toMatchObject({
      ...{ endpoint: "shade", model: "shade", version: 1, method: "exact", scale: "log_odds", value: 4, output: { name: "probability", index: null } },
      ...{ background: { from: "log", rows: 11 }, rest: 0 },
      attributions: [
        { feature: "x", value: 2, attribution: expect.closeTo(2.5, 9), standardError: null },
        { feature: "color", value: "red", attribution: expect.closeTo((10 * 1.5 + 2.5) / 11, 9), standardError: null },
      ],
    });
    expect(red?.base).toBeCloseTo(-1 / 11, 9);
    expect(blue?.attributions.map(({ attribution }) => attribution).reduce((sum, one) => sum + one, blue?.base)).toBeCloseTo(1, 9);
  });

  it("a prediction of the log is explained as it was when it was asked, with the largest attributions if no more are wanted", async () => {
    const answer = await fetch(`${server.url}/api/v1/predictions/${encodeURIComponent("two:0")}/explanation?top=1`);
    const found = (await answer.json()) as PredictionExplanation;
    expect(found.attributions.map(({ feature }) => feature)).toEqual(["x"]);
    expect(found.rest).toBeCloseTo((10 * 1.5 + 2.5) / 11, 9);
    const asked = explanationsIn((await infer([{ color: "red", x: 2 }], "again", 1)).body);
    expect(asked).toEqual([found]);
    expect((await fetch(`${server.url}/api/v1/predictions/none/explanation`)).status).toBe(404);
  });

  it("MLflow's form is explained too", async () => {
    const { body } = await post<{ predictions: number[]; explanations: PredictionExplanation[] }>("/endpoints/shade/invocations", {
      ...{ dataframe_records: [{ color: "red", x: -1 }], explain: true },
    });
    expect(body.predictions).toEqual([expect.closeTo(1 / (1 + Math.exp(-1)), 6)]);
    expect(body.explanations).toMatchObject([{ method: "exact", attributions: [{ feature: "color" }, { feature: "x", attribution: 0 }] }]);
    const plain = await post<object>("/endpoints/shade/invocations", { dataframe_records: [{ color: "red", x: -1 }] });
    expect(Object.keys(plain.body)).toEqual(["predictions", "prediction_ids", "model_version"]);
  });

  it("what can't be asked is refused before anything is predicted", async () => {
    for (const explain of ["yes", 0, 1.5, 5_000]) expect((await infer([{ color: "red", x: 1 }], "refused", explain)).status, String(explain)).toBe(400);
    const many = Array.from({ length: 101 }, () => ({ color: "red", x: 1 }));
    expect(await infer(many, "refused", true)).toMatchObject({ status: 400, body: { error: "At most 100 rows of a request are explained, not 101." } });
    expect((await fetch(`${server.url}/api/v1/predictions/refused`)).status).toBe(404);
  });
});

it("is against the rows that a pipeline's version was trained on, and says with which error where the model is no tree", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  const loop = await openShadeLoop(folder, "2024-01-01T00:00:00Z");
  try {
    await loop.apply({});
    await loop.arrive("one.parquet", "select case i % 2 when 0 then 'red' else 'blue' end as color, i / 50.0 - 1 as x, i > 50 as dark from range(400) t(i)");
    await loop.finished((await loop.send<{ id: string }>("POST", "/api/v1/pipelines/shade/runs", {})).id);
    const { outputs } = await loop.send<Answer>("POST", "/v2/models/shade/infer", {
      ...shadeRequest([{ color: "red", x: -3 }]),
      parameters: { explain: true },
    });
    const [found] = explanationsIn({ outputs });
    expect(found).toMatchObject({ method: "sampled", scale: "output", background: { from: "training", rows: 100 } });
    expect(found?.attributions.map(({ feature }) => feature)).toEqual(["x", "color"]);
    for (const { standardError } of found?.attributions ?? []) expect(standardError).toBeGreaterThan(0);
    expect((found?.attributions ?? []).reduce((sum, { attribution }) => sum + attribution, found?.base ?? 0)).toBeCloseTo(found?.value ?? 0, 9);
  } finally {
    await loop.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
