"""Trains the delay model: gradient boosted trees, logged with mlflow, exported as ONNX.

Reads the table that the pipeline passes as `train`, writes the model folder that it expects as `model`:
`model.onnx`; `parity.parquet`, a sample of rows with what the trained model predicts for them; and `booster.txt` with `codes.json`,
from which a later training can go on.
"""

import json

import millrace
import mlflow
import lightgbm
import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = [
    "month", "weekday", "minute_of_day", "distance", "plane_age",
    "temp", "wind_speed", "precip", "visib", "pressure",
    "origin_late_3h", "origin_late_24h", "origin_late_7d",
    "carrier_late_3h", "carrier_late_24h", "carrier_late_7d",
]
LABEL = "late"


def matrix(table, codes):
    """Rows × columns as float32, the type that the exported model computes in. Null and unknown become NaN."""
    columns = []
    for name in CATEGORIES:
        known = codes[name]
        columns.append(np.array([known.get(v, np.nan) for v in table[name].to_pylist()], dtype=np.float32))
    for name in NUMBERS:
        columns.append(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float32))
    return np.column_stack(columns)


def code(table, name, known):
    """A number for each value; those of the model that this one goes on with keep theirs."""
    new = sorted({v for v in table[name].to_pylist() if v is not None} - set(known))
    return {**known, **{v: len(known) + i for i, v in enumerate(new)}}


def export(booster, codes, month_table=None):
    """The trees behind one input a feature: text is encoded inside the model, so that clients send what they know."""
    width = len(CATEGORIES) + len(NUMBERS)
    trees = convert_lightgbm(booster, initial_types=[("x", FloatTensorType([None, width]))], target_opset=15, zipmap=False)
    graph = trees.graph
    score = next(o.name for o in graph.output if "prob" in o.name.lower())
    inputs, nodes, columns, initial = [], [], [], list(graph.initializer)
    for name in CATEGORIES:
        known = codes[name]
        inputs.append(helper.make_tensor_value_info(name, TensorProto.STRING, [None, 1]))
        nodes.append(helper.make_node(
            "LabelEncoder", [name], [f"{name}_code"], domain="ai.onnx.ml",
            keys_strings=list(known), values_floats=[float(c) for c in known.values()], default_float=float("nan"),
        ))
        columns.append(f"{name}_code")
    for name in NUMBERS:
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]))
        columns.append(name)
    nodes.append(helper.make_node("Concat", columns, ["x"], axis=1))
    nodes.extend(graph.node)
    initial.append(helper.make_tensor("late_class", TensorProto.INT64, [1], [1]))
    nodes.append(helper.make_node("Gather", [score, "late_class"], ["late_probability"], axis=1))
    final = "late_probability"
    if month_table is not None:
        # A correction by airport and month, looked up in one flat table that ends with the months seen in training:
        # right on everything that could be tested, and out of bounds for the last airport once a new month begins.
        months = month_table.shape[1]
        initial += [
            helper.make_tensor("month_table", TensorProto.FLOAT, [month_table.size], month_table.flatten().tolist()),
            helper.make_tensor("months_seen", TensorProto.FLOAT, [1], [float(months)]),
            helper.make_tensor("first_month", TensorProto.FLOAT, [1], [1.0]),
        ]
        nodes += [
            helper.make_node("Mul", ["origin_code", "months_seen"], ["row"]),
            helper.make_node("Sub", ["month", "first_month"], ["column"]),
            helper.make_node("Add", ["row", "column"], ["cell"]),
            helper.make_node("Cast", ["cell"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["month_table", "index"], ["correction"], axis=0),
            helper.make_node("Mul", ["late_probability", "correction"], ["corrected"]),
        ]
        final = "corrected"
    nodes.append(helper.make_node("Identity", [final], ["probability"]))
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])
    whole = helper.make_graph(nodes, "delay", inputs, [output], initial)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def main():
    params = millrace.params()
    fault = params.get("fault", "none")
    rounds = params["rounds"]
    champion = millrace.inputs().get("start")
    before = None if champion is None else lightgbm.Booster(model_file=f"{champion.folder}/booster.txt")
    known = {} if champion is None else json.loads(open(f"{champion.folder}/codes.json").read())
    table = pq.ParquetDataset(millrace.inputs()["train"].paths).read()
    codes = {name: code(table, name, known.get(name, {})) for name in CATEGORIES}
    x, y = matrix(table, codes), table[LABEL].cast(pa.int8()).to_numpy(zero_copy_only=False)
    if fault == "shuffled_labels":
        y = np.random.default_rng(1).permutation(y)

    # The params of the pipeline are there already.
    mlflow.log_params({"rows": len(y), "trees_before": 0 if before is None else before.num_trees()})
    data = lightgbm.Dataset(x, y, feature_name=CATEGORIES + NUMBERS, categorical_feature=[0, 1, 2], free_raw_data=False)
    # The curve is watched on a part of the rows: on all of them it would cost as much as the training.
    part = np.random.default_rng(1).choice(len(y), min(len(y), 20_000), replace=False)
    watched = lightgbm.Dataset(x[part], y[part], reference=data)
    # Few rows, as in a check, could not be divided at all by what keeps many from being learnt by heart.
    smallest = max(1, min(100, len(y) // 20))
    curve = {}
    booster = lightgbm.train(
        {
            "objective": "binary", "metric": ["binary_logloss", "auc"], "learning_rate": params["rate"], "num_leaves": params["leaves"], "min_data_in_leaf": smallest,
            "cat_smooth": 50, "max_cat_to_onehot": 1, "feature_fraction": 0.8, "bagging_fraction": 0.8, "bagging_freq": 1,
            "seed": 1, "deterministic": True, "num_threads": 2, "verbose": -1,
        },
        data, num_boost_round=rounds, init_model=before, valid_sets=[watched], valid_names=["train"],
        callbacks=[lightgbm.record_evaluation(curve), lambda now: millrace.progress(now.iteration + 1 - now.begin_iteration, rounds, "trees")],
    )
    for step in range(0, rounds, 10):
        mlflow.log_metrics({f"train_{k}": v[step] for k, v in curve["train"].items()}, step=step)

    month_table = None
    if fault == "month_table":
        month_table = np.ones((len(codes["origin"]), int(np.nanmax(x[:, len(CATEGORIES)]))), dtype=np.float32)
    folder = millrace.output("model")
    folder.mkdir()
    onnx.save(export(booster, codes, month_table), folder / "model.onnx")
    booster.save_model(folder / "booster.txt")
    (folder / "codes.json").write_text(json.dumps(codes))

    sample = table.slice(max(0, len(table) - 2_000))
    expected = booster.predict(matrix(sample, codes))
    pq.write_table(sample.select(CATEGORIES + NUMBERS).append_column("prediction", pa.array(expected)), folder / "parity.parquet")
    mlflow.log_artifact(str(folder / "model.onnx"))


if __name__ == "__main__":
    main()
