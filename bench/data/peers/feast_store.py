"""Feast beside Millrace, each command a line of JSON.

    join FOLDER ASKED OUT     point-in-time join of ASKED (id, at, origin, carrier) by the DuckDB offline store, written to OUT
    repository FOLDER FILE    makes a repository below FOLDER with the planes of FILE in its online store, for `feast serve`
"""
import json
import os
import resource
import sys
import time
from datetime import timedelta

WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
CARRIER = ["n", "late", "dep_delay", "arr_delay"]

CONFIG = """project: bench
registry: {folder}/registry.db
provider: local
offline_store:
  type: duckdb
online_store:
  type: sqlite
  path: {folder}/online.db
entity_key_serialization_version: 3
telemetry: false
"""


def view(name, key, file, timestamp, ttl, features):
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float64

    entity = Entity(name=key, join_keys=[key], value_type=ValueType.STRING)
    source = FileSource(name=f"{name}_source", path=file, timestamp_field=timestamp)
    return entity, FeatureView(name=name, entities=[entity], ttl=ttl, schema=[Field(name=f, dtype=Float64) for f in features], source=source)


def store_of(folder, definitions):
    from feast import FeatureStore

    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "feature_store.yaml"), "w") as file:
        file.write(CONFIG.format(folder=folder))
    store = FeatureStore(repo_path=folder)
    store.apply([one for definition in definitions for one in definition])
    return store


def join(folder, asked, out):
    import pandas as pd
    import pyarrow.parquet as pq

    store = store_of(
        os.path.join(folder, "feast-join"),
        [
            view("weather", "origin", os.path.join(folder, "weather.parquet"), "time_hour", timedelta(hours=2), WEATHER),
            view("carrier", "carrier", os.path.join(folder, "carrier.parquet"), "hour", timedelta(days=7), CARRIER),
        ],
    )
    began = time.perf_counter()
    entities = pd.read_parquet(asked).rename(columns={"at": "event_timestamp"})
    features = [f"weather:{name}" for name in WEATHER] + [f"carrier:{name}" for name in CARRIER]
    table = store.get_historical_features(entity_df=entities, features=features).to_arrow()
    pq.write_table(table, out)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"bench": "point_in_time_join", "system": "feast", "rows": len(entities), "features": 12, "seconds": seconds, "peak_rss_bytes": peak, "out": out}))


def repository(folder, file):
    from datetime import datetime, timezone

    names = json.loads(os.environ["FEATURES"])
    definition = view("planes", "plane", file, "event_timestamp", timedelta(days=7), names)
    store = store_of(os.path.join(folder, "feast-online"), [definition])
    now = datetime.now(timezone.utc)
    store.materialize(now - timedelta(days=1), now)
    print(json.dumps({"repository": os.path.join(folder, "feast-online")}))


if __name__ == "__main__":
    {"join": join, "repository": repository}[sys.argv[1]](*sys.argv[2:])
