/** Experiments: what runs belong to. */
import { sql } from "kysely";
import {
  attribute,
  attributes,
  checkTags,
  exists,
  type Field,
  invalidValue,
  isDuplicate,
  jsonField,
  type KeyValue,
  key,
  largest,
  missing,
  ofView,
  orderKeys,
  type Page,
  readPage,
  type Searchable,
  type Sql,
  where,
} from "../mlflow/index.js";
import type { Database, Platform } from "../platform/index.js";
import type { Experiment, Search, Tracking } from "./types.js";

/** A text to who compares it, and a number in an order. */
export const experimentId = (id: Sql): Field => ({ ...attribute(sql`${id}::text`, "text"), sort: { value: id, nullable: false, type: "integer" } });
const own = attributes({
  name: attribute(sql`e.name`, "text"),
  experiment_id: experimentId(sql`e.id`),
  creation_time: attribute(sql`e.creation_time`, "integer"),
  last_update_time: attribute(sql`e.last_update_time`, "integer"),
  lifecycle_stage: attribute(sql`e.lifecycle_stage`, "text"),
});
const searchable: Searchable = { fields: { attributes: own.of, tags: (name) => jsonField(sql`e.tags`, name) }, attributes: own.names };
const columns = sql`e.id::text, e.name, e.lifecycle_stage, e.artifact_location, e.creation_time::float8, e.last_update_time::float8, e.tags`;

/** MLflow's ids of experiments are whole numbers written as text. */
export function experimentNumber(id: string): number {
  if (!/^-?[0-9]+$/.test(id)) throw invalidValue(`Invalid experiment ID '${id.slice(0, 100)}'. Experiment ID must be a valid integer.`);
  if (!/^[0-9]{1,15}$/.test(id)) throw missing(`No Experiment with id=${id.slice(0, 100)} exists`);
  return Number(id);
}

export async function findExperiment(db: Database, by: { id: string } | { name: string }): Promise<Experiment> {
  const { rows } = await sql<Experiment>`
    select ${columns} from experiment e where ${"id" in by ? sql`e.id = ${experimentNumber(by.id)}` : sql`e.name = ${by.name}`}`.execute(db);
  if (rows[0] !== undefined) return rows[0];
  throw missing("id" in by ? `No Experiment with id=${by.id} exists` : `Could not find experiment with name '${by.name}'`);
}

/** Where artifacts lie: with the server, under names that are paths; or below an address that the operator allows, which clients reach by themselves. */
export function checkLocation(location: string, allowed: string[]): void {
  const path = /^mlflow-artifacts:(?:\/|\/\/\/)([^/].*)$/.exec(location)?.[1];
  if (path !== undefined && isPlain(path)) return;
  if (isAllowed(location, allowed)) return;
  const others = allowed.length === 0 ? "" : ` Elsewhere they may lie below ${allowed.join(", ")}.`;
  throw invalidValue(
    `Invalid artifact location: '${location.slice(0, 200)}'. Leave it out, or write mlflow-artifacts:/<path>: the server keeps the artifacts.${others}`,
  );
}
const isPlain = (path: string): boolean => /^[\w.-]+(?:\/[\w.-]+)*$/.test(path) && !path.split("/").some((part) => /^\.+$/.test(part));
function isAllowed(location: string, allowed: string[]): boolean {
  return allowed.some((one) => {
    const root = one.replace(/\/+$/, "");
    return location === root || (location.startsWith(`${root}/`) && isPlain(location.slice(root.length + 1)));
  });
}

