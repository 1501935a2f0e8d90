/** What people do with versions and releases in the console, on a real server. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Endpoint, Promotion, Rollout, RolloutEvent } from "@millrace/sdk/api";
import { canonical, releaseOf, sha256 } from "@millrace/sdk/release";
import type { ProjectSpec } from "@millrace/sdk/spec";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { browserPath, openBrowser, startRealServer } from "./testing/browser";

/** Models, and the features that they take. */
const fixture = (name: string) => new URL(`../../server/src/inference/fixtures/${name}`, import.meta.url);
const none = { datasets: [], schemas: [], entities: [], featureViews: [], pipelines: [], monitors: [], triggers: [], files: [] };
const environment = { after: [], gates: [], freezes: [], windows: [] };
const project: ProjectSpec = {
  ...{ apiVersion: "millrace/v1", name: "shades", ...none, folder: "/nowhere", source: { commit: "5".repeat(40), dirty: false } },
  featureServices: [JSON.parse(readFileSync(fixture("shade_features.json"), "utf8"))],
  endpoints: [
    {
      ...{ name: "shade", model: "shade", service: "shade_features", log: {}, fallback: { probability: 0.5 } },
      rollout: { kind: "canary", steps: [0.5, { weight: 0.8, hold: true }, 1], each: "1h", judge: [{ kind: "error_rate_below", share: 0.05, minRequests: 5 }] },
    },
  ],
  inferenceGraphs: [{ name: "twice", node: { kind: "sequence", nodes: [{ kind: "endpoint", endpoint: "shade" }] } }],
  environments: [
    { ...environment, name: "dev" },
    { ...environment, name: "prod", after: ["dev"], approvals: { count: 1 } },
  ],
};

