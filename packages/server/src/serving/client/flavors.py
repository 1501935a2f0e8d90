"""Logs and registers models of several flavors as their makers do, and says on its last line what they give themselves."""

import json

import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

NEEDS = ["mlflow-skinny==3.17.2", "scikit-learn==1.7.2", "pandas==2.3.3", "numpy==2.2.6", "scipy==1.15.3", "cloudpickle==3.1.2", "skops==0.16.0", "xgboost-cpu==3.2.0"]
CLIENT = mlflow.MlflowClient()


class Greeting(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[dict[str, str]], params=None) -> list[str]:
        return [f"Hello {row['name']}" for row in model_input]


def register(name, log, **more):
    with mlflow.start_run():
        info = log(name=name, registered_model_name=name, **more)
    CLIENT.set_registered_model_alias(name, "champion", info.registered_model_version)


frame = pd.DataFrame({"color": ["red", "blue", "red", "green"] * 50, "x": np.linspace(-2, 2, 200)})
known = (frame["x"] + (frame["color"] == "red") > 0).astype(int)
columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["color"]), remainder="passthrough")
pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, known)
probabilities = pipeline.predict_proba(frame)
register(
    "colours",
    mlflow.sklearn.log_model,
    sk_model=pipeline,
    signature=infer_signature(frame, probabilities),
    pip_requirements=NEEDS,
    pyfunc_predict_fn="predict_proba",
)

matrix = np.stack([frame["x"].to_numpy(), (frame["color"] == "red").to_numpy()], axis=1).astype("float32")
trees = xgboost.XGBClassifier(n_estimators=5, max_depth=2).fit(matrix, known)
scores = trees.get_booster().predict(xgboost.DMatrix(matrix))
register(
    "trees", mlflow.xgboost.log_model, xgb_model=trees.get_booster(), signature=infer_signature(matrix, scores), pip_requirements=NEEDS
)

register("greeting", mlflow.pyfunc.log_model, python_model=Greeting(), pip_requirements=NEEDS)
print(json.dumps({"colours": probabilities[:4].tolist(), "trees": scores[:4].tolist()}))
