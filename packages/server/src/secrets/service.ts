import path from "node:path";
import { notFound, type Platform } from "../platform/index.js";
import { openSeal, type Seal } from "./seal.js";
import { openStore } from "./store.js";
import type { Secrets } from "./types.js";

export function createSecrets(platform: Pick<Platform, "db" | "clock" | "config">): Secrets {
  const store = openStore(platform);
  let opened: Promise<Seal> | undefined;
  /** Read, or made, when it is first needed. */
  function seal(): Promise<Seal> {
    opened ??= openSeal(path.join(platform.config.dataDir, "secrets.key")).catch((error) => {
      opened = undefined;
      throw error;
    });
    return opened;
  }
  return {
    async list() {
      return (await store.list()).map((row) => ({ name: row.name, setBy: row.set_by, setAt: row.set_at.toISOString() }));
    },
    async set(name, value, by) {
      const setAt = await store.set(name, (await seal()).close(name, value), by);
      return { name, setBy: by, setAt: setAt.toISOString() };
    },
    async delete(name) {
      if (!(await store.delete(name))) throw notFound("secret", name);
    },
    seal: async (of, value) => (await seal()).close(of, value),
    open: async (of, sealed) => (await seal()).open(of, sealed),
    async read(names) {
      const rows = await store.read(names);
      if (rows.length === 0) return {};
      const { open } = await seal();
      return Object.fromEntries(rows.map(({ name, sealed }) => [name, open(name, sealed)]));
    },
  };
}
