/** Where a version's files come from: addresses that clients name, which lead to artifacts of this server or to nothing of it. */
import { createHash } from "node:crypto";
import { invalidValue, missing } from "../mlflow/index.js";
import type { Digest, ObjectStore } from "../platform/index.js";
import { type ArtifactFile, artifactPath, type Tracking } from "../tracking/index.js";

export interface Source {
  files: ArtifactFile[];
  runId?: string;
  modelId?: string;
}
interface Registered {
  files: ArtifactFile[];
  run_id: string | null;
  model_id: string | null;
}

/** `registered` answers a version by number, alias, stage or `latest`. */
export async function readSource(
  source: string,
  tracking: Pick<Tracking, "artifacts" | "model" | "runInfo" | "searchModels">,
  registered: (model: string, which: string) => Promise<Registered>,
): Promise<Source> {
  checkSource(source);
  const at = async (uri: string): Promise<ArtifactFile[]> => {
    const path = artifactPath(uri);
    return path === undefined || path === "" ? [] : tracking.artifacts.files(path);
  };
  const ofModel = async (id: string): Promise<Source> => {
    const model = await tracking.model(id);
    return { files: await at(model.artifact_location), modelId: id, ...(model.source_run_id === null ? {} : { runId: model.source_run_id }) };
  };

  const model = /^models:\/+(m-[0-9a-f]{32})$/.exec(source)?.[1];
  if (model !== undefined) return ofModel(model);
  if (source.startsWith("models:")) {
    const match = /^models:\/+([^/@:]+)(?:\/([^/@]+)|@([^/@]+))$/.exec(source);
    if (match?.[1] === undefined)
      throw invalidValue(`Invalid model version source: '${source}'. Write models:/<name>/<version>, models:/<name>@<alias> or models:/<model id>.`);
    const { files, run_id, model_id } = await registered(decodeURIComponent(match[1]), match[2] ?? `@${match[3]}`);
    return { files, ...(run_id === null ? {} : { runId: run_id }), ...(model_id === null ? {} : { modelId: model_id }) };
  }
  if (source.startsWith("runs:")) {
    const match = /^runs:\/+([^/]+)\/(.+)$/.exec(source);
    const [run, path] = [match?.[1], match?.[2]];
    if (run === undefined || path === undefined) throw invalidValue(`Invalid model version source: '${source}'. Write runs:/<run id>/<path>.`);
    const { artifact_uri: root, experiment_id } = await tracking.runInfo(run);
    const files = await at(`${root}/${path.replace(/\/+$/, "")}`);
    if (files.length > 0) return { files, runId: run };
    // Clients of MLflow 3 keep a model beside its run, under the same name.
    const filter = `source_run_id = ${quoted(run)} AND name = ${quoted(path)}`;
    const search = { experiments: [experiment_id], filter, datasets: [], orderBy: [], limit: 1, token: undefined };
    const logged = (await tracking.searchModels(search)).items[0];
    return logged === undefined ? { files, runId: run } : ofModel(logged.id);
  }
  if (/^mlflow-artifacts:\/\/[^/]/.test(source)) throw invalidValue(`Invalid model version source: '${source}'. Leave the host out: mlflow-artifacts:/<path>.`);
  if (source.startsWith("mlflow-artifacts:")) return { files: await at(source) };
  // Whoever loads the version would connect to the host that its maker named.
  if (/^(?:https?|s?ftp|hdfs|viewfs|r2|b2|abfss):/i.test(source))
    throw invalidValue(`Invalid model version source: '${source}'. An address on another host can't be a source: log the model to the server first.`);
  if (!/^[a-z][a-z0-9+.-]*:\/{1,2}[^/]/i.test(source) || /^(?:file|local):/i.test(source))
    throw invalidValue(`Invalid model version source: '${source}'. A path of a machine can't be a source: log the model to the server first.`);
  return { files: [] };
}

/** Refuses addresses that lead upwards in any writing. */
function checkSource(source: string): void {
  const refuse = () =>
    invalidValue(
      `Invalid model version source: '${source.slice(0, 300)}'. If supplying a source, it must not have . or .. between slashes, nor control characters.`,
    );
  if (source.length > 1_000) throw refuse();
  let written = source;
  for (let round = 0; round < 5; round++) {
    if (/\\|\p{Cc}/u.test(written) || written.split(/[/?#]/).some((part) => part === ".." || part === ".")) throw refuse();
    if (!written.includes("%")) return;
    try {
      written = decodeURIComponent(written);
    } catch {
      throw refuse();
    }
  }
  throw refuse();
}
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** What a version is made of must not be taken for something left over in the meantime. */
export async function renewFiles(objects: ObjectStore, files: ArtifactFile[]): Promise<void> {
  for (let at = 0; at < files.length; at += 16) {
    await Promise.all(
      files.slice(at, at + 16).map(async ({ digest, path }) => {
        if ((await objects.renew(digest as Digest)) === undefined) throw missing(`The file '${path}' of the source is not there any more.`);
      }),
    );
  }
}

/** Equal digests are equal models, as of those that pipelines make. */
export function digestOf(files: ArtifactFile[]): string {
  const hash = createHash("sha256").update("model\n");
  for (const file of files) hash.update(`${file.digest} ${file.path}\n`);
  return `sha256:${hash.digest("hex")}`;
}

export const noModel = (name: string) => missing(`Registered Model with name=${name.slice(0, 300)} not found`);
export const noVersion = (name: string, version: number) => missing(`Model Version (name=${name.slice(0, 300)}, version=${version}) not found`);
