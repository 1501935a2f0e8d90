import { createHash } from "node:crypto";
import { once } from "node:events";
import { Readable } from "node:stream";
import { Client } from "pg";
import { invalid, type Platform, type ServerConfig, type StoredObject } from "../../platform/index.js";

const batchRows = 10_000;
const connectMs = 10_000;
const largestResult = 64 * 1024 ** 3;

/** PostgreSQL's types by their numbers in its catalogue; what is not here is read as text. */
const types: Record<number, string> = {
  ...{ 16: "BOOLEAN", 20: "BIGINT", 21: "BIGINT", 23: "BIGINT", 26: "BIGINT", 700: "DOUBLE", 701: "DOUBLE", 1700: "DOUBLE" },
  ...{ 1082: "DATE", 1114: "TIMESTAMPTZ", 1184: "TIMESTAMPTZ" },
};

export interface QueryResult {
  content: StoredObject;
  columns: { name: string; type: string }[];
}

/**
 * The rows of one SELECT, as CSV in the store: read by a cursor within a transaction that can only read, so that neither side holds them all.
 * `connection` is a name that the operator gave; nobody else learns how it is reached.
 */
export async function fetchQuery(platform: Pick<Platform, "config" | "objects">, connection: string, query: string): Promise<QueryResult> {
  const url = connectionOf(platform.config, connection);
  const client = new Client({ connectionString: url, connectionTimeoutMillis: connectMs, application_name: "millrace ingestion" });
  client.on("error", () => {});
  try {
    await client.connect();
  } catch (error) {
    throw invalid(
      `The connection "${connection}" can't be opened: ${codeOf(error)}. The operator says where it leads with MILLRACE_CONNECTION_${connection.toUpperCase()}.`,
    );
  }
  try {
    await client.query("begin transaction isolation level repeatable read read only");
    await client.query("set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; set local extra_float_digits = 1; set local intervalstyle = 'iso_8601'");
    // With a name it is one statement to PostgreSQL: a second one behind a semicolon is refused there.
    const declared = `declare millrace_rows no scroll cursor for ${query.trim().replace(/;+$/, "")}`;
    await asked(client.query({ name: `q${createHash("sha256").update(declared).digest("hex").slice(0, 16)}`, text: declared }));
    const fetched = () =>
      asked(
        client.query<unknown[]>({ text: `fetch ${batchRows} from millrace_rows`, rowMode: "array", types: { getTypeParser: () => (text: string) => text } }),
      );
    const first = await fetched();
    const columns = first.fields.map(({ name, dataTypeID }) => ({ name, type: types[dataTypeID] ?? "VARCHAR" }));
    if (columns.length === 0) throw invalid("The query gives no columns.");
    async function* lines() {
      yield `${columns.map(({ name }) => quoted(name)).join(",")}\n`;
      for (let page = first; page.rows.length > 0; page = await fetched()) {
        yield page.rows.map((row) => `${row.map((value, i) => written(value, columns[i]?.type)).join(",")}\n`).join("");
        if (page.rows.length < batchRows) return;
      }
    }
    return { content: await platform.objects.put(Readable.from(lines(), { objectMode: false }), { maxBytes: largestResult }), columns };
  } finally {
    const ended = once(client, "end");
    await client.end();
    await ended.catch(() => {});
  }
}

export function connectionOf({ ingestion }: Pick<ServerConfig, "ingestion">, name: string): string {
  const url = ingestion?.connections?.[name];
  if (url !== undefined) return url;
  const known = Object.keys(ingestion?.connections ?? {});
  throw invalid(
    `There is no connection "${name}"${known.length === 0 ? "" : `; there is ${known.join(", ")}`}. The operator sets MILLRACE_CONNECTION_${name.toUpperCase()} where the server is started.`,
  );
}

async function asked<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const code = codeOf(error);
    if (code === "25006") throw invalid("The query would change data: only reading is possible.");
    if (code === "42601" && error instanceof Error && error.message.includes("multiple commands"))
      throw invalid("The query holds several statements: write one SELECT.");
    throw invalid(`PostgreSQL refuses the query: ${error instanceof Error ? error.message : String(error)} (${code})`);
  }
}
const codeOf = (error: unknown): string => (error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "no code");

const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
/** No value is written as nothing, and the empty text as a quoted one. */
function written(value: unknown, type: string | undefined): string {
  if (value === null || value === undefined) return "";
  const text = String(value);
  if (type === "BOOLEAN") return text === "t" ? "true" : "false";
  return type === "VARCHAR" || text === "" ? quoted(text) : text;
}
