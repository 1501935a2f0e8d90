"""Trains models, exports them as ONNX into a folder, and prints what their attributions are: by shap's TreeExplainer, or by going through all coalitions."""

import itertools
import json
import math
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import lightgbm
import numpy as np
import onnx
import shap
from onnx import TensorProto, helper
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType as SkFloats
from skl2onnx.common.data_types import StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

folder = Path(sys.argv[1])
random = np.random.default_rng(7)
ROWS, BACKGROUND, EXPLAINED = 400, 30, 4
x = random.normal(size=(ROWS, 5)).astype(np.float32)
signal = x[:, 0] + x[:, 1] * x[:, 2] - 0.5 * (x[:, 3] > 0.3)
binary = (signal + random.normal(scale=0.3, size=ROWS) > 0).astype(int)
classes = np.digitize(signal, [-0.7, 0.7])
gaps = np.where(random.random(x.shape) < 0.15, np.nan, x).astype(np.float32)
said = {}


def numbers(array):
    return [[None if isinstance(v, float) and math.isnan(v) else v for v in row] for row in array.tolist()]


def tell(name, exported, rows, background, names, values, base, scale, method="exact"):
    (folder / f"{name}.onnx").write_bytes(exported.SerializeToString())
    said[name] = {
        "features": names, "rows": rows, "background": background, "scale": scale, "method": method,
        "values": np.asarray(values).tolist(), "base": np.asarray(base).tolist(),
    }


def by_shap(name, exported, model, data, scale, pick=lambda values, base, row: (values[row], base)):
    """`pick` gives the values of one row and their base, of what the explainer gives."""
    background, rows = data[:BACKGROUND], data[-EXPLAINED:]
    explainer = shap.TreeExplainer(model, data=background, feature_perturbation="interventional", model_output="raw")
    values = explainer.shap_values(rows, check_additivity=False)
    picked = [pick(values, explainer.expected_value, row) for row in range(EXPLAINED)]
    names = [{"name": f"x{i}", "type": "float64"} for i in range(data.shape[1])]
    tell(name, exported, numbers(rows), numbers(background), names, [v for v, _ in picked], [float(np.ravel(b)[0]) for _, b in picked], scale)


second = lambda values, base, row: (values[row][:, 1], base[1])
plain = {"zipmap": False}

for name, model in {"boosted": GradientBoostingClassifier(n_estimators=40, random_state=1), "forest": RandomForestClassifier(n_estimators=20, max_depth=6, random_state=1)}.items():
    model.fit(x, binary)
    by_shap(name, to_onnx(model, x[:1], options=plain), model, x, "log_odds" if name == "boosted" else "output", *([second] if name == "forest" else []))
for name, model in {"boosted_numbers": GradientBoostingRegressor(n_estimators=40, random_state=1), "forest_numbers": RandomForestRegressor(n_estimators=20, max_depth=6, random_state=1)}.items():
    model.fit(x, signal)
    by_shap(name, to_onnx(model, x[:1]), model, x, "output")


def lightgbm_model(params, data, target, **more):
    settings = {"verbose": -1, "num_leaves": 15, "min_data_in_leaf": 5, "seed": 1, "num_threads": 1, **params}
    return lightgbm.train(settings, lightgbm.Dataset(data, target, free_raw_data=False, **more), 30)


def lightgbm_onnx(booster, width):
    return convert_lightgbm(booster, initial_types=[("x", FloatTensorType([None, width]))], zipmap=False, target_opset=15)


booster = lightgbm_model({"objective": "binary"}, gaps, binary)
by_shap("light", lightgbm_onnx(booster, 5), booster, gaps, "log_odds")
booster = lightgbm_model({"objective": "regression"}, gaps, signal)
by_shap("light_numbers", lightgbm_onnx(booster, 5), booster, gaps, "output")

# ------------------------------------------------------- text and numbers, encoded within the model: all coalitions of the features, one by one


def by_coalitions(name, exported, score, rows, background, names, scale, method="exact"):
    """Shapley values by their definition. `score` takes rows as lists, and the number of the explained one."""
    values, bases = [], []
    count = len(names)
    for number, row in enumerate(rows):
        worth = {}
        for size in range(count + 1):
            for members in itertools.combinations(range(count), size):
                worth[members] = float(np.mean(score([[row[j] if j in members else b[j] for j in range(count)] for b in background], number)))
        given = []
        for j in range(count):
            others = [i for i in range(count) if i != j]
            total = 0.0
            for size in range(count):
                share = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                for members in itertools.combinations(others, size):
                    total += share * (worth[tuple(sorted((*members, j)))] - worth[members])
            given.append(total)
        values.append(given)
        bases.append(worth[()])
    tell(name, exported, rows, background, names, values, bases, scale, method)


towns = np.array(["Oslo", "Bergen", "Tromso"])[random.integers(0, 3, ROWS)]
kinds = np.array(["a", "b", "c", "d"])[random.integers(0, 4, ROWS)]
target = ((signal + (towns == "Oslo") - (kinds == "b")) > 0.2).astype(int)
import pandas

