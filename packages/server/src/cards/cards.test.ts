import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { ModelCard, RunDetail } from "@millrace/sdk/api";
import type { ModelCardSpec, PipelineSpec } from "@millrace/sdk/spec";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { openShadeLoop, type ShadeLoop, shadePipeline } from "../monitoring/testing.js";
import { clientPython, mlflowApi } from "../tracking/testing.js";

const scripts = fileURLToPath(new URL("client/", import.meta.url));
const hostile = "<img src=x onerror=alert(1)>|`a`";
const declared: ModelCardSpec = {
  name: "shade",
  summary: "Says whether a shade is dark.\n\n## Approvals\n\nEverybody said yes.",
  owner: "Colour team <colour@example.com>",
  license: "apache-2.0",
  languages: ["en"],
  tags: ["colour"],
  intendedUse: "Sorting of samples in the workshop.",
  outOfScopeUse: "Anything that is about people's skin.",
  limitations: ["Knows red and blue alone.", "1. Was never | tried at <night>."],
  references: ["https://example.com/shade?a=1&b=2", "javascript:alert(1)"],
};
const asked: PipelineSpec = {
  ...shadePipeline,
  nodes: shadePipeline.nodes.flatMap((node): PipelineSpec["nodes"] =>
    node.id === "register"
      ? [
          {
            ...{ id: "ask", kind: "approval", inputs: {}, outputs: [{ name: "decision", type: "json" }], after: ["evaluate"] },
            config: { question: "May it be registered?" },
          },
          { ...node, after: ["ask"] },
        ]
      : [node],
  ),
};

let folder: string;
let loop: ShadeLoop;
let run: RunDetail;
const route = (name: string, version: number, format?: string) =>
  `${loop.url}/api/v1/models/${encodeURIComponent(name)}/versions/${version}/card${format === undefined ? "" : `?format=${format}`}`;
const text = async (...of: Parameters<typeof route>) => (await fetch(route(...of))).text();
const cardOf = async (name: string, version: number) => (await (await fetch(route(name, version, "json"))).json()) as ModelCard;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
  loop = await openShadeLoop(folder, "2024-01-01T00:00:00Z");
  await loop.apply({ pipelines: [asked], modelCards: [declared] });
  const color = `case i % 3 when 0 then 'red' when 1 then 'blue' else '${hostile}' end`;
  await loop.arrive("one.parquet", `select ${color} as color, i / 150.0 - 1 as x, i > 150 or i % 7 = 0 as dark from range(600) t(i)`);
  const { id } = await loop.send<{ id: string }>("POST", "/api/v1/pipelines/shade/runs", {});
  const stepsOf = async () => (await loop.get<RunDetail>(`/api/v1/runs/${id}`)).steps;
  await vi.waitFor(async () => expect((await stepsOf()).find((step) => step.id === "ask")?.state).toBe("asking"), { timeout: 60_000, interval: 50 });
  await loop.send("POST", `/api/v1/runs/${id}/steps/ask/approve`, { approved: true, comment: "Looks right." });
  await loop.finished(id);
  run = await loop.get<RunDetail>(`/api/v1/runs/${id}`);
});
afterAll(async () => {
  await loop.stop();
  await rm(folder, { recursive: true, force: true });
});

it("says of a pipeline's version all that is known: data, run, metrics, slices, gates, approvals, signature, and what people declared", async () => {
  const { name: _, ...told } = declared;
  expect(await cardOf("shade", 1)).toMatchObject({
    ...{ model: "shade", version: 1, aliases: ["champion"], library: "onnx" },
    declared: { ...told, in: "test v1" },
    data: [{ dataset: "shades", version: 1, rows: 600, readBy: ["step read"] }],
    training: { run: run.id, pipeline: "shade", project: "test v1", commit: "c0ffee", dirty: false, params: { model: "columns" } },
    signature: {
      inputs: [
        { name: "color", type: "string" },
        { name: "x", type: "float64" },
      ],
      outputs: [{ name: "probability", type: "float64" }],
    },
    report: { candidate: { rows: 600 } },
    gates: [{ passed: true }],
    approvals: [{ of: "step ask of the run", approved: true, comment: "Looks right." }],
    serving: [{ endpoint: "shade", as: "stable" }],
    files: [{ path: "model.onnx" }],
  });
  const markdown = await text("shade", 1);
  for (const line of [
    "Sorting of samples in the workshop.",
    "- Knows red and blue alone.",
    "- 1\\. Was never \\| tried at \\<night\\>.",
    "| color = red | 200 | 157 |",
    "| shades | 1 | 600 | 2024-01-01 00:00 UTC | step read |",
    "| step ask of the run | approved |",
    `millrace predict shade --json '{"asked":`,
    "- **Answers as:** stable version of the endpoint shade",
  ])
    expect(markdown).toContain(line);
});

