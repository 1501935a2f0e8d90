import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import type { TransferCounts } from "@millrace/sdk/api";
import { startServer } from "@millrace/server";
import sqlite from "node-sqlite3-wasm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openMlflow } from "../commands/import.js";
import { connect } from "../server.js";
import { bring } from "./bring.js";
import { openDuck } from "./duck.js";
import { folderSource } from "./folder.js";
import { showProgress } from "./progress.js";
import { restSource } from "./rest.js";
import { take } from "./take.js";
import { openWeb, type Web } from "./web.js";

const main = fileURLToPath(new URL("../main.ts", import.meta.url));
const command = ["--conditions=millrace-source", "--import", "tsx", main];
type Server = Pick<Awaited<ReturnType<typeof startServer>>, "url" | "stop">;

let folder: string;
let one: Server;
let other: Server;
let third: Server;
const inFolder = (...names: string[]) => path.join(folder, ...names);
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "millrace-transfer-"));
  const config = { host: "127.0.0.1", port: 0, dataDir: inFolder("one"), clock: { kind: "system" as const }, logLevel: "warn" };
  [one, other, third] = await Promise.all([startServer(config), anotherProcess(inFolder("other")), anotherProcess(inFolder("third"))]);
  for (const version of ["3.17.2", "2.22.0"])
    await writeFile(inFolder(`${version}.db`), gunzipSync(await readFile(new URL(`fixtures/mlflow-${version}.db.gz`, import.meta.url))));
  // What the stores say lies on their own machines, and was brought here into a folder.
  for (const [file, text] of Object.entries(files)) {
    await mkdir(path.dirname(inFolder("mlruns", file)), { recursive: true });
    await writeFile(inFolder("mlruns", file), text);
  }
});
afterAll(async () => {
  await Promise.all([one.stop(), other.stop(), third.stop()]);
  await rm(folder, { recursive: true, force: true });
});

async function anotherProcess(dataDir: string): Promise<Server> {
  const child = spawn(process.execPath, [...command, "up", "--port", "0", "--data-dir", dataDir], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const line = await new Promise<string>((resolve) => createInterface({ input: child.stdout }).once("line", resolve));
  return {
    url: line.replace("Millrace is ready at ", ""),
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

const run5 = "93e7fd439c834fef9482e0febf957e27";
const logged = "m-12c1283a65ea4100be3bf1625ee6487f";
const odd = "big name with spaces %41 ü.txt";
const files = {
  [`prices/${run5}/artifacts/notes/hello.txt`]: "hello\n",
  [`prices/${run5}/artifacts/${odd}`]: "x".repeat(20_000),
  [`prices/${run5}/artifacts/empty`]: "",
  [`prices/models/${logged}/artifacts/MLmodel`]: "flavors: {}\n",
  "prices/8602e3020fe5459db57925aa7072cf07/artifacts/model/MLmodel": "flavors: {}\n",
};

function millrace(server: Server, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [...command, ...args], { env: { ...process.env, MILLRACE_URL: server.url }, timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr }),
    );
  });
}
const get = async (server: Server, route: string): Promise<Record<string, unknown>> =>
  (await fetch(`${server.url}${route}`)).json() as Promise<Record<string, unknown>>;
const counts = (server: Server) => connect({ url: server.url }).request<TransferCounts>("GET", "/api/v1/transfer");
/** As the command does, in this process. */
async function imported(server: Server, from: string, artifacts: string | boolean = inFolder("mlruns")) {
  const source = from.endsWith("export") ? await folderSource(from) : await openMlflow(from, { artifacts });
  const progress = showProgress(await source.counts(), "test");
  try {
    return { ...(await bring(source, connect({ url: server.url }), { files: true }, progress)), ...progress.done, skippedRuns: progress.skipped.runs };
  } finally {
    progress.end();
    await source.close();
  }
}
/** All that a server keeps, in one order. */
async function everything(server: Server): Promise<Record<string, unknown[]>> {
  const found: Record<string, unknown[]> = {};
  for (const part of ["experiments", "runs", "series", "logged-models", "models", "versions", "aliases", "artifacts"]) {
    const { items } = await connect({ url: server.url }).request<{ items: unknown[] }>("GET", `/api/v1/transfer/${part}`);
    found[part] = items.map((item) => JSON.stringify(item)).sort();
  }
  return found;
}

