import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { LogPage, Pipeline, RunDetail, StepDebug, StepDetail } from "@millrace/sdk/api";
import type { NodeSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openApi, pythonNode, type ServerProcess, startServerProcess } from "./testing.js";

let folder: string;
let server: ServerProcess;
let api: ReturnType<typeof openApi>;
function command(id: string, words: string[], type: "metrics" | "table", secrets?: string[]): NodeSpec {
  return { id, kind: "command", config: { command: words }, inputs: {}, outputs: [{ name: "scores", type }], ...(secrets === undefined ? {} : { secrets }) };
}
const flag = (name: string) => path.join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  server = await startServerProcess(path.join(folder, "data"));
  api = openApi(server.url);
  await api.apply(
    {
      "number.py": `
import json, millrace
print("the number is", millrace.params()["number"])
millrace.output("number").write_text(json.dumps(millrace.params()["number"]))`,
      "double.py": `
import json, millrace
millrace.output("doubled").write_text(json.dumps(2 * millrace.inputs()["number"].value))`,
      "wait.py": `
import pathlib, time, os, sys, millrace
flag = pathlib.Path(millrace.params()["flag"])
print("waiting", flush=True)
while not flag.exists():
    time.sleep(0.05)
millrace.output("model").mkdir()
(millrace.output("model") / "weights.bin").write_bytes(b"weights")`,
      "broken.py": `
def train(rows):
    raise ValueError("there are no rows")
train([])`,
      "forgetful.py": "pass",
      "wrong.lock": "no-such-package-of-millrace==1.0 --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000",
      "notes.md": "What nobody runs.",
    },
    [
      {
        name: "numbers",
        params: [
          { name: "number", type: "int", default: 3 },
          { name: "until", type: "month", default: "latest" },
        ],
        nodes: [
          pythonNode("number", "number.py", { inputs: { number: { param: "number" } }, outputs: [{ name: "number", type: "json" }] }),
          pythonNode("double", "double.py", { inputs: { number: { node: "number", output: "number" } }, outputs: [{ name: "doubled", type: "json" }] }),
        ],
      },
      {
        name: "waiting",
        params: [{ name: "flag", type: "string" }],
        nodes: [pythonNode("train", "wait.py", { inputs: { flag: { param: "flag" } }, outputs: [{ name: "model", type: "model" }] })],
      },
      {
        name: "failing",
        params: [],
        nodes: [
          pythonNode("train", "broken.py", { retries: { times: 1, wait: "10ms" }, outputs: [{ name: "model", type: "json" }] }),
          pythonNode("after", "double.py", { inputs: { number: { node: "train", output: "model" } } }),
        ],
      },
      {
        name: "endless",
        params: [],
        nodes: [pythonNode("train", "wait.py", { inputs: { flag: { literal: "/nowhere" } }, timeout: "1s" })],
      },
      {
        name: "secretive",
        params: [],
        nodes: [command("tell", ["sh", "-c", "echo the token is $API_TOKEN; printf '{\"auc\": 0.5}' > $0", "{outputs.scores}"], "metrics", ["API_TOKEN"])],
      },
      { name: "numberless", params: [], nodes: [command("score", ["sh", "-c", 'echo \'{"auc": "high"}\' > $0', "{outputs.scores}"], "metrics")] },
      { name: "tableless", params: [], nodes: [command("rows", ["sh", "-c", "echo no parquet > $0", "{outputs.scores}"], "table")] },
      { name: "unresolved", params: [], nodes: [pythonNode("train", "forgetful.py", { config: { script: "forgetful.py", requirements: "wrong.lock" } })] },
      {
        name: "loud",
        params: [],
        nodes: [command("shout", ["sh", "-c", "yes shouting shouting shouting | head -c 200000000; echo '{}' > $0", "{outputs.scores}"], "metrics")],
      },
      { name: "forgetful", params: [], nodes: [pythonNode("train", "forgetful.py", { outputs: [{ name: "model", type: "model" }] })] },
    ],
  );
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const states = (run: RunDetail) => Object.fromEntries(run.steps.map((step) => [step.id, step.state]));

