/**
 * The same pipelines on Millrace and on Metaflow, Dagster, DVC and ZenML, from the command to its end: `npm run bench:pipelines`.
 *
 *   --only millrace,dvc      some of them
 *   --rounds 3               how often each is measured; the median counts
 *   --full                   1,000 steps on all of them (many minutes); else on Millrace only
 *
 * Each tool runs as its users run it: Millrace's server is up and `millrace run --wait` is timed, the peers are a program that starts, runs and
 * ends. A peer's step is a function in its own process or a process of its own, as the tool does it.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setup } from "../../scripts/setup.mjs";
import { environment } from "../environment.mjs";
import { millrace as millraceServer, start } from "../tracking/servers.mjs";
import { table } from "./table.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = path.join(here, "../..");
const { values: options } = parseArgs({ options: { only: { type: "string" }, rounds: { type: "string", default: "3" }, full: { type: "boolean" } } });
const rounds = Number(options.rounds);
const limitMs = 600_000;
/** 10 MB of float64. */
const rows = 1_250_000;
const peer = (file) => path.join(here, "peers", file);
const requirements = (name) => environment(name, peer(`${name}.txt`));

/** Each answers how to run a case: `prepare` is not timed, `run` is. `undefined` where it has no such case. */
const tools = {
  async millrace(folder) {
    setup();
    const server = await start(millraceServer, folder);
    started.push(server.stop);
    const project = path.join(folder, "project");
    cpSync(path.join(here, "project"), project, { recursive: true });
    // The project is a part of no workspace: it finds the SDK as a dependency.
    mkdirSync(path.join(project, "node_modules/@millrace"), { recursive: true });
    symlinkSync(path.join(root, "packages/sdk"), path.join(project, "node_modules/@millrace/sdk"));
    const command = (...args) => [path.join(root, "bin/millrace"), [...args], { env: { ...process.env, MILLRACE_URL: server.url } }];
    run(...command("apply", project));
    const pipeline = (name, ...more) => ({ run: command("run", name, "--wait", ...more) });
    const cached = (name) => ({ prepare: () => run(...command("run", name, "--wait")), ...pipeline(name) });
    const fan = (count) => ["--param", `items=${JSON.stringify(Array.from({ length: count }, (_, n) => n))}`];
    return {
      cases: {
        "10 steps": pipeline("sequence", "--no-cache"),
        "10 steps in Python": pipeline("sequence_py", "--no-cache"),
        "fan-out of 50": pipeline("fan", "--no-cache", ...fan(50)),
        // Its environment is made before, as the peers' are.
        "table of 10 MB": {
          prepare: () => run(...command("run", "table", "--wait", "--param", "rows=10")),
          ...pipeline("table", "--no-cache", "--param", `rows=${rows}`),
        },
        "10 steps, all cached": cached("sequence"),
        "50 steps, all cached": cached("sequence50"),
        "fan-out of 1,000": pipeline("fan", "--no-cache", ...fan(1_000)),
      },
    };
  },
  async metaflow(folder) {
    const python = path.join(requirements("metaflow"), "python");
    const settings = { cwd: folder, env: { ...process.env, USERNAME: "bench", METAFLOW_HOME: path.join(folder, "home") } };
    const flow = (shape, count, ...what) => {
      const file = path.join(folder, `${shape}${count}.py`);
      return {
        prepare: () => writeFileSync(file, execFileSync(python, [peer("metaflow_flow.py"), shape, String(count)])),
        run: [python, [file, "--no-pylint", "--quiet", ...what], settings],
      };
    };
    const fan = (count) => flow("fan", count, "run", "--max-workers", "4", "--max-num-splits", "2000");
    return {
      cases: {
        "10 steps": flow("sequence", 10, "run"),
        "10 steps in Python": flow("sequence", 10, "run"),
        "fan-out of 50": fan(50),
        "table of 10 MB": flow("table", rows, "run"),
        "10 steps, all cached": flow("sequence", 10, "resume", "end"),
        ...(options.full ? { "fan-out of 1,000": fan(1_000) } : {}),
      },
    };
  },
  async dagster(folder) {
    const python = path.join(requirements("dagster"), "python");
    const job = (shape, count) => ({
      run: [
        python,
        [peer("dagster_job.py"), shape, String(count), path.join(folder, "storage")],
        { cwd: folder, env: { ...process.env, DAGSTER_HOME: folder } },
      ],
    });
    return {
      cases: {
        "10 steps": job("sequence", 10),
        "10 steps in Python": job("sequence", 10),
        "fan-out of 50": job("fan", 50),
        "table of 10 MB": job("table", rows),
        ...(options.full ? { "fan-out of 1,000": job("fan", 1_000) } : {}),
      },
    };
  },
  async dvc(folder) {
    const bin = requirements("dvc");
    const settings = (at) => ({ cwd: at, env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, DVC_NO_ANALYTICS: "1" } });
    const stages = (shape, count, { again = false } = {}) => {
      const at = path.join(folder, `${shape}${count}`);
      return {
        prepare() {
          mkdirSync(at, { recursive: true });
          run("git", ["init", "-q"], settings(at));
          run(path.join(bin, "dvc"), ["init", "-q", "-f"], settings(at));
          writeFileSync(
            path.join(at, "dvc.yaml"),
            execFileSync(path.join(bin, "python"), [peer("dvc_yaml.py"), shape, String(count), path.join(bin, "python")]),
          );
          if (again) run(path.join(bin, "dvc"), ["repro", "-q"], settings(at));
        },
        run: [path.join(bin, "dvc"), ["repro", "-q", ...(again ? [] : ["--force"])], settings(at)],
      };
    };
    return {
      cases: {
        "10 steps": stages("sequence", 10),
        "10 steps in Python": stages("sequence", 10),
        "fan-out of 50": stages("fan", 50),
        "table of 10 MB": stages("table", rows),
        "10 steps, all cached": stages("sequence", 10, { again: true }),
        "50 steps, all cached": stages("sequence", 50, { again: true }),
        ...(options.full ? { "fan-out of 1,000": stages("fan", 1_000) } : {}),
      },
    };
  },
  async zenml(folder) {
    const python = path.join(requirements("zenml"), "python");
    const settings = { cwd: folder, env: { ...process.env, ZENML_CONFIG_PATH: path.join(folder, "config"), ZENML_ANALYTICS_OPT_IN: "false" } };
    const pipeline = (shape, count, { cached = false } = {}) => {
      const command = [python, [peer("zenml_pipeline.py"), shape, String(count), cached ? "yes" : "no"], settings];
      return { ...(cached ? { prepare: () => run(...command) } : {}), run: command };
    };
    // Its first use makes its store.
    run(...pipeline("sequence", 1).run);
    return {
      cases: {
        "10 steps": pipeline("sequence", 10),
        "10 steps in Python": pipeline("sequence", 10),
        "fan-out of 50": pipeline("fan", 50),
        "table of 10 MB": pipeline("table", rows),
        "10 steps, all cached": pipeline("sequence", 10, { cached: true }),
        "50 steps, all cached": pipeline("sequence", 50, { cached: true }),
        ...(options.full ? { "fan-out of 1,000": pipeline("fan", 1_000) } : {}),
      },
    };
  },
};

