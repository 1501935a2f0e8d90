/** For tests of `millrace check`: a small project that trains in TypeScript, and what can be wrong with it. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { runCommand } from "../testing.js";
import { openDuck } from "../transfer/duck.js";
import type { CheckReport } from "./result.js";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const compilerOptions = {
  ...{ target: "es2023", module: "nodenext", strict: true, noEmit: true, skipLibCheck: true },
  ...{ typeRoots: [path.join(root, "node_modules/@types")], types: ["node"], paths: { "@millrace/sdk": [path.join(root, "packages/sdk/src/index.ts")] } },
};
export const training = `import { check, command, dataset, float64, int64, Metrics, Model, pipeline, project, schema, step, Table, table, text } from "@millrace/sdk";
import { mkdir, writeFile, copyFile } from "node:fs/promises";

const points = dataset({
  name: "points",
  watch: { folder: "data", pattern: "*.parquet" },
  schema: schema({ name: "points", columns: { x: float64({ maxNullShare: 0 }), y: int64({ min: 0, max: 1 }), prediction: float64() }, minRows: 100 }),
});

/** As a training says its loss. */
async function log(step: number, loss: number): Promise<void> {
  const { MLFLOW_TRACKING_URI: url, MLFLOW_TRACKING_TOKEN: token, MLFLOW_RUN_ID: run } = process.env;
  const value = Number.isNaN(loss) ? "NaN" : loss;
  const body = JSON.stringify({ run_id: run, metrics: [{ key: "train_loss", value, timestamp: Date.now(), step }] });
  const headers = { authorization: \`Bearer \${token}\`, "content-type": "application/json" };
  const answer = await fetch(\`\${url}/api/2.0/mlflow/runs/log-batch\`, { method: "POST", headers, body });
  if (!answer.ok) throw new Error(await answer.text());
}

export const train = step({
  name: "train",
  in: { rows: Table, fault: text({ default: "none" }) },
  out: { model: Model, scores: Metrics },
  run: async ({ inputs, outputs, params: { fault } }) => {
    const rows = (await inputs.rows.rows()).map((row) => ({ x: Number(row.x), y: Number(row.y) }));
    let weight = 0;
    let loss = 0;
    for (let round = 0; round < 12; round++) {
      loss = 0;
      let slope = 0;
      for (const { x, y } of rows) {
        const p = 1 / (1 + Math.exp(-weight * x));
        loss -= Math.log(Math.max(1e-12, y === 1 ? p : 1 - p)) / rows.length;
        slope += ((p - y) * x) / rows.length;
      }
      await log(round, fault === "nan" && round === 3 ? Number.NaN : fault === "flat" ? 0.69 : loss);
      if (fault !== "flat" && !(fault === "weak" && rows.length <= 10)) weight -= slope;
    }
    await mkdir(outputs.model.path);
    if (fault !== "missing") await writeFile(\`\${outputs.model.path}/weights.json\`, JSON.stringify({ weight }));
    await writeFile(\`\${outputs.model.path}/about.txt\`, "a line");
    if (fault === "nan") await copyFile(inputs.rows.paths[0] ?? "", \`\${outputs.model.path}/parity.parquet\`);
    return { scores: { loss } };
  },
});

export const fit = pipeline({ name: "fit", params: { fault: text({ default: "none" }) } }, ({ fault }) => {
  train({ rows: points.upTo("latest"), fault });
});
const asked = {
  run: fit,
  sample: 500,
  artifacts: { train: { model: { files: ["weights.json"] }, scores: { metrics: { loss: { max: 0.8 } } } } },
  overfits: { step: "train", rows: 10, reaches: { train_loss: { max: 0.3 } } },
};
`;
export const sound = `${training}
export default project({ name: "sound", definitions: [points, fit, check({ ...asked, metrics: { train_loss: { max: 0.3 } } })] });
`;

/** A folder with files, and the points that they train on. */
export async function project(place: string, files: Record<string, string>): Promise<string> {
  await mkdir(path.join(place, "data"), { recursive: true });
  const usual = { "package.json": '{ "type": "module" }', "tsconfig.json": JSON.stringify({ compilerOptions, include: ["**/*.ts"] }) };
  for (const [file, text] of Object.entries({ ...usual, ...files })) await writeFile(path.join(place, file), text);
  const duck = await openDuck();
  // Two clouds that a line divides, and what a broken model says of them.
  const rows = "select (i % 2 * 2 - 1) * (1 + i % 7)::double as x, (i % 2)::bigint as y, case when i % 7 = 0 then 'nan'::double else 0.5 end as prediction";
  await duck.run(`copy (${rows} from range(3000) as r(i)) to '${path.join(place, "data/points-1.parquet")}' (format parquet)`);
  await duck.close();
  return place;
}

/** Nothing answers at that address: a check needs no server. */
export const check = (place: string, args: readonly string[] = [], env: Record<string, string> = {}): ReturnType<typeof runCommand> =>
  runCommand(["check", place, ...args], { url: "http://127.0.0.1:9", timeoutMs: 280_000, env });
export const casesOf = (report: CheckReport) => (group: string, name: string) => report.cases.find((one) => one.group === group && one.name === name);
