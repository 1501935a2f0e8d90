import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir, realpath } from "node:fs/promises";
import path from "node:path";
import type { DatasetSpec } from "@millrace/sdk/spec";
import type { Platform } from "../platform/index.js";
import type { Definition } from "../projects/index.js";
import { type IngestParts, ingest, rulesOf } from "./ingest.js";
import { fetchS3, listS3 } from "./sources/s3.js";
import * as store from "./store.js";

export type WatchParts = IngestParts & { platform: Pick<Platform, "log" | "clock"> };
/** What nobody has touched for this long is not still written: it needs no second look. Not on a replayed clock, where what a look takes must be the same each time. */
const untouchedMs = 10_000;

/**
 * Looks once into the folder of every dataset that has one. A file is taken when the look before found it the same, or it was untouched for a while, in the
 * order of names, each content once. Links are not followed, and nothing outside of the project's folder is read.
 */
export async function lookIntoFolders(parts: WatchParts, largestFile: number): Promise<void> {
  const { projects, platform } = parts;
  for (const { spec, project } of await projects.list("dataset")) {
    const { watch } = spec;
    if (watch === undefined) continue;
    try {
      if ("prefix" in watch) await lookIntoPrefix(parts, spec, watch);
      else await look(parts, { dataset: spec, watch }, (await projects.current(project)).folder, largestFile);
    } catch (error) {
      platform.log.error({ error, dataset: spec.name }, "a watched folder could not be read; it is tried again");
    }
  }
}

async function look(
  parts: WatchParts,
  { dataset, watch }: { dataset: DatasetSpec; watch: { folder: string; pattern: string } },
  projectFolder: string,
  largestFile: number,
): Promise<void> {
  const { platform } = parts;
  const { db, log, clock } = platform;
  const folder = await insideOf(projectFolder, watch.folder);
  if (folder === undefined) return;
  const names = await namesIn(folder, watch.pattern);
  if (names.length === 0) return;
  const { rules } = await rulesOf(parts.projects, dataset);
  const seen = await store.watchedFiles(db, dataset.name);
  for (const file of names) {
    const place = path.join(folder, file);
    const stamp = await stampOf(place);
    if (stamp === undefined) continue;
    const before = seen.get(file);
    if (before?.stamp !== stamp) {
      await store.saw(db, dataset.name, file, stamp);
      if (clock.kind === "replay" || !(await isUntouched(place))) continue;
    } else if (before.taken === rules) continue;
    const content = await read(parts.platform, place, stamp, largestFile);
    if (content === "too large") {
      log.error({ dataset: dataset.name, file, largestFile }, "a file in a watched folder is too large and was not taken");
    } else if (content === undefined) {
      continue;
    } else {
      const { version, made } = await ingest(parts, {
        ...{ dataset, name: file, files: [{ name: file, ...content }] },
        origin: { kind: "watch", of: watch.folder, by: null, run: null, step: null },
      });
      if (made) log.info({ dataset: dataset.name, file, version: version.version, status: version.status }, "a file was taken from a watched folder");
    }
    // A crash before this line only has the file looked at again, and its content is known then.
    await store.took(db, dataset.name, file, stamp, rules);
  }
}

/** What the pattern of a watched dataset names at this moment. */
export interface WatchedFiles {
  found: number;
  /** Those of them that the next looks take, or are taking. */
  untaken: number;
  /** The folder is not there: `project` where the whole project is on another machine than this one. */
  missing?: "folder" | "project";
}
export async function watchedFiles(parts: WatchParts, { spec: dataset, project }: Definition<"dataset">): Promise<WatchedFiles | undefined> {
  const { watch } = dataset;
  if (watch === undefined) return undefined;
  const { db, config } = parts.platform;
  const { rules } = await rulesOf(parts.projects, dataset);
  const seen = await store.watchedFiles(db, dataset.name);
  const taken = (file: string, stamp: string) => isTaken(seen.get(file), stamp, rules);
  if ("prefix" in watch) {
    const matches = glob(watch.pattern);
    const objects = (await listS3(config, watch.prefix)).filter((object) => matches.test(lastName(object.name)));
    return { found: objects.length, untaken: objects.filter((object) => !taken(object.name, s3Stamp(object))).length };
  }
  const root = (await parts.projects.current(project)).folder;
  const folder = await insideOf(root, watch.folder);
  if (folder === undefined) {
    // Another machine may have it, and says so by what it has seen.
    const elsewhere = [...seen.values()].filter((file) => file.taken === null).length;
    return { found: seen.size, untaken: elsewhere, missing: (await insideOf(root, ".")) === undefined ? "project" : "folder" };
  }
  const files = await Promise.all((await namesIn(folder, watch.pattern)).map(async (name) => ({ name, stamp: await stampOf(path.join(folder, name)) })));
  const found = files.flatMap(({ name, stamp }) => (stamp === undefined ? [] : [taken(name, stamp)]));
  return { found: found.length, untaken: found.filter((taken) => !taken).length };
}

