/** Which predictions labels are of that name no id. */
import { durationMs } from "@millrace/sdk";
import type { Label, LabelPush } from "@millrace/sdk/api";
import { type DuckDb, identifier, invalid } from "../platform/index.js";
import type { LogSchema } from "./log/schema.js";
import type { Serving } from "./types.js";

type ByEntity = Extract<Label, { at: string }> & { place: number };

/** A prediction may be asked for so long before the moment that it is as of. */
const aheadMs = 30 * 86_400_000;

export interface Joined {
  labels: { id: string; label: number }[];
  /** Places of labels of which there is no prediction. */
  unmatched: number[];
}

/** Of each label the prediction that it names, or all that are as of the last moment not after its own. Throws a 400 where a label is none. */
export async function joinLabels(
  { labels, within = "1d" }: LabelPush,
  of: {
    probability: boolean;
    schema: LogSchema;
    duckdb: Pick<DuckDb, "rows">;
    use: (span: { from: Date }, work: Parameters<Serving["usePredictions"]>[2]) => Promise<unknown>;
  },
): Promise<Joined> {
  const found: Joined["labels"] = [];
  const byEntity: ByEntity[] = [];
  for (const [place, one] of labels.entries()) {
    const label = Number(one.label);
    const what = "id" in one ? `"${one.id}"` : `the entity at place ${place}`;
    if (of.probability && label !== 0 && label !== 1)
      throw invalid(`The label of ${what} is ${label}. An endpoint of probabilities takes true and false, or 1 and 0.`);
    if ("id" in one) found.push({ id: one.id, label });
    else byEntity.push({ ...one, place });
  }
  if (byEntity.length === 0) return { labels: found, unmatched: [] };

  const unmatched = new Set(byEntity.map(({ place }) => place));
  const reach = durationMs(within);
  // Each set of columns is a join of its own.
  const groups = new Map<string, ByEntity[]>();
  for (const one of byEntity) {
    const key = JSON.stringify(Object.keys(one.entity).sort());
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  const columns = new Map([...groups.values()].flatMap(([first]) => Object.keys(first?.entity ?? {})).map((name) => [name, columnOf(name, of.schema)]));
  const oldest = byEntity.reduce((least, { at }) => Math.min(least, Date.parse(at)), Number.POSITIVE_INFINITY);
  await of.use({ from: new Date(oldest - reach - aheadMs) }, async (connection, relation) => {
    for (const [index, group] of [...groups.values()].entries()) {
      const names = Object.keys(group[0]?.entity ?? {}).sort();
      const table = identifier(`told_${index}`);
      const lists = [
        `unnest(from_json($1::json, '["BIGINT"]')) as place`,
        `make_timestamptz(unnest(from_json($2::json, '["BIGINT"]')) * 1000) as at`,
        ...names.map((_, key) => `unnest(from_json($${key + 3}::json, '["VARCHAR"]')) as key_${key}`),
      ];
      await connection.run(`create temp table ${table} as select ${lists.join(", ")}`, [
        JSON.stringify(group.map(({ place }) => place)),
        JSON.stringify(group.map(({ at }) => Date.parse(at))),
        ...names.map((name) => JSON.stringify(group.map(({ entity }) => String(entity[name])))),
      ]);
      const equal = names.map((name, key) => {
        const column = columns.get(name);
        return column === undefined ? "false" : `p.${identifier(column.name)} = try_cast(t.key_${key} as ${column.type})`;
      });
      const rows = await of.duckdb.rows<{ place: number | bigint; id: string }>(
        `select place, id from (
           select t.place, p.id, rank() over (partition by t.place order by p.as_of desc) as nearest from ${table} t join ${relation} p
           on ${equal.join(" and ")} and p.as_of <= t.at and p.as_of >= t.at - to_milliseconds(${reach})) where nearest = 1`,
        connection,
      );
      for (const { place, id } of rows) {
        const label = Number(labels[Number(place)]?.label);
        unmatched.delete(Number(place));
        found.push({ id, label });
      }
    }
  });
  return { labels: found, unmatched: [...unmatched].sort((a, b) => a - b) };
}

/** Of what a request brings. */
function columnOf(name: string, schema: LogSchema): { name: string; type: string } {
  const asked = schema.filter(([column, type]) => /^[ri]_/.test(column) && !type.endsWith("[]"));
  const found = asked.find(([column]) => column.slice(2) === name);
  if (found !== undefined) return { name: found[0], type: found[1] };
  throw invalid(
    `Labels can't be joined by "${name}": the endpoint's requests have ${asked.map(([column]) => column.slice(2)).join(", ") || "no columns of one value"}.`,
  );
}
