/** Twelve features of each plane of the flights, for reads online: as a table, as a project of Millrace, and as requests of both protocols. */
import path from "node:path";

export const features = [
  ["flights", "count(*)::double"],
  ["late", "avg((arr_delay > 15)::int)"],
  ["dep_delay", "avg(dep_delay)"],
  ["arr_delay", "avg(arr_delay)"],
  ["worst_delay", "max(arr_delay)::double"],
  ["best_delay", "min(arr_delay)::double"],
  ["air_time", "avg(air_time)"],
  ["distance", "sum(distance)::double"],
  ["longest", "max(distance)::double"],
  ["shortest", "min(distance)::double"],
  ["carriers", "count(distinct carrier)::double"],
  ["places", "count(distinct dest)::double"],
];
export const names = features.map(([name]) => name);

/** One row a plane, all known an hour ago, so that no feature is too old to be served. Answers the file and the planes. */
export async function writePlanes(duckdb, flights, folder) {
  const file = path.join(folder, "planes.parquet");
  const at = new Date(Math.floor(Date.now() / 3_600_000 - 1) * 3_600_000).toISOString();
  const columns = features.map(([name, sql]) => `${sql} as ${name}`).join(", ");
  await duckdb.rows(`copy (select tailnum as plane, timestamptz '${at}' as event_timestamp, ${columns} from read_parquet([${flights}])
    where tailnum is not null group by tailnum order by tailnum) to '${file}' (format parquet)`);
  const rows = await duckdb.rows(`select plane from read_parquet('${file}') order by plane`);
  return { file, planes: rows.map((row) => row.plane) };
}

export function project(folder) {
  const typed = names.map((name) => ({ name, type: "float64" }));
  return {
    ...{ apiVersion: "millrace/v1", name: "planes", files: [], folder },
    ...Object.fromEntries(["schemas", "pipelines", "endpoints", "monitors", "triggers"].map((kind) => [kind, []])),
    datasets: [{ name: "planes", mode: "snapshot" }],
    entities: [{ name: "plane", keys: [{ name: "plane", type: "string" }] }],
    featureViews: [
      { kind: "latest", name: "planes", entity: "plane", source: { dataset: "planes" }, timestamp: "event_timestamp", ttl: "7d", features: typed },
    ],
    featureServices: [
      {
        ...{ name: "plane_features", timestamp: "at", views: ["planes"], compute: [], features: typed },
        request: [
          { name: "at", type: "timestamp" },
          { name: "plane", type: "string" },
        ],
      },
    ],
  };
}

/** Bodies of requests for so many planes each, the same planes for both. */
export function requests(planes, keys, most = 500) {
  const chosen = Array.from({ length: most }, (_, i) => Array.from({ length: keys }, (_, k) => planes[(i * 7919 + k * 104_729) % planes.length]));
  const at = new Date().toISOString();
  return {
    millrace: chosen.map((plane) => ({ request: { at: plane.map(() => at), plane } })),
    feast: chosen.map((plane) => ({ features: names.map((name) => `planes:${name}`), entities: { plane } })),
  };
}
