/** A card in Hugging Face's form: metadata as YAML in front, with the results as `model-index`, and Markdown. */
import type { Metrics, ModelCard } from "@millrace/sdk/api";
import { stringify } from "yaml";
import { type Block, contentOf, type Inline, metricTitles } from "./content.js";
import type { Gathered } from "./types.js";

export function markdownCard(gathered: Gathered): string {
  const { title, blocks } = contentOf(gathered);
  const front = stringify(metadata(gathered.card), { lineWidth: 0 });
  return `---\n${front}---\n\n# ${escaped(title)}\n\n${blocks.map(written).join("\n\n")}\n`;
}

function written(block: Block): string {
  if ("heading" in block) return `${"#".repeat(block.level)} ${block.heading}`;
  if ("text" in block) return paragraphs(block.text).join("\n\n");
  if ("facts" in block) return block.facts.map(([name, value]) => `- **${name}:** ${inline(value)}`).join("\n");
  if ("list" in block) return block.list.map((value) => `- ${inline(value)}`).join("\n");
  if ("program" in block) {
    const fence = "`".repeat(Math.max(3, longestTicks(block.program) + 1));
    return `${fence}${block.language}\n${block.program}\n${fence}`;
  }
  const row = (cells: string[]) => `| ${cells.join(" | ")} |`;
  const { head, rows } = block.table;
  return [row(head.map(escaped)), row(head.map(() => "---")), ...rows.map((cells) => row(cells.map(inline)))].join("\n");
}

const paragraphs = (text: string): string[] => text.split(/\n\s*\n/).flatMap((one) => (one.trim() === "" ? [] : [escaped(one)]));
const inline = (parts: readonly Inline[]): string => parts.map((part) => (typeof part === "string" ? escaped(part) : code(part.code))).join("");

/**
 * A text as itself: nothing in it becomes a heading, a link, HTML or a cell of a table. Names with underscores between letters are left as they are,
 * as CommonMark does; addresses stay addresses.
 */
function escaped(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line
    .replaceAll(/[\\`*[\]<>|~$]/g, "\\$&")
    .replaceAll(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, "\\_")
    .replaceAll(/&(?=[#a-z])/gi, "&amp;")
    .replace(/^([#+=-]|[0-9]+(?=[.)]))/, (first) => (/^[0-9]/.test(first) ? first : `\\${first}`))
    .replace(/^([0-9]+)([.)])/, "$1\\$2")
    .replaceAll(/^ /g, "")
    .replace(/^\\\[More Information Needed\\\]$/, "[More Information Needed]");
}
function code(text: string): string {
  // A cell of a table ends at a bar, within code too.
  const line = text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|");
  const ticks = "`".repeat(longestTicks(line) + 1);
  return ticks.length === 1 ? `\`${line}\`` : `${ticks} ${line} ${ticks}`;
}
const longestTicks = (text: string): number => Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));

/** Metrics by the names that Hugging Face's hub has for them. */
const hubMetrics = { auc: "roc_auc", log_loss: "log_loss", brier: "brier_score", calibration_error: "calibration_error" } as const;
const hubSlices = 20;

function metadata(card: ModelCard): object {
  const { declared, library, report } = card;
  const license = declared?.license;
  const isId = license !== undefined && /^[a-z0-9][a-z0-9.-]*$/.test(license);
  return {
    ...(license === undefined ? {} : isId ? { license } : { license: "other", license_name: license }),
    ...(declared?.languages === undefined ? {} : { language: declared.languages }),
    ...(library === null ? {} : { library_name: library }),
    ...(report === null ? {} : { pipeline_tag: "tabular-classification" }),
    tags: [...new Set(["millrace", ...(declared?.tags ?? [])])],
    "model-index": [{ name: card.model, results: results(card) }],
  };
}

function results(card: ModelCard): object[] {
  const { report, metrics, data, training } = card;
  const read = data[0];
  const dataset = {
    type: read?.dataset ?? card.model,
    name: read === undefined ? card.model : `${read.dataset}${read.version === null ? "" : ` v${read.version}`}`,
    ...(read?.digest == null ? {} : { revision: read.digest }),
  };
  if (report === null) {
    const told = Object.entries({ ...training?.metrics, ...metrics });
    if (told.length === 0) return [];
    return [{ task: { type: "other" }, dataset, metrics: told.map(([type, value]) => ({ type, value, name: type })) }];
  }
  const measured = (of: Metrics) =>
    (["auc", "log_loss", "brier", "calibration_error"] as const).flatMap((name) => {
      const value = of[name];
      return value === null ? [] : [{ type: hubMetrics[name], value, name: metricTitles[name] }];
    });
  const task = { type: "tabular-classification", name: "Binary classification" };
  const largest = [...report.slices].sort((a, b) => b.candidate.rows - a.candidate.rows).slice(0, hubSlices);
  return [
    { task, dataset: { ...dataset, split: "test" }, metrics: measured(report.candidate) },
    ...largest.map(({ column, value, candidate }) => ({
      task,
      dataset: { ...dataset, config: `${column}=${value}`, split: "test" },
      metrics: measured(candidate),
    })),
  ].filter((one) => one.metrics.length > 0);
}
