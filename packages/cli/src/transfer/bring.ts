/** Brings what a source has to a server. Everything is sent by batches that change nothing when they are sent again. */
import { createHash } from "node:crypto";
import { Readable, Transform } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import type { ExperimentPlace, ModelPlace, MovedFile, MovedLoggedModel, MovedRun, MovedSeries, MovedVersion, RunMark } from "@millrace/sdk/api";
import { ApiError, type Client, type Page } from "@millrace/sdk/client";
import { CliError, codeOf } from "../errors.js";
import { batches, inFlight, patiently } from "./flow.js";
import type { Progress } from "./progress.js";
import { type FileFinder, type Source, type SourceExperiment, type SourceFile, type SourceRun, Unreachable } from "./source.js";
import { Refused } from "./web.js";

/** What there is to tell afterwards. */
export interface Brought {
  /** Experiments and models that have another id or name here. */
  moved: string[];
  /** Where files could not be had from, and why; and files that were refused. */
  leftOut: string[];
  /** Versions whose files are not here. */
  withoutFiles: string[];
}
const largestBatch = 8 * 1024 * 1024;
const filesAtOnce = 6;
const batchesAtOnce = 3;
const pagesAtOnce = 2;

export async function bring(source: Source, client: Client, options: { files: boolean }, progress: Progress): Promise<Brought> {
  const brought: Brought = { moved: [], leftOut: [], withoutFiles: [] };
  const unreachable = new Set<string>();
  const leaveOut = (told: string) => {
    if (unreachable.size < 1_000 && !unreachable.has(told)) brought.leftOut.push(told);
    unreachable.add(told);
  };
  const post = <T>(path: string, items: unknown[]): Promise<{ items: T[] }> =>
    patiently(() => client.request<{ items: T[] }>("POST", `/api/v1/transfer/${path}`, { json: { items } }));

  // Experiments are few, and what their ids became is needed all the time.
  const places = new Map<string, ExperimentPlace & { from: string; root: string }>();
  for await (const page of source.experiments()) {
    for (const batch of batches(page, 200, largestBatch)) {
      const sent = batch.map(({ artifactLocation: _, ...experiment }) => experiment);
      const answered = await post<ExperimentPlace>("experiments", sent);
      answered.items.forEach((place, i) => {
        const experiment = batch[i];
        if (experiment === undefined) return;
        places.set(place.from, { ...place, root: experiment.artifactLocation });
        const told = movedExperiment(experiment, place);
        if (told !== undefined) brought.moved.push(told);
      });
      progress.done.experiments += batch.length;
    }
  }
  const placeOf = (id: string): ExperimentPlace => {
    const place = places.get(id);
    if (place === undefined) throw new CliError(`The source names an experiment ${id} that it does not have.`);
    return place;
  };

  // While the files of one page of runs are on their way, the next one's points are.
  const finishing = inFlight(pagesAtOnce);
  for await (const page of source.runs()) {
    const marks = new Map<string, string>();
    for (const batch of batches(page, 200, largestBatch)) {
      const answered = await post<RunMark>(
        "runs",
        batch.map((run) => sentRun(run, placeOf(run.experiment).id)),
      );
      for (const { id, mark } of answered.items) marks.set(id, mark);
    }
    const arrived = (run: SourceRun, what: "points" | "files") => marks.get(run.id)?.startsWith(markOf(run, what)) === true;
    const wanted = page.filter((run) => !arrived(run, options.files ? "files" : "points"));
    await bringSeries(wanted.filter((run) => !arrived(run, "points")));
    await finishing.add(() => finish(wanted));
    progress.skipped.runs += page.length - wanted.length;
    for (const run of page) if (arrived(run, "points")) progress.skipped.points += Number(run.points) || 0;
  }
  await finishing.end();
  async function finish(runs: SourceRun[]): Promise<void> {
    const uriOf = (run: SourceRun) => `${placeOf(run.experiment).artifactLocation}/${run.id}/artifacts`;
    const whole = await bringFilesOf(runs, uriOf, () => {
      progress.done.runs++;
    });
    // A run that goes on is looked at again the next time.
    const ended = runs.filter((run) => run.status !== "RUNNING" && run.status !== "SCHEDULED");
    for (const batch of batches(ended, 200, largestBatch)) {
      await post(
        "runs/marks",
        batch.map((run) => ({ id: run.id, mark: markOf(run, whole.has(run) ? "files" : "points") })),
      );
    }
  }
  async function bringSeries(runs: SourceRun[]): Promise<void> {
    const sending = inFlight(batchesAtOnce);
    for await (const series of source.series(runs)) {
      if (series.length === 0) continue;
      await sending.add(async () => {
        await post("series", series);
        progress.done.points += series.reduce((sum: number, one: MovedSeries) => sum + one.step.length, 0);
      });
    }
    await sending.end();
  }

  for await (const page of source.loggedModels()) {
    for (const batch of batches(page, 100, largestBatch)) {
      const sent = batch.map(({ artifactUri: _, files: __, ...model }): MovedLoggedModel => ({ ...model, experiment: placeOf(model.experiment).id }));
      await post("logged-models", sent);
    }
    await bringFilesOf(page, (model) => `${placeOf(model.experiment).artifactLocation}/models/${model.id}/artifacts`);
    progress.done.loggedModels += page.length;
  }

  const names = new Map<string, string>();
  for await (const page of source.models()) {
    const { items } = await post<ModelPlace>("models", page);
    for (const { from, name } of items) {
      names.set(from, name);
      if (from !== name) brought.moved.push(`the registered model "${from}" is here "${name}"`);
    }
    progress.done.models += page.length;
  }
  for await (const page of source.versions()) {
    for (const batch of batches(page, 200, largestBatch)) {
      const sent = batch.map(
        (version): MovedVersion => ({
          ...version,
          model: names.get(version.model) ?? version.model,
          source: version.source === null ? null : sourceHere(version.source, [...places.values()], names),
        }),
      );
      await bringObjects(sent);
      const { items } = await post<{ files: number }>("versions", sent);
      sent.forEach((version, i) => {
        if (items[i]?.files === 0 && version.tags["mlflow.prompt.is_prompt"] !== "true") brought.withoutFiles.push(`${version.model}/${version.version}`);
      });
      progress.done.versions += batch.length;
    }
  }
  for await (const page of source.aliases()) {
    await post(
      "aliases",
      page.map((alias) => ({ ...alias, model: names.get(alias.model) ?? alias.model })),
    );
    progress.done.aliases += page.length;
  }
  return brought;

  /** Answers those whose files are all here. */
  async function bringFilesOf<T extends { id: string; files: FileFinder }>(owners: T[], uriOf: (owner: T) => string, onDone = () => {}): Promise<Set<T>> {
    const whole = new Set<T>();
    const looking = inFlight(filesAtOnce);
    for (const owner of owners) {
      await looking.add(async () => {
        const folder = uriOf(owner).replace(/^mlflow-artifacts:\/+/, "");
        if (options.files && (await bringFiles(owner.files, folder))) whole.add(owner);
        onDone();
      });
    }
    await looking.end();
    return whole;
  }
  async function bringFiles(find: FileFinder, folder: string): Promise<boolean> {
    let files: SourceFile[];
    try {
      files = await find();
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      leaveOut(`files at ${error.where}: ${error.why}`);
      return false;
    }
    if (files.length === 0) return true;
    const before = await filesHere(folder);
    const sent = new Map<string, MovedFile>();
    let whole = true;
    for (const file of files) {
      const here = before.get(file.path);
      if (here !== undefined && here.size === file.size && (file.digest === undefined || here.digest === file.digest)) continue;
      const told = await send(file, `${folder}/${file.path}`);
      if (told === undefined) whole = false;
      else sent.set(file.path, told);
    }
    if (sent.size === 0) return whole;
    const after = await filesHere(folder);
    for (const [path, { digest, size }] of sent) {
      const here = after.get(path);
      if (here?.digest !== digest || here.size !== size) throw new CliError(`The file ${folder}/${path} did not arrive as it was sent. Repeat the command.`);
    }
    return whole;
  }
  async function filesHere(folder: string): Promise<Map<string, MovedFile>> {
    const found = new Map<string, MovedFile>();
    for (let after: string | undefined; ; ) {
      const query = { folder, ...(after === undefined ? {} : { after }) };
      const page = await patiently(() => client.request<Page<MovedFile>>("GET", "/api/v1/transfer/artifacts", { query }));
      for (const file of page.items) found.set(file.path.slice(folder.length + 1), file);
      if (page.next === undefined) return found;
      after = page.next;
    }
  }
  /** Undefined where the server takes no file of that name. */
  async function send(file: SourceFile, to: string): Promise<MovedFile | undefined> {
    const address = `/api/2.0/mlflow-artifacts/artifacts/${to.split("/").map(encodeURIComponent).join("/")}`;
    try {
      return await patiently(async () => {
        const measured = measure(await file.open(), (n) => {
          progress.done.bytes += n;
        });
        await client.request("PUT", address, { bytes: measured.body });
        const { digest, size } = measured.result();
        if (size !== file.size)
          throw new CliError(`The file ${to} has ${size} bytes and not ${file.size}, as it was told: it changes, or was cut off. Repeat the command.`);
        progress.done.files++;
        return { path: file.path, digest, size };
      });
    } catch (error) {
      // A name that the server takes not, or a file that the source gives not.
      const refused = (error instanceof ApiError && error.status === 400) || error instanceof Refused;
      const unreadable = ["EACCES", "EPERM", "ENOENT"].includes(codeOf(error)?.code ?? "");
      if (!refused && !unreadable) throw error;
      leaveOut(`${to}: ${error instanceof Error ? error.message : error}`);
      return undefined;
    }
  }
  /** A version whose files are named by their digests needs the server to have them. */
  async function bringObjects(versions: MovedVersion[]): Promise<void> {
    const { openObject } = source;
    const files = new Map(versions.flatMap((version) => (version.files ?? []).map((file) => [file.digest, file] as const)));
    if (openObject === undefined || files.size === 0) return;
    for (const batch of batches([...files.keys()], 1_000, largestBatch)) {
      const { items } = await post<string>("objects/missing", batch);
      for (const digest of items) {
        await patiently(async () => {
          const { body } = measure(await openObject(digest), (n) => {
            progress.done.bytes += n;
          });
          await client.request("PUT", `/api/v1/transfer/objects/${digest}`, { bytes: body });
        });
        progress.done.files++;
      }
    }
  }
}

