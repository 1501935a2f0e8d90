import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { browserPath, openBrowser, startRealServer } from "../testing/browser";
import { piecesOf, plainOf } from "./ansi";
import { criticalPath, lanesOf, ticksOf } from "./critical";
import { parsed } from "./params";

describe("what is drawn of a run", () => {
  it("finds the steps that decided how long it took", () => {
    const spans = [
      { id: "load", from: 0, to: 10, needs: [] },
      { id: "quick", from: 10, to: 12, needs: ["load"] },
      { id: "slow", from: 10, to: 90, needs: ["load"] },
      { id: "join", from: 90, to: 95, needs: ["quick", "slow"] },
      { id: "beside", from: 0, to: 50, needs: [] },
    ];
    expect(criticalPath(spans)).toEqual(["load", "slow", "join"]);
    expect(lanesOf(spans.slice(0, 4))).toEqual([0, 0, 1, 0]);
    expect(ticksOf(95)).toEqual([0, 20, 40, 60, 80]);
  });
  it("reads a log's colours and nothing else of what a terminal would do", () => {
    expect(piecesOf("\u001b[1;31mbad\u001b[0m <b>\u001b[2Kplain\u001b]0;title\u0007")).toEqual([
      { text: "bad", bold: true, color: "var(--bad)" },
      { text: " <b>" },
      { text: "plain" },
    ]);
    expect(plainOf(" 10 %\r 50 %\r100 %")).toBe("100 %");
    expect(piecesOf("\u001b[38;2;255;0;999mx")).toEqual([{ text: "x", color: "rgb(255 0 255)" }]);
  });
  it("says what is wrong with a param, and leaves the defaults to the server", () => {
    const params = [
      { name: "depth", type: "int" as const, min: 1, max: 9, default: 6 },
      { name: "days", type: "list" as const },
      { name: "until", type: "month" as const },
    ];
    expect(parsed(params, { depth: "12", days: "1\n2", until: "" })).toEqual({
      values: { days: [1, 2] },
      problems: { depth: "The most is 9.", until: "It needs a value." },
    });
    expect(parsed(params, { depth: "", days: "mon\n2", until: "2013-03" })).toEqual({ values: { days: ["mon", "2"], until: "2013-03" }, problems: {} });
  });
});