test("a SQLite store of MLflow 3 comes over whole, with its ids, and once however often it is brought", async () => {
  const store = inFolder("3.17.2.db");
  const before = await digest(store);
  expect(await millrace(one, "import", "mlflow", store, "--dry-run")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("14 runs\n  661 metric points\n  1 logged models\n"),
  });
  expect((await counts(one)).runs).toBe(0);

  const first = await millrace(one, "import", "mlflow", store, "--artifacts", inFolder("mlruns"));
  expect(first).toMatchObject({ code: 0, stdout: expect.stringContaining("14 runs, 661 metric points, 1 logged models, 4 registered models with 5 versions") });
  expect(await counts(one)).toEqual({ experiments: 4, runs: 14, metrics: 661, loggedModels: 1, models: 4, versions: 5, artifacts: 4, artifactBytes: 20_018 });
  const all = await everything(one);
  expect(await imported(one, `sqlite:///${store}`)).toMatchObject({ points: 0, files: 0, skippedRuns: 13 });
  expect(await everything(one)).toEqual(all);
  // Nothing was written to the store, or left beside it.
  expect(await digest(store)).toBe(before);
  expect((await readdir(folder)).filter((name) => name.startsWith("3.17.2"))).toEqual(["3.17.2.db"]);
});

test("what came over is what MLflow's clients see", async () => {
  const { run } = (await get(one, `/api/2.0/mlflow/runs/get?run_id=${run5}`)) as {
    run: { info: unknown; data: { metrics: unknown[]; params: unknown[]; tags: unknown[] } };
  };
  expect(run.info).toMatchObject({ run_name: "run 5", experiment_id: "1", status: "FINISHED", start_time: 1_700_000_000_005, end_time: 1_700_000_100_005 });
  expect(run.data.params).toEqual([
    { key: "depth", value: "5" },
    { key: "path/to", value: "ünïcode 'quoted'" },
  ]);
  expect(run.data.metrics).toContainEqual({ key: "last_is_nan", value: "NaN", timestamp: 7, step: 1 });
  expect(run.data.metrics).toContainEqual({ key: "odd", value: 1, timestamp: 5, step: 3 });
  const history = await get(one, `/api/2.0/mlflow/metrics/get-history?run_id=${run5}&metric_key=odd`);
  expect((history.metrics as { value: unknown }[]).map(({ value }) => value)).toEqual(["NaN", 2, 0.5, 1]);
  const artifact = await fetch(`${one.url}/get-artifact?run_id=${run5}&path=${encodeURIComponent(odd)}`);
  expect((await artifact.text()).length).toBe(20_000);

  const gone = await get(one, "/api/2.0/mlflow/experiments/get?experiment_id=2");
  expect(gone.experiment).toMatchObject({ name: "gone", lifecycle_stage: "deleted" });
  const champion = await get(one, "/api/2.0/mlflow/registered-models/alias?name=price&alias=champion");
  expect(champion.model_version).toMatchObject({ version: "2", current_stage: "Production", model_id: logged, description: "to be Production" });
  // A version's files are those of its model; one that was copied from it has them too; the number of a deleted one is not given out again.
  for (const version of ["price/2", "copied/1"]) expect((await get(one, `/api/v1/models/${version.replace("/", "/versions/")}`)).files).toHaveLength(1);
  expect((await get(one, `/api/2.0/mlflow/model-versions/get?name=price&version=1`)).error_code).toBe("RESOURCE_DOES_NOT_EXIST");
  const prompt = await get(one, "/api/2.0/mlflow/registered-models/alias?name=greeting&alias=live");
  expect((prompt.model_version as { tags: unknown[] }).tags).toContainEqual({ key: "mlflow.prompt.text", value: "Hi {{name}}" });
  // A new experiment gets an id that is free.
  const made = await fetch(`${one.url}/api/2.0/mlflow/experiments/create`, {
    method: "POST",
    body: '{"name": "after"}',
    headers: { "content-type": "application/json" },
  });
  expect(await made.json()).toEqual({ experiment_id: "4" });
});

