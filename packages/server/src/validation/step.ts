import type { Artifact, ValidationReport } from "@millrace/sdk/api";
import type { SchemaSpec } from "@millrace/sdk/spec";
import type { StepContext, StepKind } from "../pipelines/step.js";
import { type Digest, invalid, type Platform } from "../platform/index.js";
import type { Projects } from "../projects/index.js";
import type { Tables, ValidationOptions } from "./history.js";
import { withoutPlaces } from "./places.js";

/** Lets rows through that fit the schema. Where they don't, the run ends, and the report says why. */
export function validateStep(
  { objects, clock }: Pick<Platform, "objects" | "clock">,
  projects: Pick<Projects, "require">,
  validate: (schema: SchemaSpec, files: string[], options: ValidationOptions) => Promise<ValidationReport>,
  tables: (() => Tables) | undefined,
): StepKind<"validate"> {
  type Given = Pick<StepContext<"validate">, "node" | "inputs">;
  function rowsOf({ inputs }: Given): Artifact {
    const rows = inputs.rows;
    if (rows === null || typeof rows !== "object" || rows.type !== "table") throw invalid(`The step needs an input "rows" that is a table.`);
    return rows;
  }
  /** A pipeline's rows are a dataset up to some version: they are compared with the versions before as a whole. */
  function aroundOf({ meta }: Artifact) {
    const { dataset, version } = meta;
    const known = typeof dataset === "string" && typeof version === "number";
    return tables?.().around(known ? { dataset, before: version, whole: true } : {}) ?? {};
  }
  return {
    kind: "validate",
    version: "2",
    async identity(context) {
      const schema = (await projects.require("schema", context.node.config.schema)).spec;
      const around = aroundOf(rowsOf(context));
      const rules = Object.values(schema.columns);
      const beside: string[] = [];
      // A report shows the reference too, so that it is part of what came out.
      const last = Math.max(schema.volume?.last ?? 1, schema.reference !== undefined && "last" in schema.reference ? schema.reference.last : 1);
      for (const one of (await around.arrivals?.(last)) ?? []) beside.push(one.name);
      for (const { foundIn } of rules) if (foundIn !== undefined) beside.push((await around.version?.(foundIn.dataset, undefined))?.name ?? "");
      return {
        rules: withoutPlaces(schema),
        environment: context.node.config.environment,
        beside,
        ...(schema.freshness === undefined ? {} : { now: clock.now().toISOString() }),
      };
    },
    async run(context) {
      const { node, log } = context;
      const rows = rowsOf(context);
      const schema = (await projects.require("schema", node.config.schema)).spec;
      const files = await Promise.all(rows.files.map((file) => objects.localPath(file.digest as Digest)));
      const report = await validate(schema, files, { environment: node.config.environment, around: aroundOf(rows), digest: rows.digest });
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
