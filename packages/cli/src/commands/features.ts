import type { FeatureComparison, FeatureService, FeatureView } from "@millrace/sdk/api";
import { CliError } from "../errors.js";
import { count, print, printJson, table, tell, time } from "../output.js";
import { connect, type ServerOptions } from "../server.js";

type Json = ServerOptions & { json?: boolean };

/** Views and services; with a text, those that have it in a name, an owner, a tag, an entity or where they are used. */
export async function listFeatures({ search, json, ...server }: Json & { search?: string }): Promise<void> {
  const client = connect(server);
  const [views, services] = await Promise.all([client.features.views(), client.features.services()]);
  const found = {
    views: views.items.filter((view) => matches(search, textsOfView(view))),
    services: services.items.filter((service) => matches(search, textsOfService(service))),
  };
  if (json) return printJson(found);
  if (found.views.length + found.services.length === 0) return tell(search === undefined ? "No features are defined yet." : `Nothing has "${search}" in it.`);
  const viewRows = found.views.map((view) => [
    view.name,
    view.kind,
    view.entity,
    view.owner ?? "-",
    view.tags.join(" "),
    count(view.onlineRows),
    time(view.newest),
  ]);
  if (viewRows.length > 0) print(table(["VIEW", "KIND", "ENTITY", "OWNER", "TAGS", "ROWS ONLINE", "NEWEST"], viewRows));
  const serviceRows = found.services.map((service) => [
    service.name,
    String(service.features.length),
    service.views.join(" "),
    usersOf(service).join(" ") || "-",
  ]);
  if (serviceRows.length > 0) print(`${viewRows.length > 0 ? "\n" : ""}${table(["SERVICE", "FEATURES", "VIEWS", "USED BY"], serviceRows)}`);
}

const matches = (search: string | undefined, texts: (string | undefined)[]): boolean =>
  search === undefined || texts.some((text) => text?.toLowerCase().includes(search.toLowerCase()));
const textsOfView = (view: FeatureView) => [
  ...[view.name, view.owner, view.description, view.entity, view.dataset, ...view.tags, ...view.services],
  ...view.features.map((feature) => feature.name),
];
const usersOf = ({ usedBy }: FeatureService): string[] => [
  ...usedBy.models.map(({ model, version }) => `model:${model}/${version}`),
  ...usedBy.endpoints.map((name) => `endpoint:${name}`),
  ...usedBy.pipelines.map((name) => `pipeline:${name}`),
];
const textsOfService = (service: FeatureService) => [
  ...[service.name, service.owner, service.description, ...service.tags, ...service.views, ...usersOf(service)],
  ...service.features.map((feature) => feature.name),
];

export async function materialize(view: string, { json, ...server }: Json): Promise<void> {
  const done = await connect(server).features.materialize(view);
  if (json) return printJson(done);
  print(`${view}: ${count(done.rows)} rows of its dataset are online`);
}

export async function onlineFeatures(service: string, { row, ...server }: ServerOptions & { row: string }): Promise<void> {
  const rows = rowsOf(row);
  const names = [...new Set(rows.flatMap((one) => Object.keys(one)))];
  const request = Object.fromEntries(names.map((name) => [name, rows.map((one) => one[name] ?? null)]));
  const found = await connect(server).features.online(service, request);
  for (const [i] of rows.entries()) {
    const status = Object.fromEntries(Object.entries(found.status).map(([view, all]) => [view, all[i]]));
    print(JSON.stringify({ ...Object.fromEntries(Object.entries(found.features).map(([name, values]) => [name, values[i] ?? null])), status }));
  }
}
type Row = Record<string, string | number | boolean | null>;
function rowsOf(text: string): Row[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new CliError(`--json is no JSON: ${text.slice(0, 100)}`, 2);
  }
  return [parsed].flat().map((one) => {
    if (one === null || typeof one !== "object") throw new CliError('--json is a row as {"origin": "JFK"}, or an array of rows.', 2);
    return one as Row;
  });
}

/** Training-serving skew: what endpoints gave to their models, against what the same definition gives offline. */
export async function checkFeatures(
  service: string,
  { endpoint, sample, from, to, allow, json, ...server }: Json & { endpoint: string; sample: number; from?: Date; to?: Date; allow: number },
): Promise<void> {
  const of = { endpoint, sample, ...(from === undefined ? {} : { from: from.toISOString() }), ...(to === undefined ? {} : { to: to.toISOString() }) };
  const found = await connect(server).features.check(service, of);
  if (json) printJson(found);
  else report(found, endpoint);
  const worst = Math.max(0, ...found.features.map((feature) => feature.different / Math.max(1, found.rows)));
  if (worst > allow) throw new CliError(`Features differ in up to ${percent(worst)} of the rows; ${percent(allow)} is allowed.`);
}
const percent = (share: number): string => `${Number((share * 100).toPrecision(3))} %`;

function report(found: FeatureComparison, endpoint: string): void {
  print(`${count(found.rows)} predictions of ${endpoint}: in ${count(found.equal)} all features of ${found.service} are the same offline`);
  const different = found.features.filter((feature) => feature.different > 0).sort((a, b) => b.different - a.different);
  if (different.length === 0) return;
  const rows = different.map((feature) => [
    feature.name,
    count(feature.different),
    percent(feature.different / found.rows),
    feature.maxDifference === null ? "-" : String(Number(feature.maxDifference.toPrecision(4))),
    JSON.stringify(feature.examples[0] ?? null),
  ]);
  print(table(["FEATURE", "DIFFERENT", "SHARE", "LARGEST", "EXAMPLE"], rows));
}
