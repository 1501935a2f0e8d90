"""Runs a pipeline of ZenML on its local stack: python zenml_pipeline.py <shape> <count> <cached: yes or no>."""

import sys
from typing import List

from zenml import pipeline, step

shape, count, cached = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "yes"


@step(enable_cache=cached)
def first() -> int:
    return 0


@step(enable_cache=cached)
def more(value: int) -> int:
    return value + 1


@step(enable_cache=cached)
def work(value: int) -> int:
    return value * 2


@step(enable_cache=cached)
def join(values: List[int]) -> int:
    return sum(values)


if shape == "table":
    import pandas as pd

    @step(enable_cache=cached)
    def make(rows: int) -> pd.DataFrame:
        import numpy as np
        return pd.DataFrame({"a": np.random.default_rng(1).random(rows)})

    @step(enable_cache=cached)
    def total(table: pd.DataFrame) -> float:
        return float(table["a"].sum())


@pipeline(enable_cache=cached)
def sequence():
    value = first()
    for i in range(1, count):
        value = more(value, id=f"s{i}")


@pipeline(enable_cache=cached)
def fan():
    join([work(i, id=f"w{i}") for i in range(count)])


@pipeline(enable_cache=cached)
def table():
    total(make(count))


{"sequence": sequence, "fan": fan, "table": table}[shape]()
