import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readMlmodel } from "./mlmodel.js";
import { readRequirements } from "./requirements.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A model's folder with these files. */
async function requirements(files: Record<string, string>) {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), text);
  }
  return readRequirements(folder, await readMlmodel(folder));
}
const mlmodel = (env: string) => `mlflow_version: 2.9.2\nflavors:\n  python_function:\n    python_version: 3.9.1\n    ${env}\n`;

it("an environment is that of python_env.yaml, with files that its requirements name and what loads the model", async () => {
  const read = await requirements({
    MLmodel: mlmodel("env: { conda: conda.yaml, virtualenv: python_env.yaml }"),
    "python_env.yaml": "python: 3.10.4\nbuild_dependencies:\n- pip==23.0\n- setuptools==65.5.0\n- wheel\ndependencies:\n- -r requirements.txt\n",
    "requirements.txt":
      "# made by MLflow\nscikit_learn==1.2 \\\n  ; python_version > '3.8'  # and no other\n-c more/constraints.txt\nPandas<2\n--extra-index-url https://packages.example.org/simple\n",
    "more/constraints.txt": "numpy<1.25\n-r others.txt\n",
    "more/others.txt": "scipy<2\n",
  });
  expect(read).toEqual({
    python: "3.10",
    requirements:
      "setuptools==65.5.0\nscikit_learn==1.2    ; python_version > '3.8'\nPandas<2\n--extra-index-url https://packages.example.org/simple\nmlflow-skinny==2.9.2\nnumpy\n",
    constraints: "numpy<1.25\nscipy<2\n",
    locked: false,
  });
});

it("an older model's environment is the pip part of its conda.yaml", async () => {
  const conda =
    "channels: [conda-forge]\ndependencies:\n- python=3.8.10\n- pip<=21\n- pip:\n  - mlflow<3\n  - torch @ https://download.example.org/torch.whl\nname: mlflow-env\n";
  const read = await requirements({ MLmodel: mlmodel("env: conda.yaml"), "conda.yaml": conda });
  expect(read).toMatchObject({ python: "3.8", requirements: "mlflow<3\ntorch @ https://download.example.org/torch.whl\nnumpy\npandas\n", constraints: "" });
});

it("requirements with hashes are a lock, and stay as they are", async () => {
  const hash = `--hash=sha256:${"0".repeat(64)}`;
  const read = await requirements({ MLmodel: mlmodel("loader_module: x"), "requirements.txt": `mlflow==3.1 \\\n  ${hash}\nnumpy==2 ${hash}\n` });
  expect(read).toEqual({ python: "3.9", requirements: `mlflow==3.1    ${hash}\nnumpy==2 ${hash}\n`, constraints: "", locked: true });
});

it("what is no package of a registry is refused, and so is a file that is not the model's", async () => {
  const wrong: [string, string][] = [
    ["-e .", 'have "-e ."'],
    ["./wheels/x-1.0-py3-none-any.whl", "packages of a registry by name are taken, or by an https address."],
    ["wheels/x.whl", 'have "wheels/x.whl"'],
    ["x @ file:///etc/x.whl", 'have "x @ file'],
    ["--find-links /srv/wheels", 'have "--find-links'],
    ["--index-url file:///srv", 'have "--index-url'],
    ["-r /etc/passwd", "which is not within it"],
    ["-r ../other/requirements.txt", "which is not within it"],
    ["-r nothing.txt", "name the file nothing.txt, which it does not have"],
    ["-r requirements.txt", "are in more than 8 files"],
  ];
  for (const [line, message] of wrong)
    await expect(requirements({ MLmodel: mlmodel("loader_module: x"), "requirements.txt": `numpy\n${line}\n` }), line).rejects.toThrow(message);
  await rm(path.join(folder, "requirements.txt"));
  await expect(requirements({})).rejects.toThrow("The model does not say what it needs");
});
