import type { DatasetVersion } from "@millrace/sdk/api";
import { CliError, exit } from "../errors.js";
import { count, print, printJson, table, time } from "../output.js";
import { connect, type ServerOptions } from "../server.js";
import { tellReport } from "./validate.js";

type Options = ServerOptions & { json?: boolean };

export async function listQuarantine(dataset: string | undefined, options: Options & { all?: boolean }): Promise<void> {
  const client = connect(options);
  const found: DatasetVersion[] = [];
  let after: string | undefined;
  do {
    const query = { ...(dataset === undefined ? {} : { dataset }), decided: options.all === true, ...(after === undefined ? {} : { after }) };
    const page = await client.quarantine.list(query);
    found.push(...page.items);
    after = page.next;
  } while (after !== undefined);
  if (options.json) printJson(found);
  else if (found.length === 0) print("Nothing is in quarantine.");
  else print(table(["dataset", "version", "file", "rows", "anomalies", "came", "decided"], found.map(line)));
}
const line = (one: DatasetVersion) => [
  one.dataset,
  String(one.version),
  one.added.file,
  count(one.added.rows),
  String(one.anomalies),
  time(one.createdAt),
  decided(one),
];
function decided({ quarantine }: DatasetVersion): string {
  if (quarantine === undefined) return "-";
  const as = quarantine.acceptedAs === null ? "" : ` as version ${quarantine.acceptedAs}`;
  return `${quarantine.decision}${as} by ${quarantine.by}: ${quarantine.reason}`;
}

export async function showQuarantine(dataset: string, version: number, options: Options): Promise<void> {
  const found = await connect(options).datasets.version(dataset, version);
  if (options.json) return printJson(found);
  print(`${dataset} version ${version}: ${found.status}, ${found.added.file}, ${count(found.added.rows)} rows, came ${time(found.createdAt)}`);
  if (found.quarantine !== undefined) print(decided(found));
  if (found.report !== null) tellReport(found.report);
}

export async function decide(act: "accept" | "reject", dataset: string, version: number, options: Options & { reason: string }): Promise<void> {
  if (options.reason.trim().length < 3) throw new CliError("Say why, with --reason: it is kept with the version.", exit.usage);
  const made = await connect(options).quarantine[act](dataset, version, options.reason);
  if (options.json) printJson(made);
  else
    print(
      act === "accept"
        ? `${dataset} version ${version} is accepted as version ${made.version}.`
        : `${dataset} version ${version} is rejected; it stays in quarantine.`,
    );
}