test("a run's steps hand their outputs on, and say so in their logs", async () => {
  const asked = await api.start("numbers", { number: 21 });
  expect(asked).toMatchObject({ state: "queued", pipeline: "numbers", project: "test", projectVersion: 1, params: { number: 21, until: "latest" } });
  const run = await api.untilOver(asked.id);
  expect(run).toMatchObject({ state: "succeeded", message: null });
  expect(run.steps.map((s) => [s.state, s.attempt])).toEqual([
    ["succeeded", 1],
    ["succeeded", 1],
  ]);
  const doubled = run.steps[1]?.outputs.doubled;
  expect(doubled).toMatchObject({ type: "json", meta: { value: 42 }, files: [{ path: "doubled.json", size: 2 }] });
  expect(await api.log(run.id, "number")).toEqual(["the number is 21"]);

  const file = await fetch(`${server.url}/api/v1/runs/${run.id}/steps/double/artifacts/doubled/files/doubled.json`);
  expect([file.status, await file.text(), file.headers.get("content-disposition")]).toEqual([200, "42", "attachment; filename*=UTF-8''doubled.json"]);
  const outside = await fetch(`${server.url}/api/v1/runs/${run.id}/steps/double/artifacts/doubled/files/..%2Fexecutor-id`);
  expect(outside.status).toBe(404);
});

test("what has not changed is not done again", async () => {
  const first = await api.untilOver((await api.start("numbers", { number: 5 })).id);
  const second = await api.untilOver((await api.start("numbers", { number: 5, until: "2013-03" })).id);
  expect(states(second)).toEqual({ number: "cached", double: "cached" });
  expect(second.steps.map((s) => s.cachedFrom)).toEqual([first.id, first.id]);
  expect(second.steps.map((s) => s.outputs)).toEqual(first.steps.map((s) => s.outputs));
});

test("a step that fails ends the run with the reason, after its retries", async () => {
  const run = await api.untilOver((await api.start("failing")).id);
  expect(states(run)).toEqual({ train: "failed", after: "skipped" });
  expect(run.state).toBe("failed");
  expect(run.message?.split("\n")[0]).toBe('The step "train" failed: broken.py ended with code 1: ValueError: there are no rows');
  expect(run.steps[0]?.attempt).toBe(2);
  const log = await api.log(run.id, "train");
  expect(log.filter((line) => line.startsWith("broken.py ended with code 1"))).toHaveLength(2);
  expect(log.join("\n")).not.toContain("_step.py");
});

test("an output that was not written is named", async () => {
  const run = await api.untilOver((await api.start("forgetful")).id);
  expect(run.message).toContain('The output "model" is missing');
});

test("a step is given the secrets that it names, which nobody sees; one that is not set ends it before it starts", async () => {
  const without = await api.untilOver((await api.start("secretive")).id);
  expect(without.message).toBe('The step "tell" failed: The secret API_TOKEN, which the step asks for, is not set. Set it with: millrace secret set API_TOKEN');
  expect((await api.call("PUT", "/api/v1/secrets/API_TOKEN", { value: "s3cr3t-value" })).status).toBe(200);
  const run = await api.untilOver((await api.start("secretive")).id);
  expect(run).toMatchObject({ state: "succeeded", metrics: { auc: 0.5 } });
  expect(await api.log(run.id, "tell")).toEqual(["the token is ***"]);
  const seen = JSON.stringify([await api.get(`/api/v1/runs/${run.id}/steps/tell/debug`), await api.get("/api/v1/secrets")]);
  expect(seen).toContain("API_TOKEN");
  expect(seen).not.toContain("s3cr3t");
  const { attempts } = await api.get<StepDetail>(`/api/v1/runs/${run.id}/steps/tell`);
  expect(attempts).toMatchObject([{ attempt: 1, outcome: "succeeded", exitCode: 0 }]);
});

