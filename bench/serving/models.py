"""The models that are served, as ONNX, and rows to ask about: python models.py <folder>

Both are binary classifiers that take one FP32 matrix "features" of [n, width] and give "label" and "probabilities" [n, 2].
"""

import json
import pathlib
import sys

import numpy
from lightgbm import LGBMClassifier
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType as SklearnFloats
from sklearn.ensemble import GradientBoostingClassifier

folder = pathlib.Path(sys.argv[1])
random = numpy.random.default_rng(7)


def sample(rows, width):
    x = random.normal(size=(rows, width)).astype(numpy.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + numpy.sin(3 * x[:, 3]) + random.normal(scale=0.5, size=rows)) > 0
    return x, y.astype(int)


def write(name, model, onnx, width):
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    (own / "model.onnx").write_bytes(onnx.SerializeToString())
    # Full precision, as a client has its numbers that was given no hint that they end as 32 bits.
    rows = random.normal(size=(1024, width))
    told = model.predict_proba(rows.astype(numpy.float32))[:, 1]
    (own / "rows.json").write_text(json.dumps({"rows": rows.tolist(), "told": told.tolist()}))


x, y = sample(20_000, 20)
small = GradientBoostingClassifier(n_estimators=100, subsample=0.3, random_state=7).fit(x, y)
write("trees100", small, to_onnx(small, initial_types=[("features", SklearnFloats([None, 20]))], options={"zipmap": False}, target_opset=15), 20)

x, y = sample(20_000, 100)
large = LGBMClassifier(n_estimators=300, num_leaves=31, random_state=7, n_jobs=1, verbose=-1).fit(x, y)
write("trees300", large, convert_lightgbm(large, initial_types=[("features", FloatTensorType([None, 100]))], zipmap=False, target_opset=15), 100)
