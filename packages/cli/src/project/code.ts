/** The code of each step and expectation: which of the project's files its outcome depends on. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { everyNode, type InferenceGraphSpec, isProcess, nodesOf, type ProcessNode, type ProjectSpec, type SchemaSpec } from "@millrace/sdk/spec";
import type { Bundle } from "./bundle.js";
import type { ProjectFile } from "./files.js";
import { patternOf } from "./ignore.js";
import { namedFiles, pythonClosure } from "./python.js";

export interface WithCode {
  spec: ProjectSpec;
  /** Files that are made from the project's, by digest. */
  made: ReadonlyMap<string, Uint8Array>;
}

/** The document with the code of each step, and the bundles of those in TypeScript, and of expectations, among its files. */
export async function withCode(draft: ProjectSpec, folder: string, files: readonly ProjectFile[]): Promise<WithCode> {
  const spec = structuredClone(draft);
  const paths = new Set(files.map((file) => file.path));
  const sources = new Map<string, string>();
  const read = (file: string): string => {
    const known = sources.get(file) ?? readFileSync(path.join(folder, file), "utf8");
    sources.set(file, known);
    return known;
  };
  const nodes = spec.pipelines.flatMap((pipeline) => everyNode(pipeline.nodes)).filter(isProcess);
  const bundles = await bundled(nodes, folder);
  for (const node of nodes) {
    const more = matching(node.code ?? [], paths);
    const code = node.kind === "python" ? pythonCode(node, paths, read) : node.kind === "command" ? commandCode(node, paths, read) : [];
    if (node.kind === "typescript") {
      const bundle = bundles.get(`${node.config.bundle} ${node.config.step}`);
      if (bundle !== undefined) {
        node.config.bundle = bundle.path;
        code.push(bundle.path);
      }
    }
    // A program whose files are not known may read any of them.
    if (node.kind === "command" && code.length === 0 && more.length === 0) delete node.code;
    else node.code = [...new Set([...code, ...more])].sort();
  }
  const made = new Map<string, Uint8Array>();
  const added = new Map<string, ProjectFile>();
  const add = ({ path: place, bytes }: Bundle): string => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    made.set(digest, bytes);
    added.set(place, { path: place, digest, size: bytes.length });
    return digest;
  };
  for (const bundle of bundles.values()) add(bundle);
  await bundleExpectations(spec.schemas, folder, add);
  await bundleTransforms(spec.inferenceGraphs ?? [], folder, add);
  spec.files = [...files, ...added.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  return { spec, made };
}

/** Each step once, also where several pipelines use it. Loading the bundler costs: it is left alone where there is nothing to bundle. */
async function bundled(nodes: readonly ProcessNode[], folder: string): Promise<Map<string, Bundle>> {
  const wanted = new Map(nodes.flatMap((node) => (node.kind === "typescript" ? [[`${node.config.bundle} ${node.config.step}`, node.config] as const] : [])));
  if (wanted.size === 0) return new Map();
  const { bundleStep } = await import("./bundle.js");
  const made = await Promise.all([...wanted].map(async ([key, { bundle, step }]) => [key, await bundleStep(folder, { step, place: bundle })] as const));
  return new Map(made);
}

/** Says of each expectation that is a function which bundle it is in, what it reads of a row, and where it stands. */
async function bundleExpectations(schemas: readonly SchemaSpec[], folder: string, add: (bundle: Bundle) => string): Promise<void> {
  const functions = schemas.flatMap((schema) => (schema.expectations ?? []).flatMap((one) => ("bundle" in one ? [{ schema, one }] : [])));
  if (functions.length === 0) return;
  const { bundleExpectation } = await import("./bundle.js");
  await Promise.all(
    functions.map(async ({ schema, one }) => {
      const at = { schema: schema.name, expectation: one.name, place: one.definedAt, schemaPlace: schema.definedAt ?? one.bundle };
      const bundle = await bundleExpectation(folder, at);
      one.bundle = bundle.path;
      one.digest = add(bundle);
      if (bundle.columns !== undefined) one.columns = bundle.columns;
      if (bundle.definedAt !== undefined) one.definedAt = bundle.definedAt;
    }),
  );
}

/** Says of each transform of the inference graphs which bundle it is in. */
async function bundleTransforms(graphs: readonly InferenceGraphSpec[], folder: string, add: (bundle: Bundle) => string): Promise<void> {
  const transforms = graphs.flatMap((graph) => [...nodesOf(graph.node)].flatMap((node) => (node.kind === "transform" ? [node] : [])));
  if (transforms.length === 0) return;
  const { bundleTransform } = await import("./bundle.js");
  await Promise.all(
    transforms.map(async (one) => {
      const bundle = await bundleTransform(folder, { name: one.name, place: one.bundle });
      one.bundle = bundle.path;
      one.digest = add(bundle);
    }),
  );
}

function pythonCode({ config: { script } }: Extract<ProcessNode, { kind: "python" }>, paths: ReadonlySet<string>, read: (path: string) => string): string[] {
  const [module = ""] = script.split(":");
  if (!script.includes(":")) return paths.has(script) ? pythonClosure([script], paths, read, () => [folderOf(script), ""]) : [script];
  const stem = module.replaceAll(".", "/");
  const file = [`${stem}.py`, `${stem}/__init__.py`].find((one) => paths.has(one));
  return file === undefined ? [] : pythonClosure([file], paths, read, () => [""]);
}

function commandCode({ config: { command } }: Extract<ProcessNode, { kind: "command" }>, paths: ReadonlySet<string>, read: (path: string) => string): string[] {
  const named = new Set<string>();
  for (const argument of command) {
    for (const text of [argument, argument.slice(argument.indexOf("=") + 1)]) {
      const place = path.posix.normalize(text).replace(/\/$/, "");
      if (paths.has(place)) named.add(place);
      else if (place !== "." && place !== "") for (const one of paths) if (one.startsWith(`${place}/`)) named.add(one);
    }
  }
  const scripts = [...named].filter((one) => one.endsWith(".py"));
  for (const one of pythonClosure(scripts, paths, read, (script) => [folderOf(script), ""])) named.add(one);
  for (const one of [...named]) if (/\.(sh|bash)$/.test(one)) for (const other of namedFiles(read(one), one, paths)) named.add(other);
  return [...named];
}

const folderOf = (file: string): string => (file.includes("/") ? file.slice(0, file.lastIndexOf("/")) : "");

/** Files that the patterns name. A pattern that names none stays, to be told as a file that is not there. */
function matching(patterns: readonly string[], paths: ReadonlySet<string>): string[] {
  return patterns.flatMap((pattern) => {
    if (paths.has(pattern)) return [pattern];
    const form = patternOf(pattern.includes("/") ? pattern : `/${pattern}`);
    const found = [...paths].filter((one) => form.test(one) || one.startsWith(`${pattern.replace(/\/$/, "")}/`));
    return found.length > 0 ? found : [pattern];
  });
}
