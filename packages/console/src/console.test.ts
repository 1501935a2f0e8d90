import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { browserPath, builtConsole, openBrowser } from "./testing/browser";
import { type FakeServer, startFakeServer } from "./testing/fake-server";
import { runs } from "./testing/fixtures";

if (browserPath === undefined) console.warn("No Chromium is here: the console's tests are skipped. Name one in CHROMIUM.");

describe.skipIf(browserPath === undefined)("the console", () => {
  let server: FakeServer;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let page: Page;
  let wrong: string[];
  const running = runs[0]?.id ?? "";
  const failed = runs.find((run) => run.state === "failed")?.id ?? "";

  beforeAll(async () => {
    server = await startFakeServer(builtConsole());
    browser = await openBrowser({ patienceMs: 8_000, colorScheme: "light" });
    ({ page, wrong } = browser);
    page.on("request", (request) => !request.url().startsWith(server.url) && !request.url().startsWith("data:") && wrong.push(`asked ${request.url()}`));
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(() => {
    wrong.length = 0;
  });
  const open = (address: string) => page.goto(server.url + address, { waitUntil: "domcontentloaded" });
  const sees = (text: string | RegExp) => page.getByText(text).first().waitFor();

  it.each([
    ["/", "108,204"],
    ["/datasets", "Scheduled flights out of three airports"],
    ["/datasets/flights?version=7", "4,120 rows are above the largest value 1,500."],
    ["/datasets/flights?version=7", "ZZ × 12"],
    ["/datasets/flights?version=8&tab=statistics", "dep_delay"],
    ["/feature-views", "origin_late_7d"],
    ["/feature-views?find=anna", "delay_features"],
    ["/pipelines", "until: month"],
    ["/pipelines/delay", "split by time"],
    ["/pipelines/delay?tab=steps", "pipelines/delay.ts:40"],
    ["/workers", "old-node"],
    [`/runs/compare?a=${failed}`, "Only what differs"],
    ["/runs", /auc better by 0.002 did not pass/],
    ["/runs?view=metrics", "log_loss"],
    [`/runs/${failed}`, /y contains 1 class/],
    ["/models", "challenger 3"],
    ["/models/delay?version=3", /Calibration/],
    ["/models/delay?version=3", "model card"],
    ["/models/delay?version=3", "3f9a0d4c7712"],
    ["/models/delay?version=3&slice=carrier", "B6"],
    ["/endpoints", "delay_features"],
    ["/endpoints", /weighted mean/],
    ["/endpoints/delay", /no error in 4,120 requests/],
    ["/endpoints/delay?tab=scores", /the last 200 predictions/],
    ["/endpoints/delay?tab=history", "It was the proxy."],
    ["/endpoints/delay?rollout=r1", "All of the traffic at once, because somebody said so."],
    ["/endpoints/offers", "version 5 is better"],
    ["/endpoints/fraud_by_card_and_country_of_issue_without_features", "97.4 %"],
    ["/endpoints/green", /watched for 4h/],
    ["/endpoints/never_asked", /Nothing is deployed/],
    ["/endpoints/loans", /central bank/],
    ["/predictions/scan-0", /776 more/],
    ["/delivery", "No window is open; the next one opens at 2013-08-14 07:00 UTC."],
    ["/delivery?tab=promotions", /above the bound of 20 ms/],
    ["/delivery?tab=promotions&state=cancelled", "No promotion fits."],
    ["/delivery?tab=releases", "signed"],
    ["/delivery?tab=repositories", /a number is no string/],
    [`/delivery/releases/sha256:${"a1".repeat(32)}`, "41 checks passed, 2 were skipped"],
    [`/delivery/promotions/${"0".repeat(31)}1`, "As admin: I have read the report."],
    ["/predictions/off-1", "killed"],
    ["/predictions/f-1?explain=yes", "+1.31"],
    ["/predictions/f-1?node=dataset_version%2Fflights%2F5", "5 files"],
    ["/monitors", "1d"],
    ["/monitors/delay", "minute_of_day"],
    ["/monitors/delay?tab=months", "2013-05"],
    ["/triggers", "auc is 0.6712 on 2,210 labelled predictions, below 0.68"],
    ["/schedules", "2013-09-01 06:00:00-04:00"],
    ["/schedules?schedule=nightly", "30 2 * * * (Europe/Oslo)"],
    ["/backfills", /y contains 1 class/],
    ["/sweeps", "tune_delay"],
    ["/sweeps?part=trials", /number 7 of 9/],
    ["/sweeps?part=parallel", /24 runs. Drag along an axis/],
    ["/sweeps?part=scatter", "Across"],
    ["/sweeps?part=curves", "trial 23"],
    ["/sweeps?part=importance", "0.74"],
    ["/events", /refused flights-2013-07.parquet/],
  ])("draws %s without an error", async (address, text) => {
    await open(address);
    await sees(text);
    expect(wrong).toEqual([]);
  });

  it("shows a run's log and its training curve, and keeps the chosen step and tab in the address", async () => {
    await open(`/runs/${running}`);
    await sees("iteration 39: log_loss 0.5050");
    await page.getByRole("heading", { name: "train loss by step of training" }).waitFor();
    await page.getByRole("link", { name: /split by time/ }).click();
    await page.getByRole("link", { name: "Outputs (1)" }).click();
    await sees("part-0.parquet");
    expect(new URL(page.url()).search).toBe("?step=split&tab=outputs");
    await page.reload();
    await sees("part-0.parquet");
    expect(wrong).toEqual([]);
  });

  it("filters runs by state and pipeline, in the address, and draws only the rows in sight", async () => {
    await open("/runs");
    await page.getByLabel("State").selectOption("failed");
    await page.getByLabel("Pipeline").selectOption("delay");
    await page.waitForURL(/\?state=failed&pipeline=delay$/);
    await page.reload();
    await sees(/train.py ended with code 1/);
    expect(await page.getByLabel("State").inputValue()).toBe("failed");
    const table = page.getByRole("table");
    expect(await table.getByText("succeeded").count()).toBe(0);
    expect(Number(await table.getAttribute("aria-rowcount"))).toBe(1 + runs.filter((run) => run.state === "failed" && run.pipeline === "delay").length);
    await open("/runs");
    await table.getByText("running").waitFor();
    expect(await page.getByRole("row").count()).toBeLessThan(70);
  });

  it("says what will happen to an endpoint's versions before it does it, and why it was done", async () => {
    const dialog = page.getByRole("dialog");
    await open("/endpoints/delay");
    await page.getByRole("listitem").filter({ hasText: "over in 1 h at the earliest" }).waitFor();
    await page.getByRole("button", { name: "Go on" }).click();
    await dialog.getByText("Version 3 gets 50 % of the traffic now, in place of 10 %").waitFor();
    await dialog.getByLabel("Reason").fill("looks good");
    await dialog.getByRole("button", { name: "Give it 50 %" }).click();
    await dialog.waitFor({ state: "detached" });
    expect([server.posted.at(-1), server.brought()]).toEqual(["POST /api/v1/endpoints/delay/rollouts/advance", { reason: "looks good" }]);

    await page.getByRole("button", { name: "Kill switch" }).click();
    await dialog.getByText("every request is refused, with 503").waitFor();
    await dialog.getByRole("button", { name: "Switch off" }).click();
    await dialog.waitFor({ state: "detached" });
    expect([server.posted.at(-1), server.brought()]).toEqual(["POST /api/v1/endpoints/delay/kill", {}]);

    await open("/endpoints/loans");
    await page.getByRole("alert").getByText("Every request is answered with its fallback: probability 0.5000.").waitFor();
    for (const [version, sent] of [
      ["3", ["POST /api/v1/endpoints/loans/rollback", {}]],
      ["2", ["POST /api/v1/endpoints/loans/promote", { version: 2 }]],
    ] as const) {
      await page.getByRole("button", { name: "Roll back" }).click();
      await dialog.getByLabel("Version").selectOption(version);
      await dialog.getByRole("button", { name: "Go back" }).click();
      await dialog.waitFor({ state: "detached" });
      expect([server.posted.at(-1), server.brought()]).toEqual(sent);
    }

    await open("/endpoints/price");
    await page.getByRole("button", { name: "Weights" }).click();
    await dialog.getByLabel("Version 4").fill("0");
    await dialog.getByRole("button", { name: "Change" }).click();
    await dialog.getByRole("alert").getByText("write a number above 0").waitFor();
    await dialog.getByLabel("Version 4").fill("12.5");
    await dialog.getByRole("button", { name: "Change" }).click();
    await dialog.waitFor({ state: "detached" });
    expect(server.brought()).toEqual({
      arms: [
        { version: 4, weight: 0.125 },
        { version: 5, weight: 0.25 },
      ],
    });
    expect(wrong).toEqual([]);
  });

  it("promotes, approves and takes back, each after it has said what will follow", async () => {
    const dialog = page.getByRole("dialog");
    const promotion = `/api/v1/promotions/${"0".repeat(31)}1`;
    await open("/delivery");
    const staging = page.getByRole("list", { name: "staging holds" });
    // The release waits for prod already.
    await staging.getByRole("button", { name: "→ prod" }).click();
    await dialog
      .getByText("2 gates must pass. 2 people have to say yes, of role:admin, bert, and none of them an author. It waits: No window is open")
      .waitFor();
    await dialog.getByRole("button", { name: "Promote" }).click();
    await page.waitForURL(/\/delivery\/promotions\/0+1$/);
    expect([server.posted.at(-1), server.brought()]).toEqual([
      "POST /api/v1/promotions",
      { environment: "prod", project: "flights", model: "delay", version: 2 },
    ]);

    await page.getByRole("link", { name: /report of the check/ }).waitFor();
    await page.getByRole("button", { name: "Approve" }).click();
    await dialog.getByText("It is the last yes that is waited for. Its authors can't: anna@example.org.").waitFor();
    await dialog.getByLabel("Comment").fill("as announced");
    await dialog.getByRole("button", { name: "Approve" }).click();
    await dialog.waitFor({ state: "detached" });
    expect([server.posted.at(-1), server.brought()]).toEqual([`POST ${promotion}/approve`, { comment: "as announced" }]);
    await page.getByRole("button", { name: "Reject" }).click();
    await dialog.getByRole("button", { name: "Reject" }).click();
    await dialog.waitFor({ state: "detached" });
    expect([server.posted.at(-1), server.brought()]).toEqual([`POST ${promotion}/reject`, {}]);

    await open("/delivery");
    await staging.getByRole("listitem").filter({ hasText: "delay 2" }).getByRole("button", { name: "Roll back" }).click();
    await dialog.getByRole("button", { name: "Roll back" }).click();
    await dialog.getByRole("alert").getByText("Say why").waitFor();
    await dialog.getByLabel("Reason").fill("too slow");
    await dialog.getByRole("button", { name: "Roll back" }).click();
    await page.waitForURL(/\/delivery\/promotions\/0+1$/);
    expect([server.posted.at(-1), server.brought()]).toEqual(["POST /api/v1/environments/flights/staging/rollback", { model: "delay", reason: "too slow" }]);

    await open("/models/delay?version=1");
    await page.getByRole("button", { name: "Promote" }).click();
    await dialog.getByLabel("Environment").selectOption("staging");
    await dialog.getByRole("button", { name: "Promote" }).click();
    await page.waitForURL(/\/delivery\/promotions\/0+1$/);
    expect(server.brought()).toEqual({ environment: "staging", model: "delay", version: 1, project: "flights" });
    expect(wrong).toEqual([]);
  });

  it("has room on a narrow screen", async () => {
    await page.setViewportSize({ width: 420, height: 900 });
    for (const [address, text] of [
      ["/endpoints", "not ready"],
      ["/endpoints/fraud_by_card_and_country_of_issue_without_features", "version 12 passed"],
      ["/predictions/scan-0", "card 4711"],
      ["/models/delay?version=3", /Calibration/],
      ["/delivery", "fraud_by_card_and_country_of_issue 12"],
      [`/delivery/releases/sha256:${"a1".repeat(32)}`, /another_one_0/],
      [`/delivery/promotions/${"0".repeat(31)}1`, "Holidays are a feature"],
    ] as const) {
      await open(address);
      await sees(text);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), address).toBeLessThanOrEqual(0);
    }
    await page.setViewportSize({ width: 1440, height: 900 });
  });

  it("replays a prediction, and leads to the rollout that chose its version", async () => {
    await open("/predictions/f-1");
    await page.getByRole("button", { name: "Replay" }).click();
    await page.getByRole("status").getByText("not the same").waitFor();
    await sees(/differs by 0.2500/);
    await open("/predictions/scan-0");
    await page.getByRole("link", { name: "a rollout" }).click();
    await sees("version 12 passed");
    expect(wrong).toEqual([]);
  });

  it("asks before it cancels a run", async () => {
    await open(`/runs/${running}`);
    await page.getByRole("button", { name: "Cancel run" }).click();
    const dialog = page.getByRole("alertdialog");
    await dialog.getByRole("button", { name: "Keep" }).click();
    expect(server.posted.filter((one) => one.endsWith("/cancel"))).toEqual([]);
    await page.getByRole("button", { name: "Cancel run" }).click();
    await dialog.getByRole("button", { name: "Cancel run" }).click();
    await page.getByRole("heading", { level: 1 }).locator("..").getByText("cancelled").waitFor();
    expect(server.posted.at(-1)).toBe(`POST /api/v1/runs/${running}/cancel`);
  });

  it("shows what happened elsewhere when the server tells it", async () => {
    await open("/runs?state=cancelled&pipeline=shop");
    await sees("No run fits these filters.");
    await page.getByRole("status").getByText("live").waitFor();
    server.cancelElsewhere(runs[4]?.id ?? "");
    await page.getByRole("table").getByText("cancelled").waitFor();
  });

  it("pauses and resumes a trigger", async () => {
    await open("/triggers");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("button", { name: "Pause" }).waitFor();
    expect(server.posted.slice(-2)).toEqual(["POST /api/v1/triggers/retrain/pause", "POST /api/v1/triggers/retrain/resume"]);
  });

  it("is light or dark as the system is, until it is chosen", async () => {
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    await page.emulateMedia({ colorScheme: "dark" });
    await open("/datasets");
    await sees("quarantined");
    expect(await theme()).toBe("dark");
    const toggle = page.getByRole("button", { name: /^Theme/ });
    await toggle.click();
    expect(await theme()).toBe("light");
    await page.reload();
    await sees("quarantined");
    expect(await theme()).toBe("light");
    await toggle.click();
    expect(await theme()).toBe("dark");
    await page.evaluate(() => localStorage.clear());
    await page.emulateMedia({ colorScheme: "light" });
  });

  it("shows the replayed clock, and times relative to it that are exact on hover", async () => {
    await open("/monitors");
    await sees("replayed clock");
    await sees("2013-08-14 06:00:00 UTC");
    expect(await page.getByRole("table").locator("time").first().getAttribute("title")).toBe("2013-08-14 06:00:00 UTC");
  });

  it("says what is not there, and that nothing is", async () => {
    await open("/runs/unknown");
    await page.getByRole("alert").getByText("There is no /api/v1/runs/unknown.").waitFor();
    await open("/nowhere");
    await sees(/no screen at this address/);
    await open("/datasets/planes");
    await sees(/no file has arrived/);
  });

  it("leads by keyboard from the menu to a run", async () => {
    await open("/");
    await page.getByRole("link", { name: "Runs", exact: true }).press("Enter");
    await page.getByRole("heading", { level: 1, name: "Runs" }).waitFor();
    await page.getByRole("table").getByRole("link").first().press("Enter");
    await page.getByRole("log").waitFor();
  });
});
