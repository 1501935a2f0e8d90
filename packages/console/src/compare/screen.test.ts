import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { browserPath, openBrowser, startRealServer } from "../testing/browser";

describe.skipIf(browserPath === undefined)("runs side by side, on a real server", () => {
  let server: Awaited<ReturnType<typeof startRealServer>>;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let page: Page;
  const ids: string[] = [];
  let wrong: string[];

  async function mlflow(route: string, body: unknown) {
    const answer = await fetch(`${server.url}/api/2.0/mlflow/${route}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }
  const open = (search: string) => page.goto(`${server.url}/experiments/0/compare?runs=${ids.join(",")}${search}`);

  beforeAll(async () => {
    server = await startRealServer();
    for (const [i, lr] of ["0.1", "0.01", "0.001"].entries()) {
      const { run } = await mlflow("runs/create", { experiment_id: "0", run_name: `trial-${i}`, start_time: 1_700_000_000_000 });
      const run_id: string = run.info.run_id;
      ids.push(run_id);
      const loss = Array.from({ length: 900 }, (_, step) => ({
        key: "train/loss",
        step,
        timestamp: 1_700_000_000_000 + step * 1_000,
        value: step === 450 ? 40 + i : 1 / (step + 1),
      }));
      const params = [
        { key: "lr", value: lr },
        { key: "seed", value: "7" },
      ];
      await mlflow("runs/log-batch", { run_id, params, metrics: [...loss, { key: "auc", step: 0, timestamp: 1, value: 0.7 + i / 10 }] });
      await mlflow("runs/update", { run_id, status: "FINISHED", end_time: 1_700_000_900_000 });
    }
    browser = await openBrowser({ patienceMs: 30_000, viewport: { width: 1_300, height: 900 } });
    ({ page, wrong } = browser);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
    expect(wrong).toEqual([]);
  });

  it("shows where they differ, marks what is best, and leaves one out on demand", async () => {
    await open("");
    const row = (name: string) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: false }) });
    await row("lr").waitFor();
    expect(await row("seed").count()).toBe(0);
    expect(await row("auc").locator("td.font-semibold").allTextContents()).toEqual(["0.9"]);
    await page.getByRole("button", { name: "auc: mark the smallest" }).click();
    await expect.poll(() => row("auc").locator("td.font-semibold").allTextContents()).toEqual(["0.7"]);
    await page.getByLabel("Differences only").uncheck();
    await row("seed").waitFor();
    await page.getByRole("button", { name: "Leave trial-1 out" }).click();
    await page.getByRole("heading", { name: "Comparison of 2 runs" }).waitFor();
    await page.reload();
    await row("seed").waitFor();
    expect(await page.getByRole("columnheader").count()).toBe(2);
  });

  it("draws charts whose zoom is in the address, over which every value is told", async () => {
    await open("&part=charts");
    const chart = page.getByRole("article", { name: "train/loss" });
    const over = chart.locator(".u-over");
    await over.waitFor();
    expect(await page.getByRole("article", { name: "auc" }).getByRole("listitem").count()).toBe(3);
    const box = await over.boundingBox();
    if (box === null) throw new Error("the chart has no place");
    await page.mouse.move(box.x + box.width / 2, box.y + 20);
    await chart.getByText(/^Step 4[45]/).waitFor();
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 30, { steps: 4 });
    await page.mouse.up();
    await expect.poll(() => new URL(page.url()).searchParams.get("from")).toMatch(/^4[45][0-9]$/);
    await page.reload();
    await over.waitFor();
    await page.getByRole("button", { name: "Larger" }).last().click();
    await chart.getByText("Values").click();
    // The spike lies at the edge of the window and is among the values of every run.
    expect(await chart.getByRole("row").filter({ hasText: "trial-2" }).textContent()).toMatch(/42\b/);
    await page.getByRole("button", { name: /✕$/ }).click();
    await expect.poll(() => new URL(page.url()).searchParams.get("from")).toBeNull();
  });

  it("lets a stretch of an axis choose runs, and goes on with those", async () => {
    await open("&part=parallel");
    await page.getByRole("img", { name: /Parallel coordinates of 3 runs over lr, auc/ }).waitFor();
    const axis = page.locator(".cursor-crosshair").nth(1);
    const box = await axis.boundingBox();
    if (box === null) throw new Error("the axis has no place");
    await page.mouse.move(box.x + 12, box.y + 2);
    await page.mouse.down();
    await page.mouse.move(box.x + 12, box.y + box.height * 0.6, { steps: 4 });
    await page.mouse.up();
    await page.getByText("2 of 3 runs chosen").waitFor();
    await page.getByRole("button", { name: "Compare only these" }).click();
    await page.getByRole("heading", { name: "Comparison of 2 runs" }).waitFor();
  });

  it("lays them out by any two values", async () => {
    await open("&part=scatter&slx=1");
    await page.getByRole("img", { name: /auc by lr of 3 runs/ }).waitFor();
    await page.locator("circle").nth(2).hover();
    await page.getByText("lr: 0.001").waitFor();
    await page.getByLabel("Up").selectOption("metrics.train/loss");
    await page.getByRole("img", { name: /train\/loss by lr of 3 runs/ }).waitFor();
  });
});
