import { readFile } from "node:fs/promises";
import type { Client, Tensor } from "@millrace/sdk/client";
import { CliError, exit } from "../errors.js";
import { print } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

type Cell = string | number | boolean | null;
type Row = Readonly<Record<string, unknown>>;

export interface PredictOptions extends ServerOptions {
  json?: string;
  file?: string;
  explain?: true | number;
}

export async function predict(endpoint: string, options: PredictOptions): Promise<void> {
  const rows = await readRows(options);
  const client = connect(options);
  const inputs = await inputsOf(client, endpoint);
  const { explain } = options;
  const answer = await client.endpoints.infer(endpoint, {
    inputs: inputs.map(({ name, datatype }) => tensor(name, datatype, rows)),
    ...(explain === undefined ? {} : { parameters: { explain } }),
  });
  const output = (name: string) => answer.outputs.find((one) => one.name === name)?.data ?? [];
  const [ids, probabilities, explanations] = [output("prediction_id"), output("probability"), output("explanation")];
  const version = answer.model_version ?? answer.parameters?.version;
  for (const index of rows.keys()) {
    const explained: { explanation?: unknown } = explain === undefined ? {} : { explanation: JSON.parse(String(explanations[index])) };
    print(JSON.stringify({ id: ids[index], probability: probabilities[index], version, ...explained }));
  }
}

async function readRows({ json, file }: PredictOptions): Promise<Row[]> {
  if (json === undefined && file === undefined) throw new CliError("Give the rows with --json '{…}' or --file rows.json.", exit.usage);
  const text = json ?? (await readFile(file ?? "", "utf8"));
  const value = parse(text, file ?? "--json");
  const rows: unknown[] = Array.isArray(value) ? value : [value];
  if (rows.length === 0) throw new CliError("There are no rows.", exit.usage);
  return rows.map((row) => {
    if (isRow(row)) return row;
    throw new CliError("A row is a JSON object: the request's columns by name.", exit.usage);
  });
}
function parse(text: string, from: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CliError(`${from} is no JSON: ${error instanceof Error ? error.message : error}.`, exit.usage);
  }
}
const isRow = (value: unknown): value is Row => typeof value === "object" && value !== null && !Array.isArray(value);

/** The tensors that the endpoint takes, by the protocol's metadata. */
async function inputsOf(client: Client, endpoint: string): Promise<{ name: string; datatype: string }[]> {
  const { inputs } = await client.request<{ inputs: { name: string; datatype: string }[] }>("GET", `/v2/models/${encodeURIComponent(endpoint)}`);
  return inputs;
}

function tensor(name: string, datatype: string, rows: readonly Row[]): Tensor {
  const data = rows.map((row, index): Cell => {
    const value = row[name];
    if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
    throw new CliError(`Row ${index + 1} has no "${name}": give a value, or null where it is not known.`, exit.usage);
  });
  return { name, datatype, shape: [rows.length], data };
}