function run(command, args, settings = {}) {
  const { status, error, stderr } = spawnSync(command, args, { ...settings, stdio: ["ignore", "ignore", "pipe"], timeout: limitMs, maxBuffer: 64 * 1024 ** 2 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ").slice(0, 200)} failed: ${error?.message ?? String(stderr).slice(-1_000)}`);
}

function seconds({ prepare, run: command }, name) {
  prepare?.();
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    run(...command);
    times.push((performance.now() - began) / 1000);
    // What takes minutes is measured once.
    if (times[0] > 60) break;
  }
  const median = times.sort((a, b) => a - b)[Math.floor((times.length - 1) / 2)];
  process.stderr.write(`${name}: ${times.map((time) => time.toFixed(2)).join(", ")} s\n`);
  return median;
}

/** How what runs is ended, also where a tool could not be set up. */
const started = [];
const chosen = options.only?.split(",") ?? Object.keys(tools);
const results = {};
for (const [name, open] of Object.entries(tools)) {
  if (!chosen.includes(name)) continue;
  const folder = mkdtempSync(path.join(tmpdir(), `bench-${name}-`));
  try {
    const tool = await open(folder);
    results[name] = {};
    for (const [what, work] of Object.entries(tool.cases)) {
      try {
        results[name][what] = seconds(work, `${name}: ${what}`);
      } catch (error) {
        process.stderr.write(`${name}: ${what}: ${error.message}\n`);
      }
    }
  } finally {
    for (const stop of started.splice(0)) await stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
process.stdout.write(`\n${table(results)}\n`);