table = pandas.DataFrame({"town": towns, "kind": kinds, "north": gaps[:, 0], "east": gaps[:, 1], "height": gaps[:, 2]})
TEXTS, NUMBERS = ["town", "kind"], ["north", "east", "height"]


def listed(frame):
    return [[None if isinstance(v, float) and math.isnan(v) else (v if isinstance(v, str) else float(v)) for v in row] for row in frame.itertuples(index=False)]


def frame_of(rows):
    frame = pandas.DataFrame(rows, columns=TEXTS + NUMBERS)
    frame[NUMBERS] = frame[NUMBERS].astype("float32")
    return frame


names = [{"name": n, "type": "string"} for n in TEXTS] + [{"name": n, "type": "float64"} for n in NUMBERS]
types = [(n, StringTensorType([None, 1])) for n in TEXTS] + [(n, SkFloats([None, 1])) for n in NUMBERS]
rows, background = listed(table.tail(EXPLAINED)), listed(table.head(BACKGROUND))
scaled = Pipeline([("impute", SimpleImputer()), ("scale", StandardScaler())])
for name, encoder in {"one_hot": OneHotEncoder(handle_unknown="ignore"), "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)}.items():
    pipeline = Pipeline([("columns", ColumnTransformer([("texts", encoder, TEXTS), ("numbers", scaled, NUMBERS)])), ("trees", GradientBoostingClassifier(n_estimators=25, random_state=1))])
    pipeline.fit(table, target)
    exported = to_onnx(pipeline, initial_types=types, options={id(pipeline): plain})
    by_coalitions(name, exported, lambda given, _, model=pipeline: model.decision_function(frame_of(given)), rows, background, names, "log_odds")

# As of the flights: text becomes a code that the trees split by sets.
codes = {"town": {v: i for i, v in enumerate(sorted(set(towns)))}, "kind": {v: i for i, v in enumerate(sorted(set(kinds)))}}


def coded(frame):
    return np.column_stack([frame[n].map(codes[n]).astype("float32") for n in TEXTS] + [frame[n].astype("float32") for n in NUMBERS]).astype(np.float32)


booster = lightgbm_model({"objective": "binary", "max_cat_to_onehot": 1, "cat_smooth": 1, "min_data_per_group": 5}, coded(table), target, categorical_feature=[0, 1])
trees = lightgbm_onnx(booster, 5).graph
nodes = [
    helper.make_node("LabelEncoder", [n], [f"{n}_code"], domain="ai.onnx.ml", keys_strings=list(codes[n]), values_floats=[float(v) for v in codes[n].values()], default_float=float("nan"))
    for n in TEXTS
]
nodes.append(helper.make_node("Concat", [f"{n}_code" for n in TEXTS] + NUMBERS, ["x"], axis=1))
nodes.extend(trees.node)
nodes.append(helper.make_node("Gather", ["probabilities", "second_class"], ["probability"], axis=1))
inputs = [helper.make_tensor_value_info(n, TensorProto.STRING, [None, 1]) for n in TEXTS] + [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 1]) for n in NUMBERS]
outputs = [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])]
second_class = helper.make_tensor("second_class", TensorProto.INT64, [1], [1])
opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)]


def whole(extra, output):
    graph = helper.make_graph(nodes + extra, "codes", inputs, [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 1])], [*trees.initializer, second_class])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


trained = booster
raw = lambda given, _=None: trained.predict(coded(frame_of(given)), raw_score=True)
by_coalitions("codes", whole([], "probability"), raw, rows, background, names, "log_odds")
# A feature beside the trees: what the trees give is not what the model answers, though it is so on many rows.
beside = [helper.make_node("Relu", ["north"], ["positive"]), helper.make_node("IsNaN", ["positive"], ["unknown"]), helper.make_node("Where", ["unknown", "probability", "positive"], ["beside"])]
corrected = lambda given, _: np.where(np.isnan(f := frame_of(given)["north"].to_numpy()), 1 / (1 + np.exp(-raw(given))), np.maximum(f, 0))
by_coalitions("beside", whole(beside, "beside"), corrected, rows, background, names, "output", "sampled")

booster = lightgbm_model({"objective": "multiclass", "num_class": 3}, x, classes)
matrix = [{"name": f"x{i}", "type": "float64"} for i in range(5)]
predicted = booster.predict(x[-EXPLAINED:]).argmax(axis=1)
of_class = lambda given, row: booster.predict(np.array(given, dtype=np.float32), raw_score=True)[:, predicted[row]]
by_coalitions("light_classes", lightgbm_onnx(booster, 5), of_class, numbers(x[-EXPLAINED:]), numbers(x[:BACKGROUND]), matrix, "score")

linear = LogisticRegression().fit(x, binary)
by_coalitions("linear", to_onnx(linear, x[:1], options=plain), lambda given, _: linear.predict_proba(np.array(given, dtype=np.float32))[:, 1], numbers(x[-EXPLAINED:]), numbers(x[:BACKGROUND]), matrix, "output", "sampled")

print(json.dumps(said))