async function namesIn(folder: string, pattern: string): Promise<string[]> {
  const matches = glob(pattern);
  return (await readdir(folder)).filter((name) => !name.startsWith(".") && matches.test(name)).sort();
}

/** The watched folder, where it exists and lies in the project's folder also after following links. */
async function insideOf(projectFolder: string, relative: string): Promise<string | undefined> {
  try {
    const root = await realpath(projectFolder);
    const folder = await realpath(path.resolve(root, relative));
    return folder === root || folder.startsWith(`${root}${path.sep}`) ? folder : undefined;
  } catch (error) {
    // The folder may come later, and the project may be on another machine.
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

async function stampOf(place: string): Promise<string | undefined> {
  const found = await lstat(place, { bigint: true }).catch(() => undefined);
  return found?.isFile() === true ? stampText(found) : undefined;
}
/** By the time of its last change, which a move or a copy with its old times sets too. */
async function isUntouched(place: string): Promise<boolean> {
  const found = await lstat(place).catch(() => undefined);
  return found !== undefined && Date.now() - Math.max(found.mtimeMs, found.ctimeMs) > untouchedMs;
}
const stampText = ({ size, mtimeNs, ino }: { size: bigint; mtimeNs: bigint; ino: bigint }) => `${size} ${mtimeNs} ${ino}`;

/** The bytes into the store; undefined where the file is another one by now. */
async function read({ objects }: Pick<Platform, "objects">, place: string, stamp: string, largestFile: number) {
  let handle: FileHandle;
  try {
    handle = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const found = await handle.stat({ bigint: true });
    if (!found.isFile() || stampText(found) !== stamp) return undefined;
    if (found.size > largestFile) return "too large" as const;
    const content = await objects.put(handle.createReadStream({ autoClose: false }), { maxBytes: largestFile });
    return stampText(await handle.stat({ bigint: true })) === stamp ? content : undefined;
  } finally {
    await handle.close();
  }
}

/** Objects of S3 are whole when they are listed; what changed since the last look has another tag. */
async function lookIntoPrefix(parts: WatchParts, dataset: DatasetSpec, watch: { prefix: string; pattern: string }): Promise<void> {
  const { db, log, config } = parts.platform;
  const { rules } = await rulesOf(parts.projects, dataset);
  const seen = await store.watchedFiles(db, dataset.name);
  const matches = glob(watch.pattern);
  for (const object of await listS3(config, watch.prefix)) {
    const stamp = s3Stamp(object);
    const before = seen.get(object.name);
    if (!matches.test(lastName(object.name)) || isTaken(before, stamp, rules)) continue;
    if (before?.stamp !== stamp) await store.saw(db, dataset.name, object.name, stamp);
    const content = await fetchS3(parts.platform, object);
    const { version, made } = await ingest(parts, {
      ...{ dataset, name: object.name, files: [{ name: object.name, ...content }] },
      origin: { kind: "watch", of: watch.prefix, by: null, run: null, step: null },
    });
    if (made)
      log.info({ dataset: dataset.name, file: object.name, version: version.version, status: version.status }, "a file was taken from a watched prefix");
    await store.took(db, dataset.name, object.name, stamp, rules);
  }
}

/** As it is now, by the rules as they are now. */
const isTaken = (seen: { stamp: string; taken: string | null } | undefined, stamp: string, rules: string): boolean =>
  seen?.stamp === stamp && seen.taken === rules;
const s3Stamp = ({ size, tag }: { size: number; tag: string }): string => `${size} ${tag}`;
const lastName = (key: string): string => key.slice(key.lastIndexOf("/") + 1);

/** `*` is any text, `?` any one character. */
export function glob(pattern: string): RegExp {
  return new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
  );
}
