import path from "node:path";
import { type Datasets, storeTable } from "../datasets/index.js";
import type { StepContext, StepKind } from "../pipelines/step.js";
import { type Digest, identifier, invalid, literal, type Platform, parquet } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { assertSelect } from "../validation/index.js";
import { historicalRows } from "./historical.js";
import type { Service, View, Views } from "./views.js";

interface Pinned {
  service: Service;
  /** The parts of each view's dataset, by the dataset's name. */
  parts: Map<string, { version: number; digest: string; paths: string[] }>;
}

/** Gives rows the features of a service, as they were known at each row's moment. */
export function historicalFeaturesStep(
  platform: Pick<Platform, "duckdb" | "objects">,
  projects: Projects,
  datasets: Datasets,
  views: Views,
): StepKind<"historical_features"> {
  const { duckdb, objects } = platform;
  // What the cache key was made of is what is read, also when new rows come in between.
  const pinned = new WeakMap<object, Pinned>();
  async function pin({ node, inputs }: Pick<StepContext<"historical_features">, "node" | "inputs">): Promise<Pinned> {
    const before = pinned.get(inputs);
    if (before !== undefined) return before;
    const service = await views.service(node.config.service);
    const parts: Pinned["parts"] = new Map();
    for (const { dataset } of service.views) {
      const version = await datasets.latest(dataset);
      const paths = version === undefined ? [] : (await datasets.partFiles(version)).map((part) => part.path);
      parts.set(dataset, { version: version?.version ?? 0, digest: version?.digest ?? "none", paths });
    }
    const made = { service, parts };
    pinned.set(inputs, made);
    return made;
  }
  return {
    kind: "historical_features",
    version: "2",
    async identity(context) {
      const { service, parts } = await pin(context);
      const { definedAt: _, ...spec } = service.spec;
      const definitions = await Promise.all(
        service.views.map(async (view) => ({ ...(await projects.require("feature_view", view.name)).spec, definedAt: null, keys: view.keys })),
      );
      return { spec, definitions, datasets: [...parts].map(([name, { digest }]) => [name, digest]) };
    },
    async run(context) {
      const { node, inputs, workDir, log } = context;
      const rows = inputs.rows;
      if (rows === null || typeof rows !== "object" || rows.type !== "table") throw invalid(`The step needs an input "rows" that is a table.`);
      const { service, parts } = await pin(context);
      const files = await Promise.all(rows.files.map((file) => objects.localPath(file.digest as Digest)));
      const select = node.config.select ?? "select * from rows";
      const file = path.join(workDir, "rows.parquet");
      const meta = await duckdb.sandbox({ reads: [...files, ...[...parts.values()].flatMap((part) => part.paths)], writes: [file] }, async (connection) => {
        await assertSelect(duckdb, connection, select, ["rows"], "The select");
        const shaped = `with "rows" as (select * from ${parquet(files)}) select * from (${select}\n)`;
        const paths = async (view: View) => parts.get(view.dataset)?.paths ?? [];
        const joined = await historicalRows({ duckdb, connection, service, rows: shaped, asOf: node.config.asOf ?? "known", files: paths, log });
        await connection.run(`copy (${joined.sql}) to ${literal(file)} (format parquet)`);
        const [counted] = await duckdb.rows<{ n: number; nulls: number }>(`select count(*) as n from ${parquet([file])}`, connection);
        for (const { name } of service.spec.features) {
          const [empty] = await duckdb.rows<{ n: number }>(`select count(*) - count(${identifier(name)}) as n from ${parquet([file])}`, connection);
          if ((empty?.n ?? 0) > 0) log(`${name}: missing in ${empty?.n.toLocaleString("en")} rows`);
        }
        log(`${(counted?.n ?? 0).toLocaleString("en")} rows with the features of ${service.spec.name}`);
        return { rows: counted?.n ?? 0, columns: joined.columns, service: service.spec.name };
      });
      const read = [...parts].map(([dataset, { version }]) => ({ dataset, version }));
      return { outputs: { [node.outputs[0]?.name ?? "rows"]: await storeTable(platform, "rows.parquet", file, { ...meta, datasets: read }) } };
    },
  };
}