describe.skipIf(browserPath === undefined)("the console's runs, on a real server", () => {
  let server: Awaited<ReturnType<typeof startRealServer>>;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let page: Page;
  let wrong: string[] = [];

  const command = (id: string, shell: string, rest: Record<string, unknown> = {}) => ({
    ...{ id, kind: "command", inputs: {}, outputs: [], config: { command: ["sh", "-c", shell] } },
    ...rest,
  });
  const written = [{ name: "value", type: "json" }];
  const shapes = {
    name: "shapes",
    params: [
      { name: "days", type: "list", default: ["mon", "tue", "wed"] },
      { name: "size", type: "enum", values: ["small", "large"], default: "small" },
      { name: "depth", type: "int", min: 1, max: 9, default: 6 },
    ],
    nodes: [
      command("load", "printf '\\033[32mgreen\\033[0m and <i>plain</i>\\n'; echo odd >&2; echo '{\"rows\": 3}' > \"$0\"", { outputs: written }),
      {
        ...{ id: "days", kind: "map", inputs: { over: { param: "days" } }, outputs: written },
        config: {
          body: [
            command("fit", 'echo fitting; echo 1 > "$0"', {
              ...{ inputs: { day: { item: "days" }, rows: { node: "load", output: "value" } }, outputs: written },
              config: { command: ["sh", "-c", 'echo fitting; echo 1 > "$0"', "{outputs.value}"] },
            }),
          ],
          gives: { value: { node: "fit", output: "value" } },
        },
      },
      command("deep", "true", { when: [{ of: { param: "size" }, is: "equal", value: "large" }] }),
      { id: "review", kind: "approval", inputs: {}, outputs: [{ name: "decision", type: "json" }], config: { question: "May it go out?" }, after: ["days"] },
      command("part.publish", "echo out of room; exit 3", { inputs: { decision: { node: "review", output: "decision" } } }),
    ],
  };
  const load = shapes.nodes[0];
  if (load !== undefined && "config" in load && "command" in load.config) load.config.command.push("{outputs.value}");

  async function api(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await fetch(`${server.url}/api/v1${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  beforeAll(async () => {
    server = await startRealServer();
    const none = { datasets: [], schemas: [], entities: [], featureViews: [], featureServices: [], endpoints: [], monitors: [], triggers: [], files: [] };
    await api("PUT", "/projects/test", { apiVersion: "millrace/v1", name: "test", ...none, pipelines: [shapes], folder: "/nowhere" });
    browser = await openBrowser({ patienceMs: 20_000, permissions: ["clipboard-read", "clipboard-write"] });
    ({ page, wrong } = browser);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(() => {
    wrong.length = 0;
  });

  it("starts a run by a form that says first what would run, asks for approval, and shows what failed", async () => {
    await page.goto(`${server.url}/pipelines/shapes`);
    await page.getByRole("button", { name: "Run", exact: true }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("depth").fill("12");
    await dialog.getByText("The most is 9.").waitFor();
    expect(await dialog.getByRole("button", { name: "Start the run" }).isDisabled()).toBe(true);
    await dialog.getByLabel("depth").fill("3");
    await dialog.getByLabel("days").fill("mon\ntue");
    await dialog.getByText("it never ran").first().waitFor();
    await dialog.getByText('the param size is "small"').waitFor();
    await dialog.getByRole("button", { name: "Start the run" }).click();

    await page.getByRole("heading", { level: 1, name: /^shapes · / }).waitFor();
    const asks = page.getByRole("region", { name: "review asks" });
    await asks.getByText("May it go out?").waitFor();
    const graph = page.getByRole("region", { name: "Steps of the run" });
    await graph.getByText("2 succeeded").waitFor();
    await graph.getByText("skipped").waitFor();
    await asks.getByLabel("Comment").fill("looks right");
    await asks.getByRole("button", { name: "Approve" }).click();

    await page.getByText("millrace debug").waitFor();
    await page.getByRole("log").getByText("out of room", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Copy", exact: true }).first().click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(/^millrace debug [0-9a-f]+ part\.publish$/);
    await page.getByRole("link", { name: "Attempts (1)" }).click();
    await page.getByText("code 3", { exact: true }).waitFor();
    expect(wrong).toEqual([]);
  });

  it("opens a map in the graph and in a list, finds lines of a log, and draws the time line", async () => {
    await page.goto(`${server.url}/runs?pipeline=shapes`);
    await page.getByRole("table").getByRole("link").first().click();
    await page.getByRole("region", { name: "Steps of the run" }).getByRole("link", { name: /days/ }).click();
    await page.getByRole("link", { name: "days[1].fit" }).waitFor();
    await page.getByRole("link", { name: "Open in the graph" }).click();
    await page.getByText("for each item of days").waitFor();
    await page.getByRole("link", { name: "days[1].fit" }).click();
    await page.getByRole("log").getByText("fitting").waitFor();
    await page.getByRole("link", { name: "Time line" }).click();
    await page.getByText(/critical path: \d steps?/).waitFor();
    await page.getByRole("region", { name: "Time line of the run" }).getByRole("link", { name: "load", exact: true }).click();
    await page.getByRole("log").getByText("green").waitFor();
    await page.getByRole("log").getByText("<i>plain</i>").waitFor();
    await page.getByLabel("Find in the log").fill("ODD");
    await page.getByText("1 of 1").waitFor();
    await page.getByLabel("Stream").selectOption("stdout");
    await page.getByText("not found").waitFor();
    await page.getByRole("link", { name: "Outputs (1)" }).click();
    await page.getByText('"rows": 3').waitFor();
    const address = new URL(page.url()).searchParams;
    expect(Object.fromEntries(address)).toEqual({ step: "load", view: "time", open: "days", stream: "stdout", tab: "outputs" });
    expect(wrong).toEqual([]);
  });

  it("resumes a run, and compares it with the one before", async () => {
    await page.goto(`${server.url}/runs?pipeline=shapes`);
    await page.getByRole("table").getByRole("link").first().click();
    await page.getByRole("button", { name: "Resume" }).click();
    const dialog = page.getByRole("dialog");
    await dialog
      .getByText(/reused/)
      .first()
      .waitFor();
    const before = page.url();
    await dialog.getByRole("button", { name: "Resume" }).click();
    await page.waitForURL((url) => url.pathname !== new URL(before).pathname);
    await page.getByRole("link", { name: "Compare" }).click();
    await page.getByText("value equal").first().waitFor();
    await page.getByLabel("Only what differs").check();
    await page.getByRole("region", { name: "Runs compared" }).waitFor();
    expect(await page.getByText("param size").count()).toBe(0);
    expect(wrong).toEqual([]);
  });
});
