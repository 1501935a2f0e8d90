import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { browserPath, openBrowser, startRealServer } from "./testing/browser";

describe.skipIf(browserPath === undefined)("the console's experiments, on a real server", () => {
  let server: Awaited<ReturnType<typeof startRealServer>>;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let page: Page;
  let wrong: string[];
  let sweep = "";
  const runs = 700;

  async function mlflow(route: string, body: Record<string, unknown>): Promise<Record<string, unknown>> {
    const answer = await fetch(`${server.url}/api/2.0/mlflow/${route}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }
  const newExperiment = async (name: string) => String((await mlflow("experiments/create", { name })).experiment_id);
  /** Runs are brought in by the hundred, as when they are moved from elsewhere. */
  async function bring(what: "runs" | "series", items: unknown[]): Promise<void> {
    const answer = await fetch(`${server.url}/api/v1/transfer/${what}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ items }),
    });
    if (!answer.ok) throw new Error(await answer.text());
  }
  const began = Date.parse("2026-01-01T00:00:00Z");
  const run = (experiment: string, i: number) => ({
    id: `${experiment}run${i}`,
    experiment,
    name: `trial-${i}`,
    user: i % 2 === 0 ? "anna" : "ben",
    status: i % 100 === 3 ? "FAILED" : "FINISHED",
    startTime: began + i * 60_000,
    endTime: began + i * 60_000 + 30_000,
    stage: "active",
    deletedTime: null,
    params: { model: i % 2 === 0 ? "xgboost" : "mlp", depth: String(i % 9) },
    tags: { stage: i % 3 === 0 ? "dev" : "prod" },
    datasets: [],
    modelInputs: [],
    modelOutputs: [],
  });

  beforeAll(async () => {
    server = await startRealServer();
    sweep = await newExperiment("sweep");
    const all = Array.from({ length: runs }, (_, i) => run(sweep, i));
    for (let at = 0; at < runs; at += 350) await bring("runs", all.slice(at, at + 350));
    // The best is the one in the middle.
    const auc = (i: number) => 1 - Math.abs(i - 350) / 1_000;
    for (let at = 0; at < runs; at += 350)
      await bring(
        "series",
        all.slice(at, at + 350).map(({ id }, i) => ({ run: id, key: "auc", step: [1], time: [began], value: [auc(at + i)] })),
      );
    browser = await openBrowser({ patienceMs: 10_000, expected: /400 \(Bad Request\)/, permissions: ["clipboard-read", "clipboard-write"] });
    ({ page, wrong } = browser);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(() => {
    wrong.length = 0;
  });
  const open = (address: string) => page.goto(server.url + address, { waitUntil: "domcontentloaded" });
  const row = (name: string) => page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
  const names = async () => page.getByRole("gridcell").getByRole("link").allTextContents();
  const firstRow = (name: string) => page.locator('[aria-rowindex="2"]').getByRole("link", { name, exact: true }).waitFor();

  it("are listed with their runs, made, renamed, tagged, deleted and restored", async () => {
    await open("/experiments");
    await page.getByRole("row", { name: /sweep 700/ }).waitFor();
    await page.getByRole("button", { name: "New experiment" }).click();
    await page.getByRole("textbox", { name: "Name" }).fill("sweep");
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByRole("alert").getByText("already exists").waitFor();
    await page.getByRole("textbox", { name: "Name" }).fill("draft");
    await page.getByRole("button", { name: "Create" }).click();
    const draft = page.getByRole("row", { name: /draft/ });
    await draft.getByRole("button", { name: "Tag" }).click();
    await page.getByLabel("Key").fill("team");
    await page.getByLabel("Value").fill("growth");
    await page.getByRole("dialog").getByRole("button", { name: "Tag", exact: true }).click();
    await draft.getByText("team: growth").waitFor();
    await draft.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
    await draft.waitFor({ state: "detached" });
    await page.getByLabel("Show").selectOption("deleted");
    await draft.getByRole("button", { name: "Restore" }).click();
    await draft.waitFor({ state: "detached" });
    await page.getByLabel("Show").selectOption("active");
    await page.getByLabel("Search experiments").fill("DRA");
    await page.waitForURL(/search=DRA/);
    await page.getByRole("row", { name: /sweep/ }).waitFor({ state: "detached" });
    await draft.waitFor();
    expect(wrong).toEqual([]);
  });

  it("draw only the runs in sight, and bring more as one scrolls to the last", async () => {
    await open(`/experiments/${sweep}`);
    await page.getByText("700 runs").waitFor();
    await firstRow("trial-699");
    const grid = page.getByRole("grid");
    expect(await grid.getAttribute("aria-rowcount")).toBe("701");
    expect(await page.getByRole("row").count()).toBeLessThan(80);
    await grid.focus();
    await page.waitForFunction(() => {
      const grid = document.querySelector('[role="grid"]');
      grid?.scrollTo(0, grid.scrollHeight);
      return document.querySelector('[aria-rowindex="701"]') !== null;
    });
    await row("trial-0").waitFor();
    expect(wrong).toEqual([]);
  });

  it("are ordered by any column, on the server, and the whole view is in the address", async () => {
    await open(`/experiments/${sweep}`);
    await page.getByRole("columnheader", { name: /auc/ }).getByRole("button", { name: /auc/ }).first().click();
    await firstRow("trial-350");
    expect(await page.getByRole("columnheader", { name: /auc/ }).getAttribute("aria-sort")).toBe("descending");
    await page.getByRole("button", { name: "Columns" }).click();
    await page.getByLabel("Search columns").fill("stage");
    await page.getByLabel("stage").check();
    await page.keyboard.press("Escape");
    await row("trial-350").getByText("prod").waitFor();
    await row("trial-351").getByRole("checkbox").click();
    await page.waitForURL(/selected=/);
    await page.reload();
    await firstRow("trial-350");
    await row("trial-350").getByText("prod").waitFor();
    expect(await row("trial-351").getByRole("checkbox").isChecked()).toBe(true);
    await page.getByText("1 run selected").waitFor();
    expect(wrong).toEqual([]);
  });

  it("are filtered with help while typing, by keyboard alone", async () => {
    await open(`/experiments/${sweep}`);
    await firstRow("trial-699");
    const box = page.getByRole("combobox", { name: "Filter" });
    await box.focus();
    const offers = page.getByRole("listbox");
    await page.keyboard.type("mod");
    await offers.getByRole("option", { name: /params\.model/ }).waitFor();
    await page.keyboard.press("Tab");
    await offers.getByRole("option", { name: /^= equal/ }).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await offers.getByRole("option", { name: "xgboost" }).waitFor();
    await page.keyboard.type("'xg");
    await page.keyboard.press("Tab");
    expect(await box.inputValue()).toBe("params.model = 'xgboost' ");
    await page.keyboard.type("and auc");
    await page.keyboard.press("Tab");
    await page.keyboard.type("> 0.9");
    await page.getByText(/99 runs fit/).waitFor();
    await page.keyboard.press("Enter");
    await page.getByText("99 runs fit", { exact: true }).waitFor();
    expect(new URL(page.url()).searchParams.get("filter")).toBe("params.model = 'xgboost' and metrics.auc > 0.9");
    await firstRow("trial-448");
    // It is offered again.
    await page.getByRole("button", { name: "Clear the filter" }).click();
    await firstRow("trial-699");
    await box.focus();
    await page.keyboard.press("ArrowDown");
    await offers.getByRole("option", { name: /used before/ }).waitFor();
    expect(wrong).toEqual([]);
  });

  it("say in words where a filter is wrong, and keep showing what they showed", async () => {
    await open(`/experiments/${sweep}`);
    await firstRow("trial-699");
    const box = page.getByRole("combobox", { name: "Filter" });
    await box.fill("metrics.auc > 'high' and params.model = 'mlp'");
    await box.press("Enter");
    await page
      .getByRole("alert")
      .getByText(/At character 15:/)
      .waitFor();
    expect(await box.getAttribute("aria-invalid")).toBe("true");
    await firstRow("trial-699");
    expect(wrong).toEqual([]);
  });

  it("are selected by click, by shift-click and by keys, then tagged, deleted and restored", async () => {
    const few = await newExperiment("few");
    await bring(
      "runs",
      [0, 1, 2, 3, 4].map((i) => run(few, i)),
    );
    await open(`/experiments/${few}?columns=tags.keep`);
    await row("trial-4").getByRole("checkbox").click();
    await row("trial-2")
      .getByRole("checkbox")
      .click({ modifiers: ["Shift"] });
    await page.getByText("3 runs selected").waitFor();
    await page.getByRole("button", { name: "Tag", exact: true }).click();
    await page.getByLabel("Key").fill("keep");
    await page.getByLabel("Value").fill("never");
    await page.getByRole("dialog").getByRole("button", { name: "Tag", exact: true }).click();
    await row("trial-2").getByText("never").waitFor();
    expect(await page.getByText("never").count()).toBe(3);
    await page.getByRole("button", { name: "Copy as Python" }).click();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(copied).toContain("mlflow.search_runs(");
    expect(copied).toContain(`run_id IN ('${few}run4', '${few}run3', '${few}run2')`);
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
    await row("trial-4").waitFor({ state: "detached" });
    expect(await names()).toEqual(["trial-1", "trial-0"]);
    await page.getByLabel("Which runs").selectOption("deleted");
    await firstRow("trial-4");
    await page.getByRole("grid").focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("Space");
    await page.getByRole("button", { name: "Restore" }).click();
    await row("trial-4").waitFor({ state: "detached" });
    expect(wrong).toEqual([]);
  });

  it("show new and changed runs without a reload, and what is read stays where it is", async () => {
    await open(`/experiments/${sweep}`);
    await firstRow("trial-699");
    const grid = page.getByRole("grid");
    await grid.evaluate((element) => element.scrollTo(0, 1_500));
    await row("trial-640").waitFor();
    const place = () => row("trial-640").evaluate((element) => Math.round(element.getBoundingClientRect().top));
    const before = await place();
    await mlflow("runs/create", { experiment_id: sweep, run_name: "newcomer", start_time: began + 999 * 60_000 });
    const pill = page.getByRole("button", { name: "1 new run" });
    await pill.waitFor();
    expect(await place()).toBe(before);
    await pill.click();
    await firstRow("newcomer");
    await page.locator('[aria-rowindex="2"]').getByRole("img", { name: "running" }).waitFor();
    const runId = new URL((await row("newcomer").getByRole("link").getAttribute("href")) ?? "", server.url).pathname.split("/").at(-1);
    await mlflow("runs/update", { run_id: runId, status: "FINISHED", end_time: began + 1_000 * 60_000 });
    await page.locator('[aria-rowindex="2"]').getByRole("img", { name: "finished" }).waitFor();
    await mlflow("runs/delete", { run_id: runId });
    await firstRow("trial-699");
    expect(wrong).toEqual([]);
  });

  it("are downloaded as CSV with the columns that are shown", async () => {
    await open(`/experiments/${sweep}?columns=metrics.auc,params.model&filter=${encodeURIComponent("params.model = 'mlp'")}`);
    await page.getByText("350 runs fit").waitFor();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
    const chunks: Buffer[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(Buffer.from(chunk));
    const lines = Buffer.concat(chunks).toString().trim().split("\r\n");
    expect(lines.length).toBe(351);
    expect(lines[0]).toMatch(/,metrics\.auc,params\.model$/);
  });

  it("show a run with what went in, what came of it and its family, and let one change what it says", async () => {
    const experiment_id = await newExperiment("models");
    const made = async (run_name: string, tags: { key: string; value: string }[] = []): Promise<string> => {
      const answer: { run?: { info?: { run_id?: string } } } = await mlflow("runs/create", { experiment_id, run_name, start_time: began, tags });
      return answer.run?.info?.run_id ?? "";
    };
    const parent = await made("parent");
    const run_id = await made("child", [{ key: "mlflow.parentRunId", value: parent }]);
    const point = (value: number, step: number) => ({ key: "loss", value, step, timestamp: began });
    await mlflow("runs/log-batch", { run_id, metrics: [point(4, 0), point(1, 1), point(2, 2)], params: [{ key: "depth", value: "6" }] });
    await open(`/experiments/${experiment_id}/runs/${run_id}`);
    await page.getByRole("row", { name: "loss 2 1 4 2 3" }).waitFor();
    await page.getByRole("row", { name: "depth 6" }).waitFor();
    await page.getByRole("button", { name: "Add a description" }).click();
    await page.getByLabel("Text").fill("# Why\n\nBecause **it** is <img src=x onerror=alert(1)>");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: "Why" }).waitFor();
    await page.getByText("is <img src=x onerror=alert(1)>").waitFor();
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByRole("textbox", { name: "Name" }).fill("best child");
    await page.getByRole("dialog").getByRole("button", { name: "Rename" }).click();
    await page.getByRole("heading", { level: 1, name: "best child" }).waitFor();
    await page.getByRole("link", { name: "parent", exact: true }).click();
    await page
      .getByRole("row", { name: /best child/ })
      .getByRole("link")
      .click();
    await page.getByRole("heading", { level: 1, name: "best child" }).waitFor();
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
    await page.getByRole("button", { name: "Restore" }).waitFor();
    expect(wrong).toEqual([]);
  });

  it("show a run's artifacts in place, and nothing in them runs; a logged model becomes a version", async () => {
    const experiment_id = await newExperiment("files");
    const { run }: { run?: { info?: { run_id?: string } } } = await mlflow("runs/create", { experiment_id, start_time: began });
    const run_id = run?.info?.run_id ?? "";
    const { model }: { model?: { info?: { model_id?: string } } } = await mlflow("logged-models", { experiment_id, name: "scorer", source_run_id: run_id });
    const put = async (path: string, body: string) => {
      const answer = await fetch(`${server.url}/api/2.0/mlflow-artifacts/artifacts/${experiment_id}/${path}`, { method: "PUT", body });
      expect(answer.status).toBe(200);
    };
    await put(`${run_id}/artifacts/notes.md`, "# Notes\n\n- one");
    await put(`${run_id}/artifacts/data/head.csv`, 'name,said\nanna,"yes, twice"\n');
    await put(`${run_id}/artifacts/report.html`, "<h1>Report</h1><script>parent.document.title = 'run'</script>");
    await put(
      `${run_id}/artifacts/plot.svg`,
      '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>parent.document.title = "run"</script></svg>',
    );
    await put(`models/${model?.info?.model_id}/artifacts/MLmodel`, "flavors:\n  python_function: {}\n");
    await open(`/experiments/${experiment_id}/runs/${run_id}?tab=artifacts`);
    await page.getByRole("button", { name: /notes\.md/ }).click();
    await page.getByRole("heading", { name: "Notes", exact: true }).waitFor();
    await page.getByRole("button", { name: "data" }).click();
    await page.getByRole("button", { name: /head\.csv/ }).click();
    await page.getByRole("cell", { name: "yes, twice" }).waitFor();
    await page.getByRole("button", { name: /plot\.svg/ }).click();
    await page.getByRole("img", { name: "plot.svg" }).waitFor();
    await page.getByRole("button", { name: "model scorer" }).click();
    await page.getByRole("button", { name: /MLmodel/ }).click();
    await page.getByText("python_function: {}").waitFor();
    expect(wrong).toEqual([]);
    await page.getByRole("button", { name: /report\.html/ }).click();
    await page.frameLocator("iframe").getByRole("heading", { name: "Report" }).waitFor();
    // The browser says that it did not run the script.
    expect(wrong.every((one) => one.includes("sandboxed"))).toBe(true);
    wrong.length = 0;
    expect(await page.title()).not.toBe("run");
    await page.reload();
    await page.getByRole("button", { name: "As text" }).click();
    await page.getByText("<h1>Report</h1>").waitFor();
    wrong.length = 0;
    await page.getByRole("link", { name: "Overview" }).click();
    await page.getByRole("button", { name: "Register" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Register" }).click();
    await page.getByRole("link", { name: "scorer 1" }).waitFor();
    await page.getByRole("button", { name: "Register" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Register" }).click();
    await page.getByRole("link", { name: "scorer 2" }).waitFor();
    expect(wrong).toEqual([]);
  });
});
