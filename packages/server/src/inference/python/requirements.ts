/** What a model needs of Python: its version and its packages, as MLflow wrote them down. */
import path from "node:path";
import { Type } from "@sinclair/typebox";
import { unfit } from "../onnx/index.js";
import { fitting, type MlflowModel, minorOf, readText, readYaml } from "./mlmodel.js";

export interface Requirements {
  /** `3.11`; null where the model does not say. */
  python: string | null;
  requirements: string;
  constraints: string;
  /** Every package comes with hashes: this is a lock already. */
  locked: boolean;
}

const mostFiles = 8;
const PythonEnvironment = Type.Object({
  python: Type.Optional(Type.Unknown()),
  build_dependencies: Type.Optional(Type.Array(Type.String())),
  dependencies: Type.Optional(Type.Array(Type.String())),
});
const CondaEnvironment = Type.Object({ dependencies: Type.Array(Type.Union([Type.String(), Type.Object({ pip: Type.Array(Type.String()) })])) });

export async function readRequirements(folder: string, model: MlflowModel): Promise<Requirements> {
  const { lines, python } = await linesOf(folder, model);
  const found: Found = { requirements: [], constraints: [], files: 0 };
  await collect(folder, "", lines, "requirements", found);
  const packages = found.requirements.filter((line) => !line.startsWith("-"));
  const locked = packages.length > 0 && packages.every((line) => line.includes("--hash="));
  if (!locked) {
    const named = new Set(packages.map(nameOf));
    // What loads it must be there, and what it works with itself: of MLflow's two packages, the smaller one does not bring them.
    if (!named.has("mlflow") && !named.has("mlflow-skinny")) found.requirements.push(`mlflow-skinny${model.mlflow === null ? "" : `==${model.mlflow}`}`);
    for (const name of ["numpy", "pandas"]) if (!named.has(name)) found.requirements.push(name);
  }
  return {
    python: python ?? model.python,
    requirements: `${found.requirements.join("\n")}\n`,
    constraints: found.constraints.map((line) => `${line}\n`).join(""),
    locked,
  };
}

async function linesOf(folder: string, { environment: { virtualenv, conda } }: MlflowModel): Promise<{ lines: string[]; python: string | null }> {
  const written = virtualenv === null ? undefined : await readText(folder, virtualenv);
  if (virtualenv !== null && written !== undefined) {
    const told = fitting(PythonEnvironment, readYaml(written, virtualenv), () => `The model's file ${virtualenv} is no environment of MLflow's.`);
    // What is older may do its imports by setuptools.
    const tools = told.build_dependencies?.filter((line) => nameOf(line) === "setuptools" && line.includes("=")) ?? [];
    return { lines: [...tools, ...(told.dependencies ?? [])], python: minorOf(told.python) };
  }
  const plain = await readText(folder, "requirements.txt");
  const file = conda ?? "conda.yaml";
  const described = await readText(folder, file);
  if (described === undefined) {
    if (plain === undefined) throw unfit("The model does not say what it needs: it has no python_env.yaml, conda.yaml or requirements.txt.");
    return { lines: ["-r requirements.txt"], python: null };
  }
  const { dependencies } = fitting(CondaEnvironment, readYaml(described, file), () => `The model's file ${file} is no environment of conda's.`);
  const python = dependencies.flatMap((one) => (typeof one === "string" ? (/^python=+(.*)$/.exec(one)?.[1] ?? []) : []))[0];
  return { lines: dependencies.flatMap((one) => (typeof one === "string" ? [] : one.pip)), python: minorOf(python) };
}

interface Found {
  requirements: string[];
  constraints: string[];
  files: number;
}
async function collect(folder: string, from: string, lines: string[], into: "requirements" | "constraints", found: Found): Promise<void> {
  for (const line of lines) {
    const [, option, name] = /^(-r|--requirement|-c|--constraint)[= ]\s*(.+)$/.exec(line) ?? [];
    if (option !== undefined && name !== undefined) {
      if (++found.files > mostFiles) throw unfit(`The model's requirements are in more than ${mostFiles} files.`);
      const file = path.isAbsolute(name) ? name : path.join(from, name);
      const text = await readText(folder, file);
      if (text === undefined) throw unfit(`The model's requirements name the file ${file}, which it does not have.`);
      const kind = option === "-c" || option === "--constraint" ? "constraints" : into;
      await collect(folder, path.dirname(file), joined(text), kind, found);
      continue;
    }
    refuseOthers(line);
    found[into].push(line);
  }
}

/** Lines without comments; what goes on in the next line, in one. */
function joined(text: string): string[] {
  return text
    .replaceAll(/\\\r?\n/g, " ")
    .split(/\r?\n/)
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "");
}

/** Packages of a registry, and which one: files of this machine are none of a model's business, and code that can be changed is no lock. */
function refuseOthers(line: string): void {
  if (/^(--index-url|-i|--extra-index-url)[= ]\s*https?:\/\/\S+$/.test(line) || /^--(pre|prefer-binary|only-binary[= ]\S+|no-binary[= ]\S+)$/.test(line))
    return;
  if (/^[A-Za-z0-9]/.test(line) && !/(^|@\s*)file:/.test(line) && !/^[^\s;@]*[/\\]/.test(line)) return;
  throw unfit(`The model's requirements have "${line.slice(0, 200)}": packages of a registry by name are taken, or by an https address.`);
}

/** As registries compare them. */
const nameOf = (line: string): string => (/^[A-Za-z0-9][A-Za-z0-9._-]*/.exec(line)?.[0] ?? "").toLowerCase().replaceAll(/[._-]+/g, "-");
