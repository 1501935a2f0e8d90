/** What clients of MLflow's scoring servers send: `POST /endpoints/<name>/invocations`, in each of their forms. */
import type { ColumnType, FeatureServiceSpec } from "@millrace/sdk/spec";
import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { type Http, invalid } from "../../platform/index.js";
import type { Exchange } from "./exchange.js";
import { largestBody } from "./routes.js";
import { type GivenTensor, jsonValues, mostRows, type Value } from "./tensors.js";

const Cell = Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]);
const Row = Type.Record(Type.String(), Cell);
/** Rows as objects, a list of rows under their columns' names, or a list of values for each column. */
const forms = {
  dataframe_split: TypeCompiler.Compile(
    Type.Object({ columns: Type.Array(Type.String()), data: Type.Array(Type.Array(Cell)), index: Type.Optional(Type.Array(Type.Unknown())) }),
  ),
  dataframe_records: TypeCompiler.Compile(Type.Array(Row)),
  instances: TypeCompiler.Compile(Type.Array(Row)),
  inputs: TypeCompiler.Compile(
    Type.Union([Type.Record(Type.String(), Type.Array(Type.Union([Cell, Type.Array(Cell, { minItems: 1, maxItems: 1 })]))), Type.Array(Row)]),
  ),
};
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
        const { id, inputs } = await given(asked.body, await exchange.service(name));
        const { version, outputs } = await exchange.infer(name, {
          id,
          version: undefined,
          inputs,
          outputs: ["probability", "prediction_id"],
          moment: asked.moment,
        });
        const [predictions, ids] = outputs.map((one) => one.data);
        return { predictions, prediction_ids: ids, model_version: String(version) };
      });
    }
  });
}

async function given(body: unknown, service: FeatureServiceSpec): Promise<{ id: string | undefined; inputs: GivenTensor[] }> {
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw invalid(`The body is an object with one of ${names.join(", ")}, or CSV with the content type text/csv.`);
  if ("csv" in body) return { id: undefined, inputs: tensors(await csvColumns(String(body.csv), service), service) };
  const present = names.filter((name) => name in body);
  const [form] = present;
  if (form === undefined || present.length > 1)
    throw invalid(`The body has ${form === undefined ? "none" : present.join(" and ")} of ${names.join(", ")}: give one of them.`);
  const id = "client_request_id" in body ? body.client_request_id : undefined;
  if (id !== undefined && (typeof id !== "string" || id.length === 0 || id.length > 190))
    throw invalid("`client_request_id` is a text of 1 to 190 characters.");
  return { id, inputs: tensors(columnsOf(form, Reflect.get(body, form)), service) };
}

/** Each column as the tensor that a client of the protocol would send, so that what does not fit is told by the same checks. */
function tensors(columns: Map<string, Value[]>, service: FeatureServiceSpec): GivenTensor[] {
  return [...columns].map(([name, data]) => {
    const type = service.request.find((one) => one.name === name)?.type;
    const datatype = type === "int64" || type === "float64" ? "FP64" : type === "boolean" ? "BOOL" : "BYTES";
    return { name, shape: [data.length], datatype, values: (count) => jsonValues({ name, datatype, data }, count) };
  });
}

function columnsOf(form: Form, value: unknown): Map<string, Value[]> {
  const columns = new Map<string, Value[]>();
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
  if (!Array.isArray(value)) {
    for (const [name, values] of Object.entries(value))
      columns.set(
        name,
        values.map((one) => (Array.isArray(one) ? (one[0] ?? null) : one)),
      );
    return columns;
  }
  for (const name of new Set(value.flatMap((row) => Object.keys(row))))
    columns.set(
      name,
      value.map((row) => row[name] ?? null),
    );
  return columns;
}
const malformed = (form: string, first: { path: string; message: string } | undefined) =>
  invalid(`${form} is malformed${first === undefined ? "" : ` at ${first.path || "/"}: ${first.message}`}.`);

async function csvColumns(text: string, service: FeatureServiceSpec): Promise<Map<string, Value[]>> {
  const { parse } = await import("csv-parse/sync");
  const types = new Map(service.request.map(({ name, type }) => [name, type]));
  let rows: string[][];
  try {
    rows = parse(text, { bom: true, skip_empty_lines: true, to: mostRows + 2 });
  } catch (error) {
    throw invalid(`The CSV can't be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
  const [head = [], ...body] = rows;
  return new Map(
    head.map((name, at): [string, Value[]] => [name, body.map((row, line) => cellOf(row[at] ?? "", types.get(name) ?? "string", `Line ${line + 2}`, name))]),
  );
}
function cellOf(text: string, type: ColumnType, where: string, name: string): Value {
  if (text === "") return null;
  if (type === "boolean" && /^(true|false)$/i.test(text)) return text.toLowerCase() === "true";
  if (type === "boolean" || ((type === "int64" || type === "float64") && Number.isNaN(Number(text))))
    throw invalid(`${where} has "${text.slice(0, 60)}" in "${name}", which is no ${type}.`);
  return type === "int64" || type === "float64" ? Number(text) : text;
}