test("names and ids that are taken are told, and nothing of both is mixed", async () => {
  const { moved } = await imported(one, inFolder("2.22.0.db"));
  expect(moved).toContain('the experiment "prices" (1) has the id 5 here and is called "prices (imported)"');
  expect(moved).toContain('the registered model "price" is here "price (imported)"');
  // Its source was a path of the machine of the store.
  const version = await get(one, `/api/2.0/mlflow/model-versions/get?name=${encodeURIComponent("price (imported)")}&version=2`);
  expect(version.model_version).toMatchObject({ source: "mlflow-artifacts:/5/8602e3020fe5459db57925aa7072cf07/artifacts/model" });
  expect((await get(one, `/api/v1/models/${encodeURIComponent("copied (imported)")}/versions/1`)).files).toHaveLength(1);
  expect(await counts(one)).toMatchObject({ runs: 28, versions: 8 });
});

test("one Millrace is copied to another, by its own routes and by MLflow's, and both are the same then", async () => {
  expect(await imported(other, one.url, true)).toMatchObject({ moved: [], runs: 28, points: 1_321, leftOut: [] });
  const all = await everything(one);
  expect(await everything(other)).toEqual(all);
  // MLflow's routes tell less: of what is there already nothing changes, and no point comes twice.
  const progress = showProgress({ runs: 28, points: undefined }, "test");
  const brought = await bring(await restSource(openWeb(one.url)), connect({ url: other.url }), { files: true }, progress);
  progress.end();
  expect(brought).toEqual({ moved: [], leftOut: [], withoutFiles: [] });
  expect(progress.done).toMatchObject({ runs: 28, points: 1_321, loggedModels: 1, versions: 8, files: 0 });
  expect(await everything(other)).toEqual(all);
});

test("an export holds all of it as Parquet and files, goes on where it was interrupted, and can be brought into another server", async () => {
  const out = inFolder("export");
  // The server goes away on the way.
  let asked = 0;
  const web = openWeb(one.url);
  const goesAway = { ...web, get: (...args: Parameters<Web["get"]>) => (++asked > 5 ? Promise.reject(new Error("gone")) : web.get(...args)) };
  const progress = showProgress({ runs: 28, points: 1_321 }, "test");
  await expect(take(goesAway, out, progress)).rejects.toThrow("gone");
  expect(await imported(third, out).then(String, ({ message }: Error) => message)).toContain("no finished export");
  const lists: string[] = [];
  const told = await take(
    {
      ...web,
      get: (...args: Parameters<Web["get"]>) => {
        lists.push(args[0]);
        return web.get(...args);
      },
    },
    out,
    progress,
  );
  progress.end();
  expect(told).toMatchObject({ resumed: true, leftOut: [], rows: { runs: 28, metrics: 1_321, model_versions: 8 } });
  expect(lists.filter((list) => /experiments|runs|series/.test(list))).toEqual([]);

  const duck = await openDuck();
  const rows = (sql: string) => duck.rows(sql.replaceAll(/\$(\w+)/g, (_, table) => `read_parquet('${out}/${table}/*.parquet')`));
  expect(await rows("select count(*) as n, count(distinct run_id) as runs from $metrics")).toEqual([{ n: 1_321, runs: 25 }]);
  expect(await rows(`select step, value from $metrics where run_id = '${run5}' and key = 'odd' order by step, value`)).toEqual([
    { step: 0, value: Number.NaN },
    { step: 1, value: 2 },
    { step: 3, value: 0.5 },
    { step: 3, value: 1 },
  ]);
  expect(await rows(`select value from $latest_metrics where run_id = '${run5}' and key = 'odd'`)).toEqual([{ value: 1 }]);
  expect(
    await rows("select r.run_name, i.name, i.tags['mlflow.data.context'] as context from $inputs i join $runs r using (run_id) order by all limit 1"),
  ).toEqual([{ run_name: "with a model", name: "prices", context: "training" }]);
  await duck.close();
  expect(await readFile(path.join(out, "files/1", run5, "artifacts", odd), "utf8")).toBe("x".repeat(20_000));
  expect(await readFile(path.join(out, "README.md"), "utf8")).toContain("## latest_metrics");

  expect(await millrace(third, "import", "folder", out)).toMatchObject({ code: 0, stdout: expect.stringContaining("28 runs, 1,321 metric points") });
  expect(await everything(third)).toEqual(await everything(one));
  expect(await millrace(one, "export", inFolder("mlruns"))).toMatchObject({ code: 2, stderr: expect.stringContaining("is not empty and holds no export") });
});

