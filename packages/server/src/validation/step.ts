import type { ValidationReport } from "@millrace/sdk/api";
import type { SchemaSpec } from "@millrace/sdk/spec";
import type { StepKind } from "../pipelines/step.js";
import { type Digest, invalid, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";

/** Lets rows through that fit the schema. Where they don't, the run ends, and the report says why. */
export function validateStep(
  { objects }: Pick<Platform, "objects">,
  projects: Pick<Projects, "require">,
  validate: (schema: SchemaSpec, files: string[]) => Promise<ValidationReport>,
): StepKind<"validate"> {
  return {
    kind: "validate",
    version: "1",
    async identity({ node }) {
      const { definedAt: _, ...rules } = (await projects.require("schema", node.config.schema)).spec;
      return rules;
    },
    async run({ node, inputs, log }) {
      const rows = inputs.rows;
      if (rows === null || typeof rows !== "object" || rows.type !== "table") throw invalid(`The step needs an input "rows" that is a table.`);
      const schema = (await projects.require("schema", node.config.schema)).spec;
      const files = await Promise.all(rows.files.map((file) => objects.localPath(file.digest as Digest)));
      const report = await validate(schema, files);
      for (const anomaly of report.anomalies) log(`${anomaly.severity} ${anomaly.kind}: ${anomaly.message}`);
      log(`${report.rows.toLocaleString("en")} rows, ${report.anomalies.length} anomalies`);
      const stored = await objects.put(Buffer.from(JSON.stringify(report)));
      const meta = { schema: schema.name, passed: report.passed, rows: report.rows, anomalies: report.anomalies.length };
      const blocking = report.anomalies.filter((anomaly) => anomaly.severity === "block");
      return {
        outputs: { rows, report: { type: "report", digest: stored.digest, files: [{ path: "report.json", digest: stored.digest, size: stored.size }], meta } },
        ...(report.passed ? {} : { refused: `The rows don't fit the schema "${schema.name}":\n${blocking.map((anomaly) => anomaly.message).join("\n")}` }),
      };
    },
  };
}