test("outputs that are not what their types say, and requirements that can't be had, end the step with what is wrong", async () => {
  const said = async (pipeline: string) => (await api.untilOver((await api.start(pipeline)).id)).message ?? "";
  expect(await said("numberless")).toContain('The metric "auc" of the output "scores" is "high": give a finite number.');
  expect(await said("tableless")).toMatch(/The output "scores" can't be read as Parquet/);
  expect(await said("unresolved")).toContain("no-such-package-of-millrace");
});

test("a step that says 200 MB is heard in part, and told so", async () => {
  const run = await api.untilOver((await api.start("loud")).id);
  expect(run.state).toBe("succeeded");
  let last = "";
  for (let from = 0; ; ) {
    const page = await api.get<LogPage>(`/api/v1/runs/${run.id}/steps/shout/log?from=${from}`);
    last = page.lines.at(-1)?.text ?? last;
    from = page.next;
    if (page.lines.length === 0) break;
  }
  expect(last).toMatch(/The log is cut here/);
});

test("what a step was given is told, so that it can be run again elsewhere", async () => {
  const run = await api.untilOver((await api.start("numbers", { number: 8 })).id);
  const told = await api.get<StepDebug>(`/api/v1/runs/${run.id}/steps/double/debug`);
  expect(told).toMatchObject({ kind: "python", inputs: { number: { type: "json", meta: { value: 8 } } }, outputs: [{ name: "doubled", type: "json" }] });
  expect(told.code.map((file) => file.path)).toContain("double.py");
});

test("a script that takes longer than its timeout is ended", async () => {
  const run = await api.untilOver((await api.start("endless")).id);
  expect(run.message).toBe('The step "train" failed: wait.py ran for longer than its timeout of 1 s, and was ended.');
});

test("params that are wrong are refused, each with what would be right", async () => {
  const { status, body } = await api.call<{ error: { message: string } }>("POST", "/api/v1/pipelines/numbers/runs", {
    params: { number: "many", until: "March", depth: 3 },
  });
  expect(status).toBe(400);
  expect(body.error.message).toBe(
    'The params of the pipeline "numbers" are wrong. "number" is "many": give a whole number. "until" is "March": give a month as 2013-03, or latest. "depth" is no param of it: it takes number, until.',
  );
});

test("a run that is cancelled ends its process", async () => {
  const asked = await api.start("waiting", { flag: flag("never") });
  await api.untilSaid(asked.id, "train", "waiting");
  expect((await api.call("POST", `/api/v1/runs/${asked.id}/cancel`)).status).toBe(200);
  const run = await api.untilOver(asked.id);
  expect([run.state, states(run)]).toEqual(["cancelled", { train: "cancelled" }]);
  expect((await api.call("POST", `/api/v1/runs/${asked.id}/cancel`)).status).toBe(409);
  const pipeline = await api.get<Pipeline>("/api/v1/pipelines/waiting");
  expect(pipeline.lastRun?.id).toBe(run.id);
});

test("a run goes on after the server was stopped, and killed, in the middle of a step", async () => {
  const asked = await api.start("waiting", { flag: flag("go") });
  for (const attempt of [1, 2]) {
    await api.until(asked.id, (run) => run.steps[0]?.attempt === attempt);
    while ((await api.log(asked.id, "train")).length < attempt) await delay(50);
    await (attempt === 1 ? server.stop() : server.kill());
    server = await startServerProcess(path.join(folder, "data"));
    api = openApi(server.url);
  }
  await api.until(asked.id, (run) => run.steps[0]?.attempt === 3);
  await writeFile(flag("go"), "");
  const run = await api.untilOver(asked.id);
  expect(run).toMatchObject({
    state: "succeeded",
    steps: [{ state: "succeeded", attempt: 3, outputs: { model: { files: [{ path: "weights.bin", size: 7 }] } } }],
  });
  // Nothing is left of what the killed ones worked in.
  const left = async () => (await readdir(path.join(folder, "data", "work"), { recursive: true })).filter((name) => name.includes(path.sep));
  await expect.poll(left).toEqual([]);
});
