/** What clients of MLflow's scoring servers send: `POST /endpoints/<name>/invocations`, in each of their forms. */
import type { ColumnType } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { Tensor } from "../../inference/index.js";
import { type Http, invalid } from "../../platform/index.js";
import { type GivenTensor, mostRows, type Value } from "../given.js";
import type { Takes } from "../types.js";
import type { Exchange } from "./exchange.js";
import { largestBody } from "./infer.js";
import { jsonOf, jsonTensor } from "./tensors.js";

const Cell = Type.Unknown();
const Row = Type.Record(Type.String(), Cell);
/** Rows as objects or lists, a list of rows under their columns' names, or a list of values for each column. */
const forms = {
  dataframe_split: TypeCompiler.Compile(
    Type.Object({ columns: Type.Array(Type.String()), data: Type.Array(Type.Array(Cell)), index: Type.Optional(Type.Array(Type.Unknown())) }),
  ),
  dataframe_records: TypeCompiler.Compile(Type.Array(Row)),
  instances: TypeCompiler.Compile(Type.Array(Cell)),
  inputs: TypeCompiler.Compile(Type.Union([Type.Record(Type.String(), Type.Array(Cell)), Type.Array(Cell)])),
};
const isRows = TypeCompiler.Compile(Type.Array(Row));
type Form = keyof typeof forms;
const names = Object.keys(forms) as Form[];

export function openInvocationRoutes(app: Http, exchange: Exchange): void {
  void app.register(async (plain) => {
    const scope = plain as Http;
    scope.addContentTypeParser("text/csv", { parseAs: "string", bodyLimit: largestBody }, (_asked, body, done) => done(null, { csv: String(body) }));
    const predict = {
      config: { permission: "predictions:write" as const },
      bodyLimit: largestBody,
      schema: { tags: ["endpoints"], params: Type.Object({ name: Type.String() }), body: Type.Unknown() },
    };
    for (const path of ["/endpoints/:name/invocations", "/serving-endpoints/:name/invocations"]) {
      scope.post(path, predict, async (asked) => {
        const { name } = asked.params;
        const taken = await exchange.takes(name);
        const { id, inputs, explain } = await given(asked.body, taken);
        const answer = await exchange.infer(name, {
          ...{ id, version: undefined, key: asked.headers["millrace-key"], inputs, outputs: [], moment: asked.moment, explain, taken },
          caller: asked.principal.name,
        });
        const explanations = explain === undefined ? undefined : answer.outputs.at(-1);
        const outputs = explanations === undefined ? answer.outputs : answer.outputs.slice(0, -1);
        return {
          ...{ predictions: predictionsOf(taken, outputs), prediction_ids: answer.ids, model_version: String(answer.version) },
          ...(explanations === undefined ? {} : { explanations: jsonOf(explanations).map((text): unknown => JSON.parse(String(text))) }),
        };
      });
    }
  });
}

/** As MLflow answers them: of a data frame its rows, of several tensors each by its name, of one its values. */
function predictionsOf(taken: Takes, outputs: readonly Tensor[]): unknown {
  if (taken.kind === "features") return outputs.filter(({ name }) => name === "probability").flatMap(jsonOf);
  const nested = outputs.map((output) => ({ name: output.name, values: nest(jsonOf(output), output.shape) }));
  const [only] = nested;
  if (nested.length === 1 && only !== undefined) return only.values;
  if (taken.model.platform !== "mlflow_pyfunc" || outputs.some(({ shape }) => shape.length !== 1))
    return Object.fromEntries(nested.map(({ name, values }) => [name, values]));
  return Array.from({ length: outputs[0]?.shape[0] ?? 0 }, (_, row) => Object.fromEntries(nested.map(({ name, values }) => [name, values[row]])));
}
function nest(values: readonly unknown[], shape: readonly number[]): unknown[] {
  const [length, ...rest] = shape;
  if (rest.length === 0 || length === undefined) return [...values];
  const width = values.length / length;
  return Array.from({ length }, (_, at) => nest(values.slice(at * width, (at + 1) * width), rest));
}

async function given(body: unknown, taken: Takes): Promise<{ id: string | undefined; inputs: GivenTensor[]; explain?: unknown }> {
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw invalid(`The body is an object with one of ${names.join(", ")}, or CSV with the content type text/csv.`);
  if ("csv" in body) return { id: undefined, inputs: tensors(await csvColumns(String(body.csv), taken), taken) };
  const present = names.filter((name) => name in body);
  const [form] = present;
  if (form === undefined || present.length > 1)
    throw invalid(`The body has ${form === undefined ? "none" : present.join(" and ")} of ${names.join(", ")}: give one of them.`);
  // Left out silently, the answer would be another one than was asked for.
  if ("params" in body && JSON.stringify(body.params ?? {}) !== "{}")
    throw invalid("`params` of a model's signature are not taken: log the model so that what varies is an input, or that its defaults are right.");
  const id = "client_request_id" in body ? body.client_request_id : undefined;
  if (id !== undefined && (typeof id !== "string" || id.length === 0 || id.length > 190))
    throw invalid("`client_request_id` is a text of 1 to 190 characters.");
  const value: unknown = Reflect.get(body, form);
  const columns = takesWholeRows(taken, value) ? undefined : columnsOf(form, value);
  const explain = "explain" in body && body.explain !== false ? { explain: body.explain } : {};
  return { id, ...explain, inputs: columns === undefined ? [oneTensor(form, value, taken)] : tensors(columns, taken) };
}

/** A model of one value a row, which may be an object: then its keys are no columns. */
function takesWholeRows(taken: Takes, value: unknown): boolean {
  const [only, ...others] = (taken.kind === "tensors" && taken.model.inputs) || [];
  return only?.json === true && others.length === 0 && Array.isArray(value) && !(isRows.Check(value) && value.every((row) => only.name in row));
}

