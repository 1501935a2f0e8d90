"""What the three models share: rows to numbers, boosted trees, and an ONNX graph that takes each feature by its name."""

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


def matrix(table, categories, numbers, codes):
    """Rows × columns as float32, the type that the exported model computes in. Null and unknown become NaN."""
    columns = []
    for name in categories:
        known = codes[name]
        columns.append(np.array([known.get(v, np.nan) for v in table[name].to_pylist()], dtype=np.float32))
    for name in numbers:
        columns.append(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float32))
    return np.column_stack(columns)


def export(booster, name, categories, numbers, codes):
    """The trees behind one input a feature: text is encoded inside the model, so that clients send what they know."""
    width = len(categories) + len(numbers)
    trees = convert_lightgbm(booster, initial_types=[("x", FloatTensorType([None, width]))], target_opset=15, zipmap=False)
    graph = trees.graph
    score = next(o.name for o in graph.output if "prob" in o.name.lower())
    inputs, nodes, columns, initial = [], [], [], list(graph.initializer)
    for category in categories:
        known = codes[category]
        inputs.append(helper.make_tensor_value_info(category, TensorProto.STRING, [None, 1]))
        nodes.append(helper.make_node(
            "LabelEncoder", [category], [f"{category}_code"], domain="ai.onnx.ml",
            keys_strings=list(known), values_floats=[float(c) for c in known.values()], default_float=float("nan"),
        ))
        columns.append(f"{category}_code")
    for number in numbers:
        inputs.append(helper.make_tensor_value_info(number, TensorProto.FLOAT, [None, 1]))
        columns.append(number)
    nodes.append(helper.make_node("Concat", columns, ["x"], axis=1))
    nodes.extend(graph.node)
    initial.append(helper.make_tensor("positive_class", TensorProto.INT64, [1], [1]))
    nodes.append(helper.make_node("Gather", [score, "positive_class"], ["positive"], axis=1))
    nodes.append(helper.make_node("Identity", ["positive"], ["probability"]))
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])
    model = helper.make_model(
        helper.make_graph(nodes, name, inputs, [output], initial),
        opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)], ir_version=8,
    )
    onnx.checker.check_model(model)
    return model


def train(name, label, numbers, categories=(), rising=(), falling=(), rounds=120, leaves=15, smallest=20):
    """Reads the table `train`, writes the folder `model`: model.onnx, and parity.parquet, rows with what the trained model says of them.

    rising, falling: numbers with which the answer may only rise, or only fall.
    """
    table = pq.ParquetDataset(millrace.inputs()["train"].paths).read()
    codes = {c: {v: i for i, v in enumerate(sorted({v for v in table[c].to_pylist() if v is not None}))} for c in categories}
    x, y = matrix(table, categories, numbers, codes), table[label].cast(pa.int8()).to_numpy(zero_copy_only=False)
    monotone = [0] * len(categories) + [1 if n in rising else -1 if n in falling else 0 for n in numbers]
    # Few rows, as in a check, could not be divided at all by what keeps many from being learnt by heart.
    smallest = max(1, min(smallest, len(y) // 20))
    settings = {
        "objective": "binary", "metric": ["binary_logloss", "auc"], "learning_rate": 0.06, "num_leaves": leaves, "min_data_in_leaf": smallest,
        "max_cat_to_onehot": 1, "cat_smooth": 20, "feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 2,
        "monotone_constraints": monotone, "seed": 1, "deterministic": True, "num_threads": 2, "verbose": -1,
    }
    mlflow.log_params({"rounds": rounds, "leaves": leaves, "rows": len(y), "positive": int(y.sum()), "rising": ",".join(rising), "falling": ",".join(falling)})
    data = lightgbm.Dataset(x, y, feature_name=[*categories, *numbers], categorical_feature=list(range(len(categories))), free_raw_data=False)
    curve = {}
    booster = lightgbm.train(settings, data, num_boost_round=rounds, valid_sets=[data], valid_names=["train"], callbacks=[lightgbm.record_evaluation(curve)])
    for step in range(0, rounds, 10):
        mlflow.log_metrics({f"train_{k}": v[step] for k, v in curve["train"].items()}, step=step)
    gain = booster.feature_importance("gain")
    mlflow.log_metrics({f"gain_{n}": float(g) for n, g in zip([*categories, *numbers], gain / max(gain.sum(), 1))})

    folder = millrace.output("model")
    folder.mkdir()
    onnx.save(export(booster, name, categories, numbers, codes), folder / "model.onnx")
    sample = table.slice(max(0, len(table) - 2_000))
    expected = booster.predict(matrix(sample, categories, numbers, codes))
    pq.write_table(sample.select([*categories, *numbers]).append_column("prediction", pa.array(expected)), folder / "parity.parquet")
    mlflow.log_artifact(str(folder / "model.onnx"))
