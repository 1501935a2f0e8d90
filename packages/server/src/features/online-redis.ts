/**
 * Redis before PostgreSQL: readers ask it how far views have changed, and find entities there. PostgreSQL stays what is true. A change is brought
 * to Redis in the order of the changes' numbers, whoever made it: who finds that one is missing brings that first, so that a writer that was
 * killed between the two holds nobody up. What Redis has lost is read from PostgreSQL again.
 */
import { createClient } from "@redis/client";
import { ApiError, type Log, newId, type Platform, StartError } from "../platform/index.js";
import type { OnlineStore } from "./online-store.js";
import { type Standing, takeBack } from "./sole-reader.js";
import * as store from "./store.js";
import type { Micros } from "./times.js";

/** An entity is read from PostgreSQL again now and then, so that old rows do not pile up. */
const keptSeconds = 6 * 3_600;
const keptChanges = 1_000;
const checkMs = 1_000;

/** KEYS: a view's head, its log. ARGV: the change, the head's key as a prefix, the log's entry, whether all changed, then entity, field, value of each row. */
const applyScript = `
local n = redis.call('HGET', KEYS[1], 'change')
if not n then return -1 end
if tonumber(n) ~= tonumber(ARGV[1]) - 1 then return tonumber(n) end
if ARGV[4] == 'all' then
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
else
  local epoch = redis.call('HGET', KEYS[1], 'epoch')
  for i = 5, #ARGV, 3 do
    local key = ARGV[2] .. ':' .. epoch .. ':' .. ARGV[i]
    if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, ARGV[i + 1], ARGV[i + 2]) end
  end
end
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', tonumber(ARGV[1]) - ${keptChanges})
redis.call('HSET', KEYS[1], 'change', ARGV[1])
return tonumber(ARGV[1])`;
/** Begins a view at a change, with nothing in it. ARGV: the change, an epoch that was never there, the change that is given up (or none). */
const beginScript = `
local n = redis.call('HGET', KEYS[1], 'change')
if n and n ~= ARGV[3] then return tonumber(n) end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'change', ARGV[1], 'epoch', ARGV[2])
return tonumber(ARGV[1])`;
/** Keeps what was read from PostgreSQL, unless the view has changed since. ARGV: the change, the head's key as a prefix, the entity, fields and values. */
const keepScript = `
local head = redis.call('HMGET', KEYS[1], 'change', 'epoch')
if head[1] ~= ARGV[1] then return 0 end
local key = ARGV[2] .. ':' .. head[2] .. ':' .. ARGV[3]
redis.call('DEL', key)
for i = 4, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', key, ${keptSeconds})
return 1`;
/** The view's change and the hashes of entities, as of one moment. ARGV: the head's key as a prefix, entities. */
const readScript = `
local head = redis.call('HMGET', KEYS[1], 'change', 'epoch')
local found = {head[1]}
for i = 2, #ARGV do found[i] = head[2] and redis.call('HGETALL', ARGV[1] .. ':' .. head[2] .. ':' .. ARGV[i]) or {} end
return found`;

