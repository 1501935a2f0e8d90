import type { Build, Repository } from "@millrace/sdk/api";
import { print, printJson, table, time } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

type Options = ServerOptions & { json?: boolean };
export interface WatchOptions extends Options {
  folder?: string;
  branch?: string;
  tags?: string;
  poll?: number;
  webhookSecret?: string;
  tokenSecret?: string;
  check: boolean;
}

export async function watch(name: string, url: string, options: WatchOptions): Promise<void> {
  const { folder, branch, tags, poll, webhookSecret, tokenSecret, check } = options;
  const given = { folder, branch, tags, pollSeconds: poll, webhookSecret, token: tokenSecret };
  const start = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const made = await connect(options).repositories.set(name, { url, check, ...start });
  if (options.json) return printJson(made);
  const looks = made.pollSeconds === 0 ? "when its webhook says so" : `every ${made.pollSeconds} s`;
  print(`${name} is watched, ${looks}: pushes to ${made.branch}, and tags ${made.tags}.\n  millrace repository show ${name}`);
}

export async function list(options: Options): Promise<void> {
  const { items } = await connect(options).repositories.list();
  if (options.json) return printJson(items);
  if (items.length === 0) return print("No repository is watched. Watch one: millrace repository watch <name> <address>");
  print(table(["repository", "address", "branch", "tags", "project", "looked at", "problem"], items.map(row)));
}
const row = (one: Repository): string[] => [one.name, one.url, one.branch, one.tags, one.project ?? "-", time(one.lookedAt), one.problem ?? "-"];

/** With what became of its commits. */
export async function show(name: string, options: Options): Promise<void> {
  const { repositories } = connect(options);
  const [found, { items }] = await Promise.all([repositories.get(name), repositories.builds(name, { limit: 20 })]);
  if (options.json) return printJson({ ...found, builds: items });
  print(`${name} at ${found.url}${found.folder === "" ? "" : `, folder ${found.folder}`}: ${found.problem ?? "no problem"}\n`);
  if (items.length > 0) print(table(["found", "ref", "commit", "state", "release", "message"], items.map(buildRow)));
}
const buildRow = (one: Build): string[] => [
  time(one.foundAt),
  one.ref.replace(/^refs\/(heads|tags)\//, ""),
  one.commit.slice(0, 12),
  one.state,
  one.release?.slice(0, 19) ?? "-",
  one.message ?? (one.log === null ? "-" : `log ${one.log.slice(0, 19)}`),
];

export async function log(name: string, commit: string | undefined, options: ServerOptions): Promise<void> {
  const client = connect(options);
  const { items } = await client.repositories.builds(name, { limit: 100 });
  const found = items.find((one) => one.log !== null && (commit === undefined || one.commit.startsWith(commit)));
  if (found === undefined || found.log === null) return print(`No build of ${commit ?? name} has said anything yet.`);
  print((await new Response(await client.object(found.log)).text()).trimEnd());
}

export async function act(name: string, what: "look" | "delete", options: Options): Promise<void> {
  await connect(options).repositories[what](name);
  print(what === "look" ? `${name} is looked at.` : `${name} is watched no more. What was released from it stays.`);
}
