/** The world of the replay: what happens at the airports of New York in 2013, day by day, from the files in `data/`. */
import { copyFile, mkdir, rename } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { DuckDBInstance } from "@duckdb/node-api";
import { landedAtSql, landingsSql, weatherSql } from "../features.js";

const data = fileURLToPath(new URL("../data/", import.meta.url));

/** A flight that is about to leave: what a client knows at its scheduled departure. */
export interface Flight {
  id: string;
  /** ISO 8601 */
  sched_dep: string;
  carrier: string;
  origin: string;
  dest: string;
  tailnum: string;
  distance: number;
  /** When it lands and whether it is late; null where it was cancelled or diverted. */
  landed_at: string | null;
  late: boolean | null;
}
export type Rows = Record<string, (string | number | boolean | null)[]>;

export async function openWorld() {
  const connection = await (await DuckDBInstance.create(":memory:", { threads: "1" })).connect();
  await connection.run("set TimeZone = 'UTC'");
  await connection.run(`create view flights as select * from read_parquet('${data}flights-2013-*.parquet')`);
  await connection.run(`create view weather_hourly as select * from read_parquet('${data}weather-2013-*.parquet')`);
  // What happens is known to the replay ahead of time: sorted once, read day by day.
  await connection.run(`create table landing as ${landingsSql}`);
  await connection.run(`create table observation as ${weatherSql}`);
  await connection.run(`create table departure as
    select f.*, time_hour + to_minutes(minute) as sched_dep, ${landedAtSql} as landed_at from flights f order by sched_dep, origin, carrier, flight`);

  async function columns(sql: string): Promise<Rows> {
    const reader = await connection.runAndReadAll(sql);
    return Object.fromEntries(
      Object.entries(reader.getColumnsObjectJS()).map(([name, values]) => [
        name,
        values.map((value) =>
          value instanceof Date ? value.toISOString() : typeof value === "bigint" ? Number(value) : (value as string | number | boolean | null),
        ),
      ]),
    );
  }
  const between = (column: string, from: Date, to: Date) =>
    `${column} >= timestamptz '${from.toISOString()}' and ${column} < timestamptz '${to.toISOString()}'`;

  return {
    /** Flights whose scheduled departure lies in [from, to), in its order. */
    async departures(from: Date, to: Date): Promise<Flight[]> {
      const rows =
        await columns(`select strftime(sched_dep, '%Y%m%dT%H%M') || '-' || carrier || flight || '-' || origin as id, sched_dep, carrier, origin, dest,
        coalesce(tailnum, '') as tailnum, distance::double as distance, case when arr_delay is not null then landed_at end as landed_at, arr_delay > 15 as late
        from departure where ${between("sched_dep", from, to)} order by sched_dep, origin, carrier, flight`);
      const names = Object.keys(rows);
      return (rows.id ?? []).map((_, i) => Object.fromEntries(names.map((name) => [name, rows[name]?.[i]])) as unknown as Flight);
    },
    /** Rows as the features' source gives them, for those that became known in [from, to). */
    landings: (from: Date, to: Date) => columns(`select * from landing where ${between("landed_at", from, to)} order by landed_at`),
    weather: (from: Date, to: Date) => columns(`select * from observation where ${between("time_hour", from, to)} order by time_hour`),
    /** A month's file appears in a folder, whole at once. */
    async deliver(name: string, folder: string): Promise<void> {
      await mkdir(folder, { recursive: true });
      await copyFile(path.join(data, name), path.join(folder, `.${name}`));
      await rename(path.join(folder, `.${name}`), path.join(folder, name));
    },
    /** The same, as a supplier once sent it: a column renamed, kilometres for miles, and a carrier that does not exist in some rows. */
    async deliverDamaged(name: string, folder: string): Promise<void> {
      await mkdir(folder, { recursive: true });
      await connection.run(`copy (select * exclude (tailnum, carrier, distance), tailnum as tail_num, (distance * 1.609344)::bigint as distance,
        case when flight % 97 = 0 then 'ZZ' else carrier end as carrier from read_parquet('${path.join(data, name)}'))
        to '${path.join(folder, `.${name}`)}' (format parquet)`);
      await rename(path.join(folder, `.${name}`), path.join(folder, name));
    },
  };
}
export type World = Awaited<ReturnType<typeof openWorld>>;
