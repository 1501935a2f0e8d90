"""What a user of Feast does with its remote online store, against the server at MILLRACE_URL. The last line is JSON: what was read."""

import json
import os
import sys
from datetime import datetime, timedelta, timezone

import feast
import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

folder = os.getcwd()
now = datetime.now(timezone.utc).replace(microsecond=0)
file = os.path.join(folder, "weather.parquet")
pd.DataFrame(
    {"origin": ["JFK"], "time_hour": [now], "temp": [1.0], "visib": [1.0], "note": ["a"], "landed_24h": [1]}
).to_parquet(file)
source = FileSource(name="weather_hourly", path=file, timestamp_field="time_hour")
origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)
weather = FeatureView(
    name="weather",
    entities=[origin],
    ttl=timedelta(hours=2),
    schema=[Field(name="origin", dtype=String), Field(name="temp", dtype=Float64), Field(name="visib", dtype=Float64), Field(name="note", dtype=String)],
    source=source,
)
delays = FeatureView(
    name="delays",
    entities=[origin],
    ttl=timedelta(hours=2),
    schema=[Field(name="origin", dtype=String), Field(name="landed_24h", dtype=Int64)],
    source=source,
)
service = FeatureService(name="delay_features", features=[weather[["temp", "note"]], delays])
store = FeatureStore(
    config=RepoConfig(
        project="flights",
        provider="local",
        registry=os.path.join(folder, "registry.db"),
        online_store={"type": "remote", "path": os.environ["MILLRACE_URL"]},
        entity_key_serialization_version=3,
    )
)
store.apply([origin, weather, delays, service])


def ago(**of):
    return now - timedelta(**of)


# Feast's client writes to the remote store.
rows = pd.DataFrame(
    {
        "origin": ["JFK", "JFK", "LGA", "EWR"],
        "time_hour": [ago(minutes=90), ago(minutes=30), ago(hours=5), ago(minutes=5)],
        "temp": [50.0, 51.5, 40.0, None],
        "visib": [10.0, 9.0, 8.0, 7.0],
        "note": ["old", "rain", "stale", None],
    }
)
store.write_to_online_store("weather", df=rows)

entities = [{"origin": name} for name in ["JFK", "LGA", "EWR", "XXX"]]
by_feature = store.get_online_features(features=["weather:temp", "weather:visib", "delays:landed_24h"], entity_rows=entities).to_dict()
full = store.get_online_features(features=["weather:temp"], entity_rows=entities, full_feature_names=True).to_dict()
by_service = store.get_online_features(features=store.get_feature_service("delay_features"), entity_rows=entities).to_dict()
json.dump({"feast": feast.__version__, "byFeature": by_feature, "full": full, "byService": by_service}, sys.stdout)
print()
