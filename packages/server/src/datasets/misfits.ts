import type { TableColumn } from "@millrace/sdk/api";
import type { DatasetSpec } from "@millrace/sdk/spec";
import { type Digest, identifier, type Platform, parquet } from "../platform/index.js";
import { columnType } from "../validation/index.js";
import { describe } from "./formats/convert.js";
import type * as store from "./store.js";

/** What came in, as Parquet in the store. */
export interface Prepared {
  parts: Omit<store.PartRow, "version">[];
  /** Of the parts, on this machine. */
  paths: string[];
  columns: TableColumn[];
  rows: number;
}
interface Misfit {
  kind: string;
  text: string;
  column?: string | null;
  count?: number;
  examples?: Record<string, unknown>[];
}
const mostExamples = 5;

/** What makes an arrival not fit the dataset and the versions before it, whatever its schema says; and the columns of all of them together. */
export async function misfits(
  { duckdb, objects }: Pick<Platform, "duckdb" | "objects">,
  on: Prepared & { dataset: DatasetSpec; name: string; named: store.VersionRow | undefined; earlier: store.PartRow[]; before: store.VersionRow | undefined },
): Promise<{ found: Misfit[]; columns: TableColumn[] }> {
  const { dataset, name, named, paths } = on;
  const found: Misfit[] = [];
  if (named !== undefined) {
    const text = `${name} was accepted before with other content, as version ${named.version}, and its rows would count twice. Send only what is new, under a name of its own.`;
    found.push({ kind: "file", text });
  }
  if (dataset.timestamp !== undefined) {
    const column = on.columns.find((one) => one.name === dataset.timestamp);
    const type = column === undefined ? undefined : columnType(column.type);
    if (column === undefined) found.push({ kind: "missing_column", text: `The column "${dataset.timestamp}", the dataset's timestamp, is missing.` });
    else if (type !== "timestamp" && type !== "date") {
      found.push({ kind: "wrong_type", text: `The dataset's timestamp "${dataset.timestamp}" is ${column.type.toLowerCase()}; timestamp is expected.` });
    }
  }
  const earlierPaths = await Promise.all(on.earlier.map((part) => objects.localPath(part.digest as Digest)));
  return duckdb.use(async (connection) => {
    const old = on.before === undefined ? [] : (on.before.columns ?? (await describe({ duckdb, connection }, ...earlierPaths)));
    for (const column of on.columns) {
      const then = old.find((one) => one.name.toLowerCase() === column.name.toLowerCase());
      if (then === undefined) continue;
      const types = [columnType(column.type), columnType(then.type)];
      const same = types[0] === undefined ? column.type === then.type : types[0] === types[1];
      // Whole numbers and fractions are read as fractions, dates and moments as moments: the wider type holds both.
      const widens = types.every((type) => type === "int64" || type === "float64") || types.every((type) => type === "date" || type === "timestamp");
      if (!same && !widens) {
        found.push({
          kind: "wrong_type",
          text: `The column "${column.name}" is ${column.type.toLowerCase()}, and ${then.type.toLowerCase()} in the dataset so far.`,
        });
      }
    }
    if (found.length > 0) return { found, columns: on.columns };
    found.push(...(await wrongKeys({ duckdb, connection, key: dataset.key ?? [], columns: on.columns, paths, earlierPaths, name })));
    const columns = on.before === undefined ? on.columns : await describe({ duckdb, connection }, ...earlierPaths, ...paths);
    return { found, columns };
  });
}

async function wrongKeys(on: {
  duckdb: Platform["duckdb"];
  connection: Parameters<Parameters<Platform["duckdb"]["use"]>[0]>[0];
  key: readonly string[];
  columns: TableColumn[];
  paths: string[];
  earlierPaths: string[];
  name: string;
}): Promise<Misfit[]> {
  const { duckdb, connection, key, paths, earlierPaths } = on;
  if (key.length === 0) return [];
  const missing = key.find((column) => !on.columns.some((one) => one.name.toLowerCase() === column.toLowerCase()));
  if (missing !== undefined) return [{ kind: "missing_column", column: missing, text: `The column "${missing}", of the dataset's key, is missing.` }];
  const names = key.map(identifier);
  const list = names.join(", ");
  const said = key.join(", ");
  const source = parquet(paths);
  const rows = <Row>(sql: string) => duckdb.rows<Row>(sql, connection);
  const found: Misfit[] = [];
  const [nulls] = await rows<{ n: number }>(`select count(*) as n from ${source} where ${names.map((name) => `${name} is null`).join(" or ")}`);
  if ((nulls?.n ?? 0) > 0) {
    const examples = await rows<Record<string, unknown>>(
      `select * from ${source} where ${names.map((name) => `${name} is null`).join(" or ")} limit ${mostExamples}`,
    );
    const text = `${(nulls?.n ?? 0).toLocaleString("en")} rows have no value in the key (${said}).`;
    found.push({ kind: "null_key", column: said, text, count: nulls?.n ?? 0, examples });
  }
  const twice = `select ${list}, count(*) as "rows" from ${source} group by ${list} having count(*) > 1`;
  const [doubled] = await rows<{ n: number }>(`select count(*) as n from (${twice})`);
  if ((doubled?.n ?? 0) > 0) {
    const examples = await rows<Record<string, unknown>>(`${twice} order by ${list} limit ${mostExamples}`);
    const text = `${(doubled?.n ?? 0).toLocaleString("en")} keys (${said}) are there more than once.`;
    found.push({ kind: "duplicate_key", column: said, text, count: doubled?.n ?? 0, examples });
  }
  if (earlierPaths.length > 0) {
    const again = `select ${list} from ${source} semi join (select ${list} from ${parquet(earlierPaths)}) using (${list})`;
    const [there] = await rows<{ n: number }>(`select count(*) as n from (${again})`);
    if ((there?.n ?? 0) > 0) {
      const examples = await rows<Record<string, unknown>>(`${again} order by ${list} limit ${mostExamples}`);
      const text = `${(there?.n ?? 0).toLocaleString("en")} rows have keys (${said}) that the dataset has already.`;
      found.push({ kind: "duplicate_key", column: said, text, count: there?.n ?? 0, examples });
    }
  }
  return found;
}
