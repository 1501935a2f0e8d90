/** What a card says, as headings, texts and tables that can be written as Markdown and as HTML. Its order and headings are those of Hugging Face's model cards. */

import type { EvaluationReport, Metrics, ModelCard } from "@millrace/sdk/api";
import { shownMoment } from "../platform/index.js";
import type { Gathered } from "./types.js";

/** A text, a name that stands in a file or a program, or an address. */
export type Inline = string | { code: string };
export type Block =
  | { heading: string; level: 2 | 3 }
  /** With blank lines between paragraphs. */
  | { text: string }
  | { facts: [string, Inline[]][] }
  | { list: Inline[][] }
  | { table: { head: string[]; rows: Inline[][][] } }
  | { program: string; language: string };

/** As Hugging Face's cards call what nobody told. */
const unknown = "[More Information Needed]";
const shownSlices = 50;
const worstSlices = 5;
/** Of the rows of a slice that is told as bad. */
const leastRows = 100;

export function contentOf({ card, request }: Gathered): { title: string; blocks: Block[] } {
  const { declared, training, report } = card;
  return {
    title: `${card.model}, version ${card.version}`,
    blocks: [
      { text: declared?.summary ?? card.description ?? unknown },
      { heading: "Model Details", level: 2 },
      { heading: "Model Description", level: 3 },
      ...(declared?.summary !== undefined && card.description !== null ? [{ text: card.description }] : []),
      ...(card.versionDescription === null ? [] : [{ text: card.versionDescription }]),
      {
        facts: facts([
          ["Developed by", declared?.owner ?? unknown],
          ["Model type", card.library],
          ["Version", [String(card.version), ...card.aliases.flatMap((alias): Inline[] => [" ", { code: alias }])]],
          ["Registered", shownMoment(new Date(card.registeredAt))],
          ["License", declared?.license ?? unknown],
          ["Language(s)", declared?.languages?.join(", ") ?? null],
          ["Digest", [{ code: card.digest }]],
          ["Answers as", card.serving.map((one) => `${one.as} version of the endpoint ${one.endpoint}`).join(", ") || null],
          ["Declared in", declared?.in == null ? null : `project ${declared.in}`],
        ]),
      },
      ...(declared?.references === undefined ? [] : [{ heading: "Model Sources", level: 3 as const }, { list: declared.references.map((one) => [one]) }]),
      { heading: "Uses", level: 2 },
      { heading: "Direct Use", level: 3 },
      { text: declared?.intendedUse ?? unknown },
      { heading: "Out-of-Scope Use", level: 3 },
      { text: declared?.outOfScopeUse ?? unknown },
      { heading: "Bias, Risks, and Limitations", level: 2 },
      declared?.limitations === undefined ? { text: unknown } : { list: declared.limitations.map((one) => [one]) },
      ...(report === null ? [] : limits(report)),
      { heading: "Recommendations", level: 3 },
      { text: declared?.recommendations ?? unknown },
      { heading: "How to Get Started with the Model", level: 2 },
      start(card, request),
      { heading: "Training Details", level: 2 },
      { heading: "Training Data", level: 3 },
      ...data(card),
      { heading: "Training Procedure", level: 3 },
      ...(training === null ? [{ text: unknown }] : procedure(training)),
      { heading: "Evaluation", level: 2 },
      ...evaluation(card),
      ...gates(card),
      { heading: "Approvals", level: 2 },
      ...approvals(card),
      { heading: "Technical Specifications", level: 2 },
      ...specifications(card),
      { heading: "Model Card Contact", level: 2 },
      { text: declared?.owner ?? unknown },
    ],
  };
}

function limits(report: EvaluationReport): Block[] {
  const measured = report.slices.filter(({ candidate }) => candidate.auc !== null && candidate.rows >= leastRows);
  const worst = measured.sort((a, b) => (a.candidate.auc ?? 0) - (b.candidate.auc ?? 0)).slice(0, worstSlices);
  if (worst.length === 0) return [];
  return [
    { text: `Of the ${measured.length} slices with at least ${leastRows} rows and both outcomes, it tells outcomes apart least well on these:` },
    {
      table: {
        head: ["Slice", "Rows", "AUC", "AUC overall"],
        rows: worst.map(({ column, value, candidate }) => cells(`${column} = ${value}`, candidate.rows, candidate.auc, report.candidate.auc)),
      },
    },
  ];
}

