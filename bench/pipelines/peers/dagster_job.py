"""Runs a job of Dagster in this process, as a script does: python dagster_job.py <shape> <count> <storage folder>."""

import sys

from dagster import DagsterInstance, DynamicOut, DynamicOutput, fs_io_manager, job, op


def sequence(count):
    ops = []
    for i in range(count):
        if i == 0:
            @op(name="s0")
            def first():
                return 0
            ops.append(first)
        else:
            @op(name=f"s{i}")
            def more(value):
                return value + 1
            ops.append(more)

    @job(resource_defs={"io_manager": fs_io_manager})
    def bench():
        value = ops[0]()
        for one in ops[1:]:
            value = one(value)
    return bench


def fan(count):
    @op(out=DynamicOut())
    def items():
        for i in range(count):
            yield DynamicOutput(i, mapping_key=str(i))

    @op
    def work(value):
        return value * 2

    @op
    def join(values):
        return sum(values)

    @job(resource_defs={"io_manager": fs_io_manager})
    def bench():
        join(items().map(work).collect())
    return bench


def table(rows):
    @op
    def make():
        import numpy as np
        import pandas as pd
        return pd.DataFrame({"a": np.random.default_rng(1).random(rows)})

    @op
    def total(table):
        return float(table["a"].sum())

    @job(resource_defs={"io_manager": fs_io_manager})
    def bench():
        total(make())
    return bench


if __name__ == "__main__":
    shape, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    import os
    os.makedirs(folder, exist_ok=True)
    with DagsterInstance.local_temp(folder) as instance:
        made = {"sequence": sequence, "fan": fan, "table": table}[shape](count)
        assert made.execute_in_process(instance=instance).success
