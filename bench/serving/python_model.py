"""A model that is not ONNX, in MLflow's form, and how fast it is by itself.

python python_model.py save <folder>            writes it
python python_model.py alone <folder> <rows> <seconds>   calls it with so many rows, one call after the other, and prints calls a second as JSON
"""

import json
import sys
import time

import mlflow
import numpy

WIDTH = 20
random = numpy.random.default_rng(7)


def matrix(rows):
    return random.normal(size=(rows, WIDTH)).astype(numpy.float32)


def save(folder):
    import sklearn
    from sklearn.ensemble import GradientBoostingClassifier

    x = matrix(20_000)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
    model = GradientBoostingClassifier(n_estimators=100, subsample=0.3, random_state=7).fit(x, y)
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=mlflow.models.infer_signature(x[:2], model.predict_proba(x[:2])),
        pip_requirements=[f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"],
        pyfunc_predict_fn="predict_proba",
        # What pickles can do is trusted here: this file makes the model.
        serialization_format="cloudpickle",
    )


def alone(folder, rows, seconds):
    model = mlflow.pyfunc.load_model(folder)
    given = [matrix(rows) for _ in range(4)]
    for one in given:
        model.predict(one)
    began = time.perf_counter()
    calls = 0
    while time.perf_counter() - began < seconds:
        model.predict(given[calls % len(given)])
        calls += 1
    print(json.dumps({"per_s": calls / (time.perf_counter() - began)}))


if sys.argv[1] == "save":
    save(sys.argv[2])
else:
    alone(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
