import type { PredictionExplanation } from "@millrace/sdk/api";
import { print, printJson, table } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

const scales = {
  output: "in the output's own unit",
  log_odds: "in log-odds, of which the output is the logistic function",
  score: "in the score of its class, of which the output is the softmax",
} as const;

export async function explain(id: string, { top, ...options }: ServerOptions & { json?: boolean; top?: number }): Promise<void> {
  const found = await connect(options).predictions.explanation(id, { top });
  if (options.json) return printJson(found);
  print(lines(found).join("\n"));
}

function lines({ endpoint, model, version, method, output, scale, value, base, background, attributions, rest }: PredictionExplanation): string[] {
  const errors = attributions.some(({ standardError }) => standardError !== null);
  const rows = attributions.map((one) => [
    one.feature,
    one.value === null ? "-" : String(one.value),
    signed(one.attribution),
    ...(errors ? [one.standardError === null ? "" : `± ${shown(one.standardError)}`] : []),
  ]);
  const of = output.index === null ? output.name : `${output.name}[${output.index}]`;
  return [
    `${of} of ${endpoint}, by ${model}/${version}: ${scales[scale]}, ${method}`,
    `${shown(base)} on average of ${background.rows} rows of the ${background.from === "training" ? "training" : "log"}, ${shown(value)} here:`,
    table(["feature", "value", "gives", ...(errors ? ["standard error"] : [])], rows),
    ...(rest === 0 ? [] : [`and ${signed(rest)} by all others`]),
  ];
}
const shown = (value: number): string => String(Number(value.toPrecision(4)));
const signed = (value: number): string => `${value < 0 ? "" : "+"}${shown(value)}`;
