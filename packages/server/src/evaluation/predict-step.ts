import path from "node:path";
import { storeTable } from "../datasets/index.js";
import type { StepKind } from "../pipelines/step.js";
import { identifier, invalid, literal, type Platform, parquet } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import { artifact, localPaths, modelSource } from "./artifacts.js";
import type { ScorerSource } from "./ports.js";
import { featurePredictor, tensorPredictor } from "./predictors.js";

const rowsInChunk = 2_048;

/** What a model answers to each of many rows, as columns more. Rows go through it in batches, so that there may be any number of them. */
export function predictStep(
  platform: Pick<Platform, "objects" | "duckdb">,
  { projects, inference }: { projects: Pick<Projects, "require">; inference: ScorerSource },
): StepKind<"predict"> {
  const { objects, duckdb } = platform;
  const featuresOf = async (service: string | undefined) =>
    service === undefined ? undefined : (await projects.require("feature_service", service)).spec.features;
  return {
    kind: "predict",
    version: "1",
    identity: async ({ node: { config } }) => ({ features: await featuresOf(config.service) }),
    async run({ node: { config, outputs }, inputs, workDir, signal, log }) {
      const model = artifact(inputs, "model", "model");
      const rows = artifact(inputs, "rows", "table");
      const features = await featuresOf(config.service);
      const table = parquet(await localPaths(objects, rows));
      const { DuckDBDataChunk } = await import("@duckdb/node-api");
      const opened = await inference.open(await modelSource(objects, model.files, "the model to predict with"));
      try {
        // Two connections: what one reads in batches ends at its next statement.
        const meta = await duckdb.use((reading) =>
          duckdb.use(async (writing) => {
            const described = await duckdb.rows<{ column_name: string; column_type: string }>(`describe select * from ${table}`, writing);
            const columns = described.map((one) => ({ name: one.column_name, type: one.column_type }));
            const has = columns.map((one) => one.name);
            const predictor = await (features === undefined
              ? tensorPredictor(opened, config.inputs ?? {}, has)
              : featurePredictor(opened, features, config.column ?? "prediction", has));
            const taken = predictor.outputs.find(({ name }) => has.includes(name));
            if (taken !== undefined)
              throw invalid(
                `The rows to predict have a column "${taken.name}" already: ${features === undefined ? "the model's output has its name, so give the column another" : "give another one with `column`"}.`,
              );
            const [counted] = await duckdb.rows<{ n: number }>(`select count(*) as n from ${table}`, writing);
            const count = counted?.n ?? 0;

            await writing.run(`create temp table predicted (${predictor.outputs.map(({ name, type }) => `${identifier(name)} ${type}`).join(", ")})`);
            const appender = await writing.createAppender("predicted");
            const types = predictor.outputs.map(({ duckType }) => duckType);
            let done = 0;
            for await (const batch of predictor.answers(reading, table)) {
              signal.throwIfAborted();
              for (let from = 0; from < batch.rows; from += rowsInChunk) {
                const part = batch.columns.map((values) => values.slice(from, from + rowsInChunk));
                const chunk = DuckDBDataChunk.create(types, part[0]?.length ?? 0);
                chunk.setColumns(part);
                appender.appendDataChunk(chunk);
              }
              done += batch.rows;
              if (done < count) log(`${done.toLocaleString("en")} of ${count.toLocaleString("en")} rows`);
            }
            appender.closeSync();
            if (done !== count) throw new Error(`${done} of ${count} rows were read.`);
            const answered = `select rows.*, predicted.* from ${table} as rows positional join predicted`;
            await writing.run(`copy (${answered}) to ${literal(path.join(workDir, "rows.parquet"))} (format parquet, compression zstd)`);
            log(`${count.toLocaleString("en")} rows are predicted`);
            return {
              ...{ rows: count, columns: [...columns, ...predictor.outputs.map(({ name, type }) => ({ name, type }))], model: model.meta.version ?? null },
              ...(config.service === undefined ? {} : { service: config.service }),
            };
          }),
        );
        return { outputs: { [outputs[0]?.name ?? "rows"]: await storeTable(platform, "rows.parquet", path.join(workDir, "rows.parquet"), meta) } };
      } finally {
        await opened.close();
      }
    },
  };
}
