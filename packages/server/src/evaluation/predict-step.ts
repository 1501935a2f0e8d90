import path from "node:path";
import { storeTable } from "../datasets/index.js";
import type { StepKind } from "../pipelines/step.js";
import { identifier, invalid, literal, type Platform, parquet } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { artifact, localPaths, modelSource } from "./artifacts.js";
import { modelInput, streamColumns } from "./columns.js";
import type { ScorerSource } from "./ports.js";

const rowsInChunk = 2_048;

/** What a model answers to each of many rows, as a column more. Rows go through it in batches, so that there may be any number of them. */
export function predictStep(
  platform: Pick<Platform, "objects" | "duckdb">,
  { projects, inference }: { projects: Pick<Projects, "require">; inference: ScorerSource },
): StepKind<"predict"> {
  const { objects, duckdb } = platform;
  const featuresOf = async (service: string) => (await projects.require("feature_service", service)).spec.features;
  return {
    kind: "predict",
    version: "1",
    identity: async ({ node: { config } }) => ({ features: await featuresOf(config.service) }),
    async run({ node: { config, outputs }, inputs, workDir, signal, log }) {
      const model = artifact(inputs, "model", "model");
      const rows = artifact(inputs, "rows", "table");
      const features = await featuresOf(config.service);
      const table = parquet(await localPaths(objects, rows));
      const { DOUBLE, DuckDBDataChunk } = await import("@duckdb/node-api");
      const scorer = await inference.openModel(await modelSource(objects, model.files, "the model to predict with"), features);
      try {
        // Two connections: what one reads in batches ends at its next statement.
        const meta = await duckdb.use((reading) =>
          duckdb.use(async (writing) => {
            const described = await duckdb.rows<{ column_name: string; column_type: string }>(`describe select * from ${table}`, writing);
            const columns = described.map((one) => ({ name: one.column_name, type: one.column_type }));
            const missing = features.find(({ name }) => !columns.some((one) => one.name === name));
            if (missing !== undefined)
              throw invalid(`The rows to predict have no column "${missing.name}". They have ${columns.map((one) => one.name).join(", ")}.`);
            if (columns.some(({ name }) => name === config.column))
              throw invalid(`The rows to predict have a column "${config.column}" already: give another one with \`column\`.`);
            const [counted] = await duckdb.rows<{ n: number }>(`select count(*) as n from ${table}`, writing);
            const count = counted?.n ?? 0;

            await writing.run("create temp table predicted (prediction double)");
            const appender = await writing.createAppender("predicted");
            let done = 0;
            const query = `select ${features.map((feature) => `${modelInput(feature)} as ${identifier(feature.name)}`).join(", ")} from ${table}`;
            for await (const batch of streamColumns(reading, query)) {
              signal.throwIfAborted();
              const answers = await scorer.predict(batch.columns, batch.rows);
              if (answers.length !== batch.rows) throw invalid(`The model gave ${answers.length} answers to ${batch.rows} rows.`);
              for (let from = 0; from < answers.length; from += rowsInChunk) {
                const part = [...answers.subarray(from, from + rowsInChunk)];
                const chunk = DuckDBDataChunk.create([DOUBLE], part.length);
                chunk.setColumns([part]);
                appender.appendDataChunk(chunk);
              }
              done += batch.rows;
              if (done < count) log(`${done.toLocaleString("en")} of ${count.toLocaleString("en")} rows`);
            }
            appender.closeSync();
            if (done !== count) throw new Error(`${done} of ${count} rows were read.`);
            const answered = `select rows.*, predicted.prediction as ${identifier(config.column)} from ${table} as rows positional join predicted`;
            await writing.run(`copy (${answered}) to ${literal(path.join(workDir, "rows.parquet"))} (format parquet, compression zstd)`);
            log(`${count.toLocaleString("en")} rows are predicted`);
            return { rows: count, columns: [...columns, { name: config.column, type: "DOUBLE" }], service: config.service, model: model.meta.version ?? null };
          }),
        );
        return { outputs: { [outputs[0]?.name ?? "rows"]: await storeTable(platform, "rows.parquet", path.join(workDir, "rows.parquet"), meta) } };
      } finally {
        await scorer.close();
      }
    },
  };
}
