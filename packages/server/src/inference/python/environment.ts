/** The Python that a model runs in: an environment of its own locked requirements. */
import { createHash, randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { sql } from "kysely";
import type { Compute, Interpreter } from "../../compute/index.js";
import type { Platform } from "../../platform/index.js";
import { unfit } from "../onnx/index.js";
import type { MlflowModel } from "./mlmodel.js";
import { readRequirements } from "./requirements.js";

type Progress = Parameters<Compute["environment"]>[1];

/** Makes it where it is not there yet. `scratch` is a folder for what is needed meanwhile. Throws a 422 where it can't be made. */
export async function environmentOf(
  { db, compute }: Pick<Platform, "db"> & { compute: Pick<Compute, "python" | "lock" | "environment"> },
  { folder, model, scratch }: { folder: string; model: MlflowModel; scratch: string },
  progress: Progress,
): Promise<Interpreter> {
  const wanted = await readRequirements(folder, model);
  try {
    const version = wanted.python ?? (await compute.python()).version;
    const lock = wanted.locked
      ? wanted.requirements
      : await keptLock(db, { ...wanted, version }, async () => optionsOf(wanted.requirements) + (await compute.lock(wanted, progress, version)));
    const file = path.join(scratch, `requirements-${randomUUID()}.lock`);
    await writeFile(file, lock);
    try {
      return await compute.environment({ file, digest: `sha256:${digestOf(lock)}` }, progress, version);
    } finally {
      await rm(file, { force: true });
    }
  } catch (error) {
    progress.signal.throwIfAborted();
    throw unfit(`The model's environment can't be made: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Which registries the packages are of is part of what they are. */
const optionsOf = (requirements: string): string =>
  requirements
    .split("\n")
    .filter((line) => line.startsWith("-"))
    .map((line) => `${line}\n`)
    .join("");

/** The lock that was made first, by whichever server: two may make one at once. */
async function keptLock(
  db: Platform["db"],
  { requirements, constraints, version }: { requirements: string; constraints: string; version: string },
  make: () => Promise<string>,
): Promise<string> {
  const wanted = digestOf(JSON.stringify([requirements, constraints, version, process.platform, process.arch]));
  const find = async () => (await sql<{ lock: string }>`select lock from model_locks where wanted = ${wanted}`.execute(db)).rows[0]?.lock;
  const known = await find();
  if (known !== undefined) return known;
  const made = await make();
  await sql`insert into model_locks (wanted, lock) values (${wanted}, ${made}) on conflict do nothing`.execute(db);
  return (await find()) ?? made;
}

const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");
