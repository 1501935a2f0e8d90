import type { Artifact } from "@millrace/sdk/api";
import type { ModelSource } from "../inference/index.js";
import { type Digest, invalid, type ObjectStore } from "../platform/index.js";

export type { Digest } from "../platform/index.js";

/** Where a table's parts lie on this machine, in order. */
export async function localPaths(objects: ObjectStore, table: Artifact): Promise<string[]> {
  if (table.files.length === 0) throw invalid("The table has no parts, so there is nothing to read.");
  return Promise.all(table.files.map((file) => objects.localPath(digestOf(file.digest))));
}

/** The ONNX file of a model's files: `model.onnx`, or the only one that ends so. */
function onnxFile(files: readonly { path: string; digest: string }[]): Digest {
  const candidates = files.filter((f) => f.path.endsWith(".onnx"));
  const chosen = candidates.find((f) => f.path === "model.onnx") ?? (candidates.length === 1 ? candidates[0] : undefined);
  if (chosen === undefined) {
    const has = files.length === 0 ? "no files" : files.map((f) => f.path).join(", ");
    throw invalid(`A model needs a file model.onnx, one file that ends in .onnx, or the files of a model of MLflow's with its MLmodel. This one has ${has}.`);
  }
  return digestOf(chosen.digest);
}

/**
 * What runs a model with these files: ONNX where the whole of it is a file model.onnx, as MLflow's own flavor has it, or where nothing says that it is
 * MLflow's; else Python.
 */
export async function modelSource(
  objects: Pick<ObjectStore, "localPath">,
  files: readonly { path: string; digest: string }[],
  called: string,
): Promise<ModelSource> {
  const isMlflow = files.some((file) => file.path === "MLmodel") && !files.some((file) => file.path === "model.onnx");
  if (isMlflow) return { mlflow: { files: files.map((file) => ({ path: file.path, digest: digestOf(file.digest) })), called } };
  return { onnx: await objects.localPath(onnxFile(files)) };
}

/** Of an artifact that an earlier step gave. */
export function artifact(inputs: Record<string, Artifact | string | number | boolean | null>, name: string, type: Artifact["type"]): Artifact {
  const input = inputs[name];
  if (input === null || typeof input !== "object" || input.type !== type) throw invalid(`The step needs an input "${name}" that is a ${type}.`);
  return input;
}

export function digestOf(text: string): Digest {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(text)?.[1];
  if (hex === undefined) throw invalid(`"${text}" is not a digest: write sha256: and 64 hexadecimal digits.`);
  return `sha256:${hex}`;
}