export function createExperiments({
  db,
  clock,
  config,
}: Pick<Platform, "db" | "clock" | "config">): Pick<Tracking, "createExperiment" | "experiment" | "searchExperiments" | "updateExperiment"> {
  const now = () => clock.now().getTime();
  return {
    async createExperiment(name, { artifactLocation, tags = [] }) {
      if (name === "") throw invalidValue("Invalid experiment name: it is empty.");
      if (name.length > largest.name) throw invalidValue(`'name' exceeds the maximum length of ${largest.name} characters.`);
      if (artifactLocation !== undefined && artifactLocation !== "") checkLocation(artifactLocation, config.artifactLocations ?? []);
      checkTags(tags, largest.experimentTag);
      const { rows } = await sql<{ id: string }>`
        with next as (select nextval(pg_get_serial_sequence('experiment', 'id')) as id)
        insert into experiment (id, name, artifact_location, creation_time, last_update_time, tags)
        select id, ${name}, coalesce(nullif(${artifactLocation ?? null}, ''), 'mlflow-artifacts:/' || id), ${now()}, ${now()}, ${json(tags)} from next
        on conflict (name) do nothing returning id::text`.execute(db);
      if (rows[0] !== undefined) return rows[0].id;
      const { lifecycle_stage: stage } = await findExperiment(db, { name });
      throw exists(
        stage === "active"
          ? `Experiment '${name}' already exists.`
          : `Experiment '${name}' already exists in deleted state. You can restore the experiment, or free it and its name with millrace gc.`,
      );
    },
    experiment: (by) => findExperiment(db, by),
    searchExperiments: ({ filter, orderBy, view, limit, token }: Search): Promise<Page<Experiment>> => {
      const given = orderKeys(orderBy, searchable);
      const keys = [
        ...(given.length === 0 ? [key("creation_time", attribute(sql`e.creation_time`, "integer"), true)] : given),
        key("id", attribute(sql`e.id`, "integer")),
      ];
      return readPage(keys, { limit, token, search: [filter, orderBy, view] }, async (page) => {
        const { rows } = await sql<Experiment & { position: string[] }>`
          select ${columns}, ${page.position} as position from experiment e
          where ${ofView(view, sql`e.lifecycle_stage`)} and ${where(filter, searchable)} and ${page.where} order by ${page.orderBy} limit ${page.limit}`.execute(
          db,
        );
        return rows;
      });
    },
    async updateExperiment(id, change) {
      const found = await findExperiment(db, { id });
      const number = experimentNumber(id);
      if ("stage" in change) {
        if (found.lifecycle_stage === change.stage) return;
        await db.transaction().execute(async (transaction) => {
          const at = now();
          if (change.stage === "deleted") {
            await sql`update experiment set lifecycle_stage = 'deleted', last_update_time = ${at}, deleted_time = ${at} where id = ${number}`.execute(
              transaction,
            );
            await sql`update tracking_run set lifecycle_stage = 'deleted', deleted_time = ${at} where experiment_id = ${number} and lifecycle_stage = 'active'`.execute(
              transaction,
            );
            return;
          }
          await sql`
            update tracking_run r set lifecycle_stage = 'active', deleted_time = null from experiment e
            where e.id = ${number} and r.experiment_id = e.id and r.deleted_time = e.deleted_time`.execute(transaction);
          await sql`update experiment set lifecycle_stage = 'active', last_update_time = ${at}, deleted_time = null where id = ${number}`.execute(transaction);
        });
        return;
      }
      if (found.lifecycle_stage !== "active") throw invalidValue(`The experiment ${id} must be in the 'active' state. Current state is deleted.`);
      if ("tag" in change) {
        checkTags([change.tag], largest.experimentTag);
        await sql`update experiment set tags = tags || ${json([change.tag])}, last_update_time = ${now()} where id = ${number}`.execute(db);
      } else if ("removeTag" in change) {
        const { rows } = await sql`
          update experiment set tags = tags - ${change.removeTag}::text, last_update_time = ${now()} where id = ${number} and tags ? ${change.removeTag}::text returning id`.execute(
          db,
        );
        if (rows.length === 0) throw missing(`No tag with name: ${change.removeTag} in experiment with id ${id}`);
      } else {
        if (change.name === "" || change.name.length > largest.name) throw invalidValue(`A name has 1 to ${largest.name} characters.`);
        try {
          await sql`update experiment set name = ${change.name}, last_update_time = ${now()} where id = ${number}`.execute(db);
        } catch (error) {
          if (isDuplicate(error)) throw exists(`Experiment '${change.name}' already exists.`);
          throw error;
        }
      }
    },
  };
}

export const json = (tags: KeyValue[]) => sql`${JSON.stringify(Object.fromEntries(tags.map(({ key, value }) => [key, value])))}::jsonb`;