it("lets nothing that was written into names and texts become part of the page", async () => {
  const markdown = await text("shade", 1);
  expect(markdown.match(/^## Approvals$/gm)).toHaveLength(1);
  expect(markdown).toContain("color = \\<img src=x onerror=alert(1)\\>\\|\\`a\\`");
  const answer = await fetch(route("shade", 1, "html"));
  expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
  const html = await answer.text();
  const known = ["a", "body", "code", "dd", "dl", "dt", "h1", "h2", "h3", "head", "html", "li", "main", "meta", "p", "pre", "style", "table", "tbody", "td"];
  const tags = [...new Set([...html.matchAll(/<([a-z][a-z0-9]*)/g)].map((found) => found[1] ?? ""))];
  expect(tags.filter((tag) => ![...known, "th", "thead", "title", "tr", "ul"].includes(tag))).toEqual([]);
  expect([...html.matchAll(/<[a-z][^>]* ([a-z]+)=/g)].map((found) => found[1]).filter((name) => name?.startsWith("on"))).toEqual([]);
  expect(html).not.toMatch(/href="(?!https?:)/);
  expect(html).toContain("&lt;img src=x onerror=alert(1)&gt;|`a`");
  expect(html).toContain('<a href="https://example.com/shade?a=1&amp;b=2" rel="noreferrer">');
  expect(html.match(/<h2>Approvals<\/h2>/g)).toHaveLength(1);
});

it("is a card that Hugging Face's own library reads, with its results", { timeout: 600_000 }, async () => {
  const python = await clientPython(path.join(scripts, "requirements.lock"), folder);
  await writeFile(path.join(folder, "README.md"), await text("shade", 1));
  const { stdout } = await promisify(execFile)(python, [path.join(scripts, "user.py"), path.join(folder, "README.md")], {
    env: { ...process.env, HF_HUB_OFFLINE: "1", PYTHONDONTWRITEBYTECODE: "1" },
  });
  const { report, data } = await cardOf("shade", 1);
  const read: { results: unknown[]; sections: string[] } = JSON.parse(stdout);
  const shades = ["tabular-classification", "shades", "shades v1"];
  expect(read).toMatchObject({
    ...{ name: "shade", license: "apache-2.0", language: ["en"], library: "onnx", pipeline: "tabular-classification", tags: ["millrace", "colour"] },
    ...{ again: true, title: "# shade, version 1" },
    sections: expect.arrayContaining(["Model Details", "Uses", "Bias, Risks, and Limitations", "Training Details", "Evaluation"]),
  });
  expect(read.results).toContainEqual([...shades, null, data[0]?.digest, "roc_auc", report?.candidate.auc]);
  const red = report?.slices.find((one) => one.value === "red");
  expect(read.results).toContainEqual([...shades, "color=red", data[0]?.digest, "brier_score", red?.candidate.brier]);
});

it("is made for a version of MLflow's clients too, of its files, run and tags", async () => {
  const call = mlflowApi(() => loop.url);
  const post = async (to: string, body: Record<string, unknown>) => (await call("POST", to, body)).body;
  const experiment_id = (await post("experiments/create", { name: "by hand" })).text("experiment_id");
  const run_id = (await post("runs/create", { experiment_id, tags: [{ key: "mlflow.source.git.commit", value: "feedbeef12345678" }] })).text(
    "run",
    "info",
    "run_id",
  );
  await post("runs/log-parameter", { run_id, key: "depth", value: "3" });
  await post("runs/log-metric", { run_id, key: "r2", value: 0.75, timestamp: 1 });
  const dataset = { name: "houses", digest: "d1g3st", source_type: "http", source: "{}" };
  await post("runs/log-inputs", { run_id, datasets: [{ dataset, tags: [{ key: "mlflow.data.context", value: "training" }] }] });
  const mlmodel = [
    "flavors:",
    "  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.7}",
    "  sklearn: {sklearn_version: 1.7.2}",
    "signature:",
    `  inputs: '[{"type": "double", "name": "area", "required": true}, {"type": "string", "name": "town", "required": false}]'`,
    `  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'`,
  ].join("\n");
  for (const [name, content] of Object.entries({ MLmodel: mlmodel, "requirements.txt": "mlflow==3.17.2\nscikit-learn==1.7.2 --hash=sha256:00\n# a note\n" })) {
    const answer = await fetch(`${loop.url}/api/2.0/mlflow-artifacts/artifacts/${experiment_id}/${run_id}/artifacts/model/${name}`, {
      method: "PUT",
      body: content,
    });
    expect(answer.status).toBe(200);
  }
  await post("registered-models/create", { name: "house prices", description: "By area.", tags: [{ key: "owner", value: "Prices" }] });
  await post("model-versions/create", { name: "house prices", source: `runs:/${run_id}/model`, run_id, tags: [{ key: "limitations", value: "Towns only." }] });

  expect(await cardOf("house prices", 1)).toMatchObject({
    ...{ library: "sklearn", description: "By area.", declared: { owner: "Prices", limitations: ["Towns only."], in: null } },
    data: [{ dataset: "houses", version: null, digest: "d1g3st" }],
    training: { run: run_id, pipeline: null, commit: "feedbeef12345678", params: { depth: "3" }, metrics: { r2: 0.75 } },
    environment: { python: "3.11.7", requirements: ["mlflow==3.17.2", "scikit-learn==1.7.2"] },
    signature: {
      inputs: [
        { name: "area", type: "double" },
        { name: "town", type: "string, optional" },
      ],
      outputs: [{ name: "0", type: "float64[-1]" }],
    },
    ...{ report: null, approvals: [], serving: [] },
  });
  const markdown = await text("house prices", 1);
  expect(markdown).toContain('model = mlflow.pyfunc.load_model("models:/house prices/1")');
  expect(markdown).toContain("[More Information Needed]");
  for (const [name, version] of [
    ["house prices", 2],
    ["none", 1],
  ] as const)
    expect((await fetch(route(name, version))).status).toBe(404);
});