export async function openRedisStore(db: Platform["db"], url: string, log: Log): Promise<OnlineStore> {
  let connected = false;
  const client = createClient({
    ...{ url, commandsQueueMaxLength: 100_000, disableOfflineQueue: true },
    socket: {
      connectTimeout: 5_000,
      // A start says soon that there is no Redis; later it is waited for.
      reconnectStrategy: (tries, cause) => (!connected && tries >= 5 ? cause : Math.min(tries * 100, 1_000)),
    },
  });
  client.on("error", (error: unknown) => log.warn({ error }, "Redis is away"));
  await client.connect().catch((error: unknown) => {
    throw new StartError(`Redis can't be reached at ${withoutSecrets(url)}: ${error instanceof Error ? error.message : String(error)}. Check MILLRACE_ONLINE.`);
  });
  connected = true;
  const prefix = `millrace:${await store.identity(db)}`;
  // One slot of a cluster for all of a view.
  const head = (id: number) => `{${prefix}:${id}}`;
  const logOf = (id: number) => `${head(id)}:log`;

  async function asked<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ApiError || isDatabase(error)) throw error;
      log.warn({ error }, "a request came while Redis was away");
      throw new ApiError(503, "UNAVAILABLE", "The online store is away for a moment. Send the request again.");
    }
  }
  const run = (script: string, keys: string[], args: string[]) => client.eval(script, { keys, arguments: args });
  const begin = (id: number, change: number, givenUp: number | undefined) =>
    run(
      beginScript,
      [head(id), logOf(id)],
      [String(change), String(Date.now() * 1_000 + Math.floor(Math.random() * 1_000)), givenUp === undefined ? "" : String(givenUp)],
    );
  async function heads(ids: number[]): Promise<(number | undefined)[]> {
    const found = await Promise.all(ids.map((id) => client.hGet(head(id), "change")));
    return found.map((change) => (change === null || change === undefined ? undefined : Number(change)));
  }

  /** Brings to Redis what PostgreSQL has and it has not. */
  async function catchUp(id: number, upTo?: number): Promise<void> {
    for (let attempt = 0; attempt < 1_000; attempt++) {
      const [seen] = await heads([id]);
      const newest = upTo ?? (await store.changeNumbers(db)).get(id);
      if (newest === undefined) {
        await client.del([head(id), logOf(id)]);
        return;
      }
      if (seen === undefined) await begin(id, newest, undefined);
      // A PostgreSQL that was set back in time: what Redis has never happened.
      else if (seen > newest && upTo === undefined) await begin(id, newest, seen);
      else if (seen >= newest) return;
      else {
        const changes = await store.changesSince(db, id, seen);
        if (changes[0]?.change !== seen + 1) await begin(id, newest, seen);
        for (const change of changes) {
          const done = Number(await run(applyScript, [head(id), logOf(id)], applied(id, change)));
          // Another process was quicker, or all was lost: look again.
          if (done !== change.change) break;
        }
      }
    }
  }
  function applied(id: number, change: store.Change): string[] {
    const rows = (change.rows ?? []).flatMap(([entity, at, key, values, n]) => [entity, fieldOf(at, key), JSON.stringify([at, key, values, n])]);
    return [String(change.change), head(id), JSON.stringify(change), change.rows === null ? "all" : "rows", ...rows];
  }

  let checked = performance.now();
  let checking = false;
  /** What a writer committed before it was killed comes to Redis within about a second. */
  function check(ids: number[]): void {
    if (checking || performance.now() - checked < checkMs) return;
    checking = true;
    void Promise.all(ids.map((id) => catchUp(id)))
      .catch((error: unknown) => log.warn({ error }, "Redis could not be compared with PostgreSQL"))
      .finally(() => {
        checking = false;
        checked = performance.now();
      });
  }

  const writer = newId();
  return {
    writer,
    async takeBack(id) {
      await takeBack(db, id, writer);
    },
    standings: (ids) =>
      asked(async () => {
        check(ids);
        const found = await heads(ids);
        const missing = ids.filter((_, i) => found[i] === undefined);
        for (const id of missing) await catchUp(id);
        const all = missing.length === 0 ? found : await heads(ids);
        return new Map(ids.flatMap((id, i): [number, Standing][] => (all[i] === undefined ? [] : [[id, { change: all[i], alone: undefined }]])));
      }),
    changesSince: (id, change) =>
      asked(async () =>
        (await client.zRangeByScore(logOf(id), `(${change}`, "+inf")).map((entry) => JSON.parse(entry) as store.Change).sort((a, b) => a.change - b.change),
      ),
    loadEntities: (id, kind, entities, since) =>
      asked(async () => {
        const answer = await run(readScript, [head(id)], [head(id), ...entities]);
        const [change, ...hashes] = Array.isArray(answer) ? answer : [];
        const loaded: store.LoadedEntity[] = [];
        const missing: number[] = [];
        entities.forEach((entity, i) => {
          const fields = hashes[i];
          const found = Array.isArray(fields) && fields.length > 0 ? readEntity(entity, Number(change), fields.map(String)) : undefined;
          if (found !== undefined && (found.from === null || found.from <= (since[i] ?? 0) + (kind === "window" ? 1 : 0))) loaded.push(found);
          else missing.push(i);
        });
        if (missing.length === 0) return loaded;
        const read = await store.loadEntities(
          db,
          id,
          kind,
          missing.map((i) => entities[i] ?? ""),
          missing.map((i) => since[i] ?? 0),
        );
        const newest = Math.max(0, ...read.map((one) => one.change));
        if (newest > Number(change)) await catchUp(id, newest);
        await Promise.all(read.map((one) => run(keepScript, [head(id)], [String(one.change), head(id), one.entity, ...fieldsOf(one)])));
        return [...loaded, ...read];
      }),
    committed: (id) => asked(() => catchUp(id)),
    async close() {
      if (client.isOpen) await client.close();
    },
  };
}

const fieldOf = (at: Micros, key: string): string => `${at} ${key}`;
/** The field that says from when on an entity's rows are there. */
const coverage = "from";

function fieldsOf(one: store.LoadedEntity): string[] {
  const rows = one.at.flatMap((at, i) => [fieldOf(at, one.key[i] ?? ""), JSON.stringify([at, one.key[i] ?? "", one.row_values[i] ?? "[]", one.n[i] ?? 0])]);
  return [coverage, JSON.stringify([one.first, one.from]), ...rows];
}
function readEntity(entity: string, change: number, fields: string[]): store.LoadedEntity | undefined {
  let covered: [number | null, number | null] | undefined;
  const rows: [at: Micros, key: string, values: string, n: number][] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const value: unknown = JSON.parse(fields[i + 1] ?? "null");
    if (fields[i] === coverage) covered = value as [number | null, number | null];
    else rows.push(value as [Micros, string, string, number]);
  }
  if (covered === undefined) return undefined;
  rows.sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
  return {
    ...{ entity, change, first: covered[0], from: covered[1] },
    ...{ at: rows.map((row) => row[0]), key: rows.map((row) => row[1]), row_values: rows.map((row) => row[2]), n: rows.map((row) => row[3]) },
  };
}

const isDatabase = (error: unknown): boolean =>
  typeof (error as { code?: unknown }).code === "string" && /^[0-9A-Z]{5}$/.test((error as { code: string }).code);
function withoutSecrets(url: string): string {
  try {
    const parsed = new URL(url);
    return `${parsed.protocol}//${parsed.host}`;
  } catch {
    return "the address given";
  }
}