function movedExperiment({ id, name }: SourceExperiment, place: ExperimentPlace): string | undefined {
  if (place.id === id && (place.name === name || id === "0")) return undefined;
  const named = place.name === name ? "" : ` and is called "${place.name}"`;
  return `the experiment "${name}" (${id}) has the id ${place.id} here${named}`;
}
function sentRun({ artifactUri: _, points: __, files: ___, ...run }: SourceRun, experiment: string): MovedRun {
  return { ...run, experiment };
}
/** Of all that a run has: one that is here with this mark has all its points, or those and its files. */
function markOf(run: SourceRun, arrived: "points" | "files"): string {
  const digest = createHash("sha256")
    .update(JSON.stringify([sentRun(run, run.experiment), run.points]))
    .digest("hex");
  return `${digest.slice(0, 32)}${arrived === "files" ? "+files" : ""}`;
}

/** What a version was made from, by the address that it has here. */
function sourceHere(source: string, places: { root: string; artifactLocation: string }[], names: ReadonlyMap<string, string>): string {
  const model = /^(models:\/+)([^/@]+)([/@].+)$/.exec(source);
  if (model !== null) return `${model[1]}${names.get(decoded(model[2] ?? "")) ?? model[2]}${model[3]}`;
  const plain = (uri: string) => uri.replace(/^file:\/\/(?=\/)/, "").replace(/^mlflow-artifacts:\/\/[^/]*\//, "mlflow-artifacts:/");
  const told = plain(source);
  const within = places.filter(({ root }) => root !== "" && told.startsWith(`${plain(root).replace(/\/+$/, "")}/`));
  const nearest = within.sort((a, b) => b.root.length - a.root.length)[0];
  return nearest === undefined ? source : `${nearest.artifactLocation}${told.slice(plain(nearest.root).replace(/\/+$/, "").length)}`;
}
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** Passes a file on and counts and digests it on the way. */
function measure(from: Readable, onBytes: (n: number) => void): { body: ReadableStream<Uint8Array<ArrayBuffer>>; result(): { digest: string; size: number } } {
  const hash = createHash("sha256");
  let size = 0;
  const counting = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      onBytes(chunk.length);
      done(null, chunk);
    },
  });
  from.once("error", (error) => counting.destroy(error));
  return {
    body: Readable.toWeb(from.pipe(counting)) as ReadableStream<Uint8Array<ArrayBuffer>>,
    result: () => ({ digest: `sha256:${hash.digest("hex")}`, size }),
  };
}