function start({ model, version, serving, library, files }: ModelCard, request: Gathered["request"]): Block {
  const endpoint = serving[0]?.endpoint;
  if (endpoint !== undefined && request !== undefined) {
    const example = { string: "…", int64: 0, float64: 0, boolean: false, timestamp: "2026-01-31T12:00:00Z", date: "2026-01-31" };
    const row = Object.fromEntries(request.map(({ name, type }) => [name, example[type]]));
    return { program: `millrace predict ${endpoint} --json '${JSON.stringify(row)}'`, language: "sh" };
  }
  const address = JSON.stringify(`models:/${model}/${version}`);
  return files.some((file) => file.path === "MLmodel")
    ? { program: `import mlflow\n\nmodel = mlflow.pyfunc.load_model(${address})${library === null ? "" : `  # ${library}`}`, language: "python" }
    : { program: `import mlflow\n\nfolder = mlflow.artifacts.download_artifacts(${address})`, language: "python" };
}

function data({ data: read, more }: ModelCard): Block[] {
  if (read.length === 0) return [{ text: unknown }];
  return [
    {
      table: {
        head: ["Dataset", "Version", "Rows", "Created", "Read by", "Digest"],
        rows: read.map((one) => [
          [one.accepted === null ? one.dataset : `${one.dataset} (${one.accepted})`],
          ...cells(one.version, one.rows, one.createdAt === null ? null : shownMoment(new Date(one.createdAt)), one.readBy.join(", ")),
          [one.digest === null ? "" : { code: one.digest.slice(0, 19) }],
        ]),
      },
    },
    ...(more ? [{ text: "Its lineage leads further than it was followed here." }] : []),
  ];
}

function procedure(training: NonNullable<ModelCard["training"]>): Block[] {
  const { run, pipeline, project, commit, dirty, cause, startedAt, durationMs, params, metrics, steps } = training;
  return [
    {
      facts: facts([
        ["Run", [...(pipeline === null ? [] : [`${pipeline} `]), { code: run }]],
        ["Project", project],
        ["Commit", commit === null ? null : [{ code: commit }, ...(dirty ? [", with changes that were not committed"] : [])]],
        ["Started", startedAt === null ? null : `${shownMoment(new Date(startedAt))}${cause === null ? "" : `, ${cause}`}`],
        ["Took", durationMs === null ? null : `${shown(durationMs / 1_000)} s`],
      ]),
    },
    ...table(
      ["Hyperparameter", "Value"],
      Object.entries(params).map(([name, value]) => cells(name, typeof value === "string" ? value : JSON.stringify(value))),
    ),
    ...table(
      ["Training metric", "Value"],
      Object.entries(metrics).map(([name, value]) => cells(name, value)),
    ),
    ...table(
      ["Step", "Kind", "Code", "Environment"],
      steps.map(({ id, kind, code, environment }) => [[id], [kind], digest(code), digest(environment)]),
    ),
  ];
}
const digest = (of: string | null): Inline[] => (of === null ? [] : [{ code: of.slice(0, 19) }]);

const metricNames = ["auc", "log_loss", "brier", "calibration_error", "mean_prediction"] as const satisfies (keyof Metrics)[];
export const metricTitles = {
  ...{ auc: "Area under the ROC curve", log_loss: "Log loss", brier: "Brier score", calibration_error: "Expected calibration error" },
  mean_prediction: "Mean prediction",
} as const;

function evaluation({ report, metrics }: ModelCard): Block[] {
  if (report === null) {
    const rows = Object.entries(metrics).map(([name, value]) => cells(name, value));
    return rows.length === 0 ? [{ text: unknown }] : table(["Metric", "Value"], rows);
  }
  const { candidate, champion, championVersion, slices, calibration, parity, latency } = report;
  const columns = [...new Set(slices.map((one) => one.column))];
  const sorted = [...slices].sort((a, b) => b.candidate.rows - a.candidate.rows);
  const left = sorted.length - shownSlices;
  const of = { measured: `${candidate.rows} rows that it was not trained on, ${candidate.positives} of them positive` };
  return [
    { heading: "Testing Data, Factors & Metrics", level: 3 },
    {
      facts: facts([
        ["Testing data", of.measured],
        ["Factors", columns.join(", ") || null],
        ["One row takes", `${shown(latency.p50Ms)} ms p50, ${shown(latency.p99Ms)} ms p99`],
        ["Exported against trained", parity === null ? null : `differs by at most ${shown(parity.maxDifference)} on ${parity.rows} rows`],
      ]),
    },
    { heading: "Results", level: 3 },
    ...table(
      ["Metric", "This version", ...(champion === null ? [] : [championVersion ?? "Champion then"])],
      metricNames.map((name) => cells(metricTitles[name], candidate[name], ...(champion === null ? [] : [champion[name]]))),
    ),
    ...table(
      ["Slice", "Rows", "Positive", "AUC", "Log loss", "Calibration error", ...(champion === null ? [] : ["Champion's AUC"])],
      sorted.slice(0, shownSlices).map(({ column, value, candidate: one, champion: other }) => {
        const own = cells(`${column} = ${value}`, one.rows, one.positives, one.auc, one.log_loss, one.calibration_error);
        return champion === null ? own : [...own, ...cells(other?.auc ?? null)];
      }),
    ),
    ...(left > 0 ? [{ text: `${left} smaller slices are not shown.` }] : []),
    ...table(
      ["Predicted", "Observed", "Rows"],
      calibration.filter((bin) => bin.rows > 0).map(({ predicted, observed, rows }) => cells(predicted, observed, rows)),
    ),
  ];
}

function gates({ gates: judged }: ModelCard): Block[] {
  if (judged.length === 0) return [];
  const verdict = ({ passed, severity }: (typeof judged)[number]) => (passed ? "passed" : severity === "block" ? "refused" : "warned");
  return [
    { heading: "Gates", level: 3 },
    ...table(
      ["Gate", "Verdict", "Why"],
      judged.map((one) => cells(one.gate, verdict(one), one.message)),
    ),
  ];
}

function approvals({ approvals: given }: ModelCard): Block[] {
  if (given.length === 0) return [{ text: "Nobody was asked." }];
  return table(
    ["Of", "Answer", "By", "At", "Comment"],
    given.map(({ of, approved, by, at, comment }) => cells(of, approved ? "approved" : "refused", by, shownMoment(new Date(at)), comment)),
  );
}

function specifications({ signature, environment, files }: ModelCard): Block[] {
  const fields = [...(signature?.inputs ?? []).map((one) => ["input", one] as const), ...(signature?.outputs ?? []).map((one) => ["output", one] as const)];
  const { python, requirements } = environment;
  return [
    ...table(
      ["Signature", "Name", "Type"],
      fields.map(([side, { name, type }]) => [[side], [{ code: name }], [type]]),
    ),
    ...(python === null ? [] : [{ facts: facts([["Python", python]]) }]),
    ...table(
      ["Package"],
      requirements.map((one) => [[{ code: one }]]),
    ),
    ...table(
      ["File", "Bytes", "Digest"],
      files.map(({ path, size, digest: of }) => [[{ code: path }], [String(size)], [{ code: of }]]),
    ),
  ];
}

/** Without those that nobody knows. */
function facts(of: [string, string | Inline[] | null][]): [string, Inline[]][] {
  return of.flatMap(([name, value]): [string, Inline[]][] => (value === null ? [] : [[name, typeof value === "string" ? [value] : value]]));
}
const table = (head: string[], rows: Inline[][][]): Block[] => (rows.length === 0 ? [] : [{ table: { head, rows } }]);
const cells = (...values: (string | number | null | undefined)[]): Inline[][] =>
  values.map((value) => (value == null ? [] : [typeof value === "number" ? shown(value) : value]));
/** Whole numbers as they are, others with five significant digits. */
const shown = (value: number): string => String(Number.isInteger(value) ? value : Number(value.toPrecision(5)));
