/** For tests: the `millrace` command as a process, projects in git repositories, and versions of the model `shade` to promote. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { mlflowApi } from "../tracking/testing.js";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
/** How the command is run from its sources, in whatever folder. */
export const command = [
  process.execPath,
  "--conditions=millrace-source",
  "--import",
  path.join(root, "node_modules/tsx/dist/esm/index.mjs"),
  path.join(root, "packages/cli/src/main.ts"),
];

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}
export function millrace(args: readonly string[], { cwd, url = "http://127.0.0.1:9", env = {} }: { cwd: string; url?: string; env?: Record<string, string> }) {
  const [node = "", ...rest] = command;
  return new Promise<Ended>((resolve) => {
    const settings = { cwd, env: { ...process.env, MILLRACE_URL: url, ...env }, timeout: 120_000 };
    execFile(node, [...rest, ...args], settings, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr }),
    );
  });
}

export async function git(folder: string, ...args: string[]): Promise<string> {
  const identity = ["-c", "user.name=Anna", "-c", "user.email=anna@example.org", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"];
  const env = { ...process.env, GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null" };
  return (await promisify(execFile)("git", ["-C", folder, ...identity, ...args], { env })).stdout.trim();
}

/** The endpoint `shade` and its features, in the folder, which becomes a git repository with one commit. Answers the commit. */
export async function shadeRepository(folder: string, definitions = ""): Promise<string> {
  const made = await millrace(["init", folder], { cwd: path.dirname(folder) });
  if (made.code !== 0) throw new Error(made.stderr);
  await writeFile(path.join(folder, "millrace.ts"), shadeProject(definitions));
  await git(folder, "init");
  return commitAll(folder, "The endpoint shade");
}
/** With a file that is new, where nothing else was changed. */
export async function commitAll(folder: string, message: string, file?: string): Promise<string> {
  if (file !== undefined) await writeFile(path.join(folder, file), `${message}\n`);
  await git(folder, "add", "--all");
  await git(folder, "commit", "--message", message);
  return git(folder, "rev-parse", "HEAD");
}

export const shadeProject = (definitions = "") => `import * as sdk from "@millrace/sdk";
const service = sdk.featureService({
  name: "shade_features",
  request: { asked: sdk.timestamp(), color: sdk.string(), x: sdk.float64() },
  timestamp: "asked",
  views: [],
  features: ["color", "x"],
});
export const shade = sdk.endpoint({ name: "shade", model: "shade", features: service, rollout: sdk.canary({ steps: ["100%"], each: "1s", judge: [] }) });
${definitions}
export default sdk.project({ name: "shades", definitions: [shade${definitions === "" ? "" : ", more"}] });
`;

/** A version of the model `shade` as MLflow's clients register one, of one of inference's fixtures. */
export async function registerShade(url: string, fixture: "columns" | "reversed" | "faulty" | "matrix", token?: string, name = "shade"): Promise<number> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const call = mlflowApi(() => url, headers);
  const run = (await call("POST", "runs/create", { experiment_id: "0" })).body;
  const place = `${run.text("run", "info", "artifact_uri").replace("mlflow-artifacts:/", "")}/model/model.onnx`;
  const body = await readFile(path.join(root, `packages/server/src/inference/fixtures/${fixture}.onnx`));
  const put = await fetch(`${url}/api/2.0/mlflow-artifacts/artifacts/${place}`, { method: "PUT", body: new Uint8Array(body), headers });
  if (!put.ok) throw new Error(await put.text());
  await call("POST", "registered-models/create", { name });
  const run_id = run.text("run", "info", "run_id");
  const made = await call("POST", "model-versions/create", { name, source: `runs:/${run_id}/model`, run_id });
  return Number(made.body.text("model_version", "version"));
}
