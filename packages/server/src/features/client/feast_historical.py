"""Feast's own point-in-time join of asked.parquet with events.parquet of the working folder. The last line is JSON: the values in the order of the ids that ask."""

import json
import os
from datetime import timedelta

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float64, String
from feast.value_type import ValueType

folder = os.getcwd()
source = FileSource(name="events", path=os.path.join(folder, "events.parquet"), timestamp_field="at", created_timestamp_column="created")
sensor = Entity(name="sensor", join_keys=["sensor"], value_type=ValueType.STRING)
state = FeatureView(
    name="state",
    entities=[sensor],
    ttl=timedelta(minutes=90),
    schema=[Field(name="sensor", dtype=String), Field(name="level", dtype=Float64), Field(name="word", dtype=String)],
    source=source,
)
store = FeatureStore(config=RepoConfig(project="sensors", provider="local", registry=os.path.join(folder, "historical.db"), entity_key_serialization_version=3))
store.apply([sensor, state])
asked = pd.read_parquet("asked.parquet").rename(columns={"t": "event_timestamp"})
found = store.get_historical_features(entity_df=asked, features=["state:level", "state:word"]).to_df()
# Feast leaves out who has values, but none within the TTL.
left_out = len(asked) - len(found)
found = found.set_index("id").reindex(sorted(asked["id"])).reset_index()
values = {name: [None if pd.isna(value) else value for value in found[name]] for name in ("level", "word")}
print(json.dumps({"leftOut": left_out, "values": values}))
