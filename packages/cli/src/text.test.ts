import { describe, expect, test } from "vitest";
import { tree } from "./commands/lineage.js";
import { inferenceService } from "./commands/render-kserve.js";
import { parseParams } from "./commands/run.js";
import { ignoring } from "./project/ignore.js";

test("code goes with a project; data, packages, dotfiles and what ignore files name do not", () => {
  const ignored = ignoring(["# a comment", "*.log", "/build/", "docs/**/*.md", "!keep.log"]);
  const left = ["train.py", "pipelines/delay.ts", "lib/build/x.py", "keep.log", "docs/a.txt", "requirements.lock"];
  const out = ["node_modules/", "data/", ".env", "lib/__pycache__/", "x.log", "a/b.log", "build/", "docs/a.md", "docs/deep/er/b.md", "x.parquet"];
  expect(left.filter(ignored)).toEqual([]);
  expect(out.filter((one) => !ignored(one))).toEqual([]);
});

test("a param's value is read as its type says", () => {
  const declared = [
    { name: "depth", type: "int" },
    { name: "rate", type: "float" },
    { name: "fast", type: "boolean" },
    { name: "note", type: "string" },
  ] as const;
  expect(parseParams(declared, ["depth=6", "rate=1e-3", "fast=true", "note=6=six"])).toEqual({ depth: 6, rate: 0.001, fast: true, note: "6=six" });
  // What does not fit goes as it is: the server says what would be right.
  expect(parseParams(declared, ["depth=six", "fast=1"])).toEqual({ depth: "six", fast: "1" });
  expect(() => parseParams(declared, ["depth"])).toThrow('"depth" is no param: write --param name=value.');
});

test("lineage is a tree in which each thing is told once", () => {
  const node = (id: string, kind: string, facts = {}) => ({ id, kind, label: id, facts });
  const lines = tree({
    root: "p1",
    nodes: [node("p1", "prediction"), node("m/3", "model_version"), node("r1", "run"), node("d/1", "dataset_version", { rows: 12 }), node("f.parquet", "file")],
    edges: [
      { from: "p1", to: "m/3" },
      { from: "m/3", to: "r1" },
      { from: "m/3", to: "d/1" },
      { from: "r1", to: "d/1" },
      { from: "d/1", to: "f.parquet" },
    ],
  });
  expect(lines).toEqual([
    "prediction p1",
    "└─ model version m/3",
    "   ├─ run r1",
    "   │  └─ dataset version d/1  (rows 12)",
    "   │     └─ file f.parquet",
    "   └─ dataset version d/1  (rows 12) (above)",
  ]);
});

describe("an InferenceService of KServe", () => {
  const options = { url: "http://millrace:4600", namespace: "shop", minReplicas: 1, maxReplicas: 3, runtime: "kserve" as const };
  const endpoint = { name: "Late_model", service: null, stable: 2, candidate: null, weight: 0, model: "late" };
  const version = { model: "late", version: 3, files: [{ path: "model.onnx", digest: `sha256:${"0".repeat(64)}`, size: 3 }] };

  test("of its own runtimes has the version's files by one address, and the part of a version that is tried", () => {
    expect(inferenceService({ ...endpoint, candidate: 3, weight: 0.1 }, version, options)).toEqual({
      ...{ apiVersion: "serving.kserve.io/v1beta1", kind: "InferenceService" },
      metadata: expect.objectContaining({
        name: "late-model",
        namespace: "shop",
        annotations: { "millrace/endpoint": "Late_model", "millrace/model": "late/3" },
      }),
      spec: {
        predictor: {
          ...{ minReplicas: 1, maxReplicas: 3, canaryTrafficPercent: 10 },
          model: {
            ...{ modelFormat: { name: "onnx" }, protocolVersion: "v2" },
            storageUri: "http://millrace:4600/api/v1/models/late/versions/3/archive.tar?triton=Late_model",
          },
        },
      },
    });
    const mlflow = inferenceService(endpoint, { ...version, files: [{ path: "MLmodel", digest: `sha256:${"0".repeat(64)}`, size: 3 }] }, options);
    expect(mlflow).toMatchObject({ spec: { predictor: { model: { modelFormat: { name: "mlflow" }, storageUri: expect.stringMatching(/archive\.tar$/) } } } });
    expect(mlflow).not.toHaveProperty("spec.predictor.canaryTrafficPercent");
    expect(() => inferenceService({ ...endpoint, service: "late_features" }, version, options)).toThrow("render it with --runtime millrace");
  });

  test("of Millrace's image is a process of the platform, asked for its health without a token", () => {
    const rendered = inferenceService({ ...endpoint, service: "late_features" }, undefined, {
      ...options,
      runtime: "millrace",
      image: "registry.example/millrace:1",
    });
    expect(rendered).toMatchObject({
      spec: {
        predictor: {
          containers: [
            {
              ...{ name: "kserve-container", image: "registry.example/millrace:1", args: expect.arrayContaining(["serve", "8080"]) },
              readinessProbe: { httpGet: { path: "/v2/health/ready", port: 8_080 } },
            },
          ],
        },
      },
    });
  });
});