/** Each column as the tensor that a client of the protocol would send, so that what does not fit is told by the same checks. */
function tensors(columns: Map<string, unknown[]>, taken: Takes): GivenTensor[] {
  if (taken.kind === "tensors") {
    const specs = taken.model.inputs;
    const [only] = specs ?? [];
    // A model of one matrix is given the columns side by side.
    if (specs?.length === 1 && only !== undefined && only.shape.length === 2 && !columns.has(only.name)) {
      const all = [...columns.values()];
      return [
        jsonOfNested(
          only,
          (all[0] ?? []).map((_, row) => all.map((column) => column[row])),
        ),
      ];
    }
    return [...columns].map(([name, data]) => jsonOfNested(specs?.find((one) => one.name === name) ?? { name, datatype: guessed(data) }, data));
  }
  return [...columns].map(([name, data]) => {
    const type = taken.service.request.find((one) => one.name === name)?.type;
    return jsonOfNested({ name, datatype: type === "int64" || type === "float64" ? "FP64" : type === "boolean" ? "BOOL" : "BYTES" }, data);
  });
}
/** Rows that are no objects: what a model of one tensor takes. */
function oneTensor(form: Form, value: unknown, taken: Takes): GivenTensor {
  const specs = taken.kind === "tensors" ? taken.model.inputs : undefined;
  const [only] = specs ?? [];
  if (only === undefined || specs?.length !== 1) throw invalid(`${form} holds rows without names; the model takes several inputs: give each row as an object.`);
  return jsonOfNested(only, Array.isArray(value) ? value : []);
}
function jsonOfNested({ name, datatype, json }: { name: string; datatype: string; json?: boolean }, data: unknown[]): GivenTensor {
  if (json === true) {
    const texts = data.map((value) => (value === null || typeof value === "string" ? value : JSON.stringify(value)));
    return jsonTensor({ name, shape: [texts.length], datatype }, texts);
  }
  const shape = [data.length];
  for (let inner = data[0]; Array.isArray(inner) && shape.length < 8; inner = inner[0]) shape.push(inner.length);
  return jsonTensor({ name, shape, datatype }, data);
}
/** Of a model that does not say what it takes. */
function guessed(data: readonly unknown[]): string {
  const values = data.flat(8).filter((value) => value !== null);
  if (values.every((value) => typeof value === "boolean")) return "BOOL";
  if (values.every((value) => typeof value === "number")) return values.length === data.length && values.every(Number.isSafeInteger) ? "INT64" : "FP64";
  return "BYTES";
}

/** Undefined where the rows are no objects. */
function columnsOf(form: Form, value: unknown): Map<string, unknown[]> | undefined {
  const columns = new Map<string, unknown[]>();
  if (form === "dataframe_split") {
    const check = forms.dataframe_split;
    if (!check.Check(value)) throw malformed(form, check.Errors(value).First());
    const wrong = value.data.findIndex((row) => row.length !== value.columns.length);
    if (wrong >= 0) throw invalid(`Row ${wrong + 1} of dataframe_split has ${value.data[wrong]?.length} values for ${value.columns.length} columns.`);
    for (const [at, name] of value.columns.entries()) {
      if (columns.has(name)) throw invalid(`dataframe_split has the column "${name}" twice.`);
      columns.set(
        name,
        value.data.map((row) => row[at] ?? null),
      );
    }
    return columns;
  }
  const check = forms[form];
  if (!check.Check(value)) throw malformed(form, check.Errors(value).First());
  if (!Array.isArray(value)) return new Map(Object.entries(value));
  if (!isRows.Check(value)) return undefined;
  for (const name of new Set(value.flatMap((row) => Object.keys(row))))
    columns.set(
      name,
      value.map((row) => row[name] ?? null),
    );
  return columns;
}
const malformed = (form: string, first: { path: string; message: string } | undefined) =>
  invalid(`${form} is malformed${first === undefined ? "" : ` at ${first.path || "/"}: ${first.message}`}.`);

async function csvColumns(text: string, taken: Takes): Promise<Map<string, Value[]>> {
  const { parse } = await import("csv-parse/sync");
  const types = new Map<string, ColumnType>(
    taken.kind === "features"
      ? taken.service.request.map(({ name, type }) => [name, type])
      : (taken.model.inputs ?? []).map(({ name, datatype }) => [name, datatype === "BYTES" ? "string" : datatype === "BOOL" ? "boolean" : "float64"]),
  );
  // The columns of a matrix have names of their own.
  const other = taken.kind === "tensors" && taken.model.inputs?.length === 1 && taken.model.inputs[0]?.datatype !== "BYTES" ? "float64" : "string";
  let rows: string[][];
  try {
    rows = parse(text, { bom: true, skip_empty_lines: true, to: mostRows + 2 });
  } catch (error) {
    throw invalid(`The CSV can't be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
  const [head = [], ...body] = rows;
  return new Map(
    head.map((name, at): [string, Value[]] => [name, body.map((row, line) => cellOf(row[at] ?? "", types.get(name) ?? other, `Line ${line + 2}`, name))]),
  );
}
function cellOf(text: string, type: ColumnType, where: string, name: string): Value {
  if (text === "") return null;
  if (type === "boolean" && /^(true|false)$/i.test(text)) return text.toLowerCase() === "true";
  if (type === "boolean" || ((type === "int64" || type === "float64") && Number.isNaN(Number(text))))
    throw invalid(`${where} has "${text.slice(0, 60)}" in "${name}", which is no ${type}.`);
  return type === "int64" || type === "float64" ? Number(text) : text;
}