describe.skipIf(browserPath === undefined)("versions and releases in the console, on a real server", () => {
  let server: Awaited<ReturnType<typeof startRealServer>>;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let page: Page;
  let wrong: string[];

  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await fetch(server.url + path, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`);
    return answer.json();
  }
  const mlflow = <T>(route: string, body: unknown) => call<T>("POST", `/api/2.0/mlflow/${route}`, body);
  const endpoint = () => call<Endpoint>("GET", "/api/v1/endpoints/shade");
  async function register(model: string, alias: string): Promise<void> {
    const { run } = await mlflow<{ run: { info: { run_id: string; artifact_uri: string } } }>("runs/create", { experiment_id: "0" });
    const place = `${run.info.artifact_uri.replace("mlflow-artifacts:/", "")}/model/model.onnx`;
    const body = await readFile(fixture(`${model}.onnx`));
    expect((await fetch(`${server.url}/api/2.0/mlflow-artifacts/artifacts/${place}`, { method: "PUT", body })).ok).toBe(true);
    const source = { name: "shade", source: `runs:/${run.info.run_id}/model`, run_id: run.info.run_id };
    const made = await mlflow<{ model_version: { version: string } }>("model-versions/create", source);
    await call("PUT", `/api/v1/models/shade/aliases/${alias}`, { version: Number(made.model_version.version) });
  }
  const infer = (id: string, x: number) => {
    const inputs = [
      { name: "color", datatype: "BYTES", shape: [1], data: ["red"] },
      { name: "x", datatype: "FP64", shape: [1], data: [x] },
    ];
    return call<{ outputs: { data: number[] }[] }>("POST", "/v2/models/shade/infer", { id, inputs });
  };
  const open = (address: string) => page.goto(server.url + address, { waitUntil: "domcontentloaded" });
  /** Opens a dialog, says why, and has it done. */
  async function does(button: string, done: string, fields: Record<string, string> = {}): Promise<void> {
    await page.getByRole("button", { name: button, exact: true }).first().click();
    for (const [label, value] of Object.entries(fields)) await page.getByRole("dialog").getByLabel(label).fill(value);
    await page.getByRole("dialog").getByRole("button", { name: done, exact: true }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
  }

  beforeAll(async () => {
    server = await startRealServer();
    await call("PUT", "/api/v1/projects/shades", project);
    await mlflow("registered-models/create", { name: "shade" });
    await register("columns", "champion");
    await vi.waitUntil(async () => (await endpoint()).stable === 1, { timeout: 30_000 });
    await register("columns", "challenger");
    await vi.waitUntil(async () => (await endpoint()).candidate === 2, { timeout: 30_000 });
    for (let i = 0; i < 24; i++) await infer(`r-${i}`, i / 10);
    // A refusal is one, of which the browser makes an error of its own.
    browser = await openBrowser({ patienceMs: 20_000, expected: /status of 40[39]/ });
    ({ page, wrong } = browser);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(() => {
    wrong.length = 0;
  });

  it("shows a canary, pauses it, goes on and rolls it back, and keeps who did it and why", async () => {
    await open("/endpoints/shade");
    await page
      .getByRole("listitem")
      .filter({ hasText: /over in .+ at the earliest/ })
      .waitFor();
    await page.getByText("errors below 5 %, of 5 requests or more").waitFor();
    await expect.poll(() => page.getByRole("region", { name: "Versions of the rollout" }).getByRole("row").count()).toBe(3);
    await does("Pause", "Pause", { Reason: "lunch" });
    await page.getByText("paused now").waitFor();
    await does("Resume", "Resume");
    await does("Go on", "Give it 80 %", { Reason: "looks good" });
    expect(await endpoint()).toMatchObject({ weight: 0.8, rollout: { step: 1, pausedAt: null } satisfies Partial<Rollout> });
    await does("Roll back", "Roll back", { Reason: "too red" });
    await page.getByRole("link", { name: "History" }).click();
    await page.getByText("too red").last().waitFor();
    const { items } = await call<{ items: RolloutEvent[] }>("GET", "/api/v1/endpoints/shade/history");
    expect(items.map(({ kind, reason }) => `${kind}: ${reason}`).slice(0, 4)).toEqual([
      "rolled_back: too red",
      "advanced: looks good",
      expect.stringMatching(/^resumed: /),
      "paused: lunch",
    ]);
    expect(wrong).toEqual([]);
  });

  it("switches an endpoint off and on again; what was answered meanwhile is shown as what it is", async () => {
    await open("/endpoints/shade");
    await does("Kill switch", "Switch off", { Reason: "it answers nonsense" });
    await page.getByRole("alert").getByText("it answers nonsense").waitFor();
    expect((await infer("off", 1)).outputs[0]?.data).toEqual([0.5]);
    await open("/predictions/off");
    await page.getByText("killed", { exact: true }).waitFor();
    await open("/endpoints");
    await page.getByText("switched off").waitFor();
    await open("/endpoints/shade");
    await does("Revive", "Revive");
    expect(await endpoint()).toMatchObject({ killed: null, stable: 1 });
    expect(wrong).toEqual([]);
  });

  it("draws inference graphs, and says what gave a prediction", async () => {
    await open("/endpoints");
    await page.getByRole("region", { name: "Inference graph twice" }).getByRole("link", { name: "shade" }).waitFor();
    await page.getByText("ready", { exact: true }).waitFor();
    await open("/predictions/r-3");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByRole("list", { name: "Attributions" }).getByText("color").waitFor();
    await page.getByRole("button", { name: "Replay" }).click();
    await page.getByText("the same again").waitFor();
    expect(wrong).toEqual([]);
  });

  it("promotes a release and a version, says why a yes is not taken, and ends what waits", async () => {
    const sbom = Buffer.from(canonical({ bomFormat: "CycloneDX", specVersion: "1.6", version: 1, components: [] }));
    const { digest, bytes, document } = releaseOf(project, sbom);
    for (const one of [sbom, bytes, document]) {
      const put = await fetch(`${server.url}/api/v1/objects/${sha256(one)}`, { method: "PUT", body: new Uint8Array(one) });
      expect(put.ok, await put.text()).toBe(true);
    }
    await call("POST", "/api/v1/releases", { digest, authors: ["anna@example.org"] });
    await open("/delivery?tab=releases");
    await page.getByRole("link", { name: digest.slice(7, 19) }).click();
    await page.getByText("Nothing has checked it yet.").waitFor();
    await does("Promote", "Promote");
    await page.waitForURL(/\/delivery\/promotions\/[0-9a-f]{32}$/);
    await page.getByText("deployed", { exact: true }).first().waitFor();

    await open("/delivery");
    await page.getByRole("list", { name: "dev holds" }).getByText("555555").waitFor();
    await does("→ prod", "Promote", { Reason: "the spring release" });
    await page
      .getByText(/waits for approvals/)
      .first()
      .waitFor();
    await page.getByRole("button", { name: "Approve" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Approve" }).click();
    await page.getByRole("dialog").getByRole("alert").getByText("somebody else has to look at it").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await does("Reject", "Reject", { Comment: "not today" });
    await page.getByText("local said no: not today").first().waitFor();

    await open("/models/shade?version=2");
    await does("Promote", "Promote");
    await page.waitForURL(/\/delivery\/promotions\//);
    await page.getByText("deployed", { exact: true }).first().waitFor();
    const { items } = await call<{ items: Promotion[] }>("GET", "/api/v1/promotions");
    expect(items.map(({ environment, state }) => `${environment} ${state}`)).toEqual(["dev deployed", "prod refused", "dev deployed"]);
    expect(wrong).toEqual([]);
  });
});
