"""Great Expectations and pandera on the same table and the same checks, each a line of JSON: python checks.py great_expectations|pandera FILE CHECKS

CHECKS is JSON: {"passing": [{column, kind, value}, ...], "strict": [...]}. The table is in memory as pandas before the clock starts.
"""
import json
import resource
import sys
import time


def best(times, work):
    least, found = None, None
    for _ in range(times):
        began = time.perf_counter()
        found = work()
        took = time.perf_counter() - began
        least = took if least is None else min(least, took)
    return round(least * 1000), found


def great_expectations(frame):
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("flights")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    e = gx.expectations
    made = {
        "null_share": lambda c, v: e.ExpectColumnValuesToNotBeNull(column=c, mostly=1 - v),
        "min": lambda c, v: e.ExpectColumnMinToBeBetween(column=c, min_value=v),
        "max": lambda c, v: e.ExpectColumnMaxToBeBetween(column=c, max_value=v),
        "domain": lambda c, v: e.ExpectColumnValuesToBeInSet(column=c, value_set=v),
        "min_length": lambda c, v: e.ExpectColumnValueLengthsToBeBetween(column=c, min_value=v),
    }

    def run(checks):
        suite = gx.ExpectationSuite(name="flights", expectations=[made[one["kind"]](one["column"], one["value"]) for one in checks])
        result = batch.validate(suite, result_format="BOOLEAN_ONLY")
        found = {}
        for one in result.results:
            config = one.expectation_config
            found[(config.kwargs["column"], config.type)] = bool(one.success)
        types = {
            "null_share": "expect_column_values_to_not_be_null",
            "min": "expect_column_min_to_be_between",
            "max": "expect_column_max_to_be_between",
            "domain": "expect_column_values_to_be_in_set",
            "min_length": "expect_column_value_lengths_to_be_between",
        }
        return [found[(one["column"], types[one["kind"]])] for one in checks]

    return run


def pandera(frame):
    import pandera.pandas as pa

    made = {
        "null_share": lambda v: pa.Check(lambda s: bool(s.isna().mean() <= v), name="null_share", ignore_na=False),
        "min": lambda v: pa.Check.ge(v, name="min"),
        "max": lambda v: pa.Check.le(v, name="max"),
        "domain": lambda v: pa.Check.isin(v, name="domain"),
        "min_length": lambda v: pa.Check.str_length(min_value=v, name="min_length"),
    }

    def run(checks):
        columns = {}
        for one in checks:
            columns.setdefault(one["column"], []).append(made[one["kind"]](one["value"]))
        schema = pa.DataFrameSchema({name: pa.Column(checks=own, nullable=True) for name, own in columns.items()})
        failed = set()
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors as errors:
            failed = {(error.schema.name, error.check.name) for error in errors.schema_errors}
        return [(one["column"], one["kind"]) not in failed for one in checks]

    return run


def main(tool, file, checks):
    import pandas as pd

    both = json.loads(checks)
    frame = pd.read_parquet(file, columns=sorted({one["column"] for one in both["passing"]}))
    run = {"great_expectations": great_expectations, "pandera": pandera}[tool](frame)
    ms, passing = best(3, lambda: run(both["passing"]))
    strict = run(both["strict"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"bench": "checks", "system": tool, "rows": len(frame), "checks": len(passing), "ms": ms, "peak_rss_bytes": peak, "verdicts": [passing, strict]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
