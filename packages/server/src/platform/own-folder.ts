/** Folders of one process each, below one that several share: what a process leaves when it is killed is removed by the next. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { isAlive } from "./process.js";

export interface OwnFolder {
  path: string;
  /** Makes it once, and removes those of this machine's processes that are gone. */
  make(): Promise<string>;
}

export function ownFolder(all: string): OwnFolder {
  const own = path.join(all, `${hostname()}-${process.pid}`);
  let made: Promise<string> | undefined;
  return {
    path: own,
    make() {
      made ??= mkdir(own, { recursive: true })
        .then(() => removeLeft(all))
        .then(() => own);
      return made;
    },
  };
}

async function removeLeft(all: string): Promise<void> {
  for (const name of await readdir(all)) {
    const pid = name.startsWith(`${hostname()}-`) ? Number(name.slice(hostname().length + 1)) : Number.NaN;
    if (Number.isInteger(pid) && pid !== process.pid && !isAlive(pid)) await rm(path.join(all, name), { recursive: true, force: true }).catch(() => {});
  }
}