test("killed and interrupted on the way, and repeated, it loses nothing and doubles nothing", async () => {
  const runs = 1_000;
  const store = inFolder("large.db");
  await writeFile(store, await readFile(inFolder("3.17.2.db")));
  const database = new sqlite.Database(store);
  database.exec(`
    insert into experiments select 100, 'large', '/srv/mlflow/mlruns/large', 'active', 5, 5, 'default';
    create table n as with recursive n(i) as (select 0 union all select i + 1 from n where i < ${runs - 1}) select i from n;
    insert into runs (run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id)
      select printf('%032x', i * 2654435761), 'r' || i, 'u', 'FINISHED', i, i, 'active', '/srv/mlflow/mlruns/large/' || printf('%032x', i * 2654435761) || '/artifacts', 100 from n;
    insert into metrics (run_uuid, key, step, timestamp, value, is_nan)
      select printf('%032x', r.i * 2654435761), 'loss', s.i, s.i, r.i + s.i / 100.0, 0 from n r join n s on s.i < 40;
    drop table n;`);
  database.close();
  const before = await counts(other);
  const points = async () => (await counts(other)).metrics - before.metrics;

  for (const [signal, more] of [
    ["SIGKILL", 2_000],
    ["SIGINT", 12_000],
  ] as const) {
    const child = importing(store);
    await expect.poll(async () => child.exitCode !== null || (await points()) > more, { timeout: 30_000, interval: 20 }).toBe(true);
    expect(child.exitCode).toBeNull();
    const ended = new Promise((resolve) => child.once("exit", (code, by) => resolve(by ?? code)));
    child.kill(signal);
    expect(await ended).toBe(signal === "SIGINT" ? 4 : "SIGKILL");
    expect(await points()).toBeLessThan(runs * 40);
  }
  const last = await imported(other, store);
  expect(last.skippedRuns).toBeGreaterThan(13);
  expect(last.points).toBeLessThan(runs * 40);
  const after = await counts(other);
  expect({ runs: after.runs - before.runs, points: after.metrics - before.metrics, versions: after.versions }).toEqual({
    runs,
    points: runs * 40,
    versions: before.versions,
  });
  const { run } = (await get(other, `/api/2.0/mlflow/runs/get?run_id=${(7 * 2_654_435_761).toString(16).padStart(32, "0")}`)) as { run: { data: unknown } };
  expect(run.data).toMatchObject({ metrics: [{ key: "loss", value: 7.39, step: 39 }] });
});
function importing(store: string): ChildProcess {
  const args = [...command, "import", "mlflow", store, "--artifacts", inFolder("mlruns")];
  return spawn(process.execPath, args, { env: { ...process.env, MILLRACE_URL: other.url }, stdio: "ignore" });
}

test("what was deleted here and freed comes again whole", async () => {
  const before = await counts(third);
  await fetch(`${third.url}/api/2.0/mlflow/runs/delete`, {
    method: "POST",
    body: JSON.stringify({ run_id: run5 }),
    headers: { "content-type": "application/json" },
  });
  // By now it is deleted for longer than no time at all.
  await expect.poll(async () => (await millrace(third, "gc", "--older-than", "0s", "--json")).code, { timeout: 20_000 }).toBe(0);
  await expect.poll(async () => (await counts(third)).runs, { timeout: 20_000 }).toBeLessThan(before.runs);
  await imported(third, one.url, true);
  expect(await everything(third)).toEqual(await everything(one));
});

test("what can't be brought is told, and files that are not on this machine are named", async () => {
  expect((await imported(one, inFolder("3.17.2.db"), true)).leftOut).toEqual([
    "files at /srv/mlflow/mlruns: there is no such folder on this machine: name where the files are with --artifacts",
  ]);
  const told = (source: string) => imported(one, source).then(String, ({ message }: Error) => message);
  expect(await told("mysql://u:p@host/db")).toContain("the http:// address of a running MLflow server");
  expect(await told(inFolder("mlruns"))).toContain("is a folder");
  await writeFile(inFolder("no.db"), "no database");
  expect(await told(inFolder("no.db"))).toContain("is no SQLite database");
  const database = new sqlite.Database(inFolder("2.22.0.db"));
  database.exec("update alembic_version set version_num = 'ffffffffffff'");
  database.close();
  expect(await told(inFolder("2.22.0.db"))).toContain(
    "has the schema ffffffffffff of MLflow, which is not known. Known are those of MLflow 2.22 (0584bdc529eb) to 3.17.2",
  );
});

const digest = async (file: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(file))
    .digest("hex");
