"""Makes models with MLflow's own client, each in a folder of its own below the one that is named: what a server is tried with."""

import os
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from mlflow.models.signature import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

FOLDER = Path(sys.argv[1])
# The same as those of serving/client/flavors.py, so that tests make one environment.
NEEDS = ["mlflow-skinny==3.17.2", "scikit-learn==1.7.2", "pandas==2.3.3", "numpy==2.2.6", "scipy==1.15.3", "cloudpickle==3.1.2", "skops==0.16.0", "xgboost-cpu==3.2.0"]


class Moody(mlflow.pyfunc.PythonModel):
    """Does what the rows say. It counts its calls, so that one can tell which process answered."""

    def load_context(self, context):
        self.calls = 0

    def predict(self, context, model_input, params=None):
        self.calls += 1
        for what in model_input["what"]:
            if what == "hang":
                while True:
                    time.sleep(1)
            if what == "die":
                os._exit(3)
            if what == "memory":
                np.ones(1 << 40, dtype="uint8")
            if what == "grow":
                kept = []
                while True:
                    kept.append(np.ones(1 << 24, dtype="uint8"))
            if what == "disk":
                with open("large", "wb") as file:
                    while True:
                        file.write(b"x" * (1 << 20))
            if what == "files":
                for at in range(1_000):
                    Path(f"small-{at}").write_bytes(b"x" * (1 << 20))
                time.sleep(30)
            if what == "print":
                for at in range(100_000):
                    print("line", at)
            if what == "fail":
                raise ValueError("nothing is known of this row")
            if what == "lie":
                answer = b'{"call":3,"outputs":[{"name":"what","datatype":"BYTES","shape":[1],"data":["a lie"]}]}'
                os.write(3, len(answer).to_bytes(4, "little") + bytes(8) + answer)
            if what == "slow":
                time.sleep(0.3)
        return pd.DataFrame({"process": [os.getpid()] * len(model_input), "calls": [self.calls] * len(model_input), "what": model_input["what"].tolist()})


class Kinds(mlflow.pyfunc.PythonModel):
    """Says what it was given: the type of each column and of its first value."""

    def predict(self, context, model_input, params=None):
        said = [f"{name} {model_input[name].dtype} {type(model_input[name].iloc[0]).__name__} {model_input[name].iloc[0]!r}" for name in model_input.columns]
        return {"said": said}


class Forms(mlflow.pyfunc.PythonModel):
    """Answers in the form that the one text asks for."""

    def predict(self, context, model_input, params=None):
        form = model_input["form"].iloc[0]
        return {
            "array": lambda: np.array([[1.5, 2.5], [3.5, 4.5]], dtype="float32"),
            "frame": lambda: pd.DataFrame({"label": ["a", None], "score": [1, 2], "at": pd.to_datetime(["2020-01-02T03:04:05Z", None])}),
            "nullable": lambda: pd.DataFrame(
                {"whole": pd.array([1, None], dtype="Int64"), "truth": pd.array([True, False], dtype="boolean"), "kind": pd.Categorical(["x", "y"])}
            ),
            "series": lambda: pd.Series([True, False], name="whatever"),
            "texts": lambda: ["grün", "b"],
            "records": lambda: [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
            "dictionary": lambda: {"one": np.arange(3, dtype="int8"), "two": "text", "three": 4.5, "bytes": [b"\xff\x00", b""]},
            "number": lambda: 7,
            "nested": lambda: [{"a": [1, 2]}, {"b": None}],
            "half": lambda: np.array([1.5, -2], dtype="float16"),
            "nothing": lambda: None,
            "complex": lambda: np.array([1j]),
        }[form]()


class Upper(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str], params=None) -> list[str]:
        return [text.upper() for text in model_input]


class Unloadable(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        raise RuntimeError("the weights are not what they were")

    def predict(self, context, model_input, params=None):
        return model_input


def sums(model_input):
    return model_input.sum(axis=1)


def of_colours():
    frame = pd.DataFrame({"color": ["red", "blue", "red", "green"] * 50, "x": np.linspace(-2, 2, 200)})
    known = (frame["x"] + (frame["color"] == "red") > 0).astype(int)
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["color"]), remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression()).fit(frame, known)
    return model, frame


def save(name, python_model, inputs=None, outputs=None):
    signature = None if inputs is None else ModelSignature(inputs=Schema(inputs), outputs=None if outputs is None else Schema(outputs))
    mlflow.pyfunc.save_model(FOLDER / name, python_model=python_model, signature=signature, pip_requirements=NEEDS)


if __name__ == "__main__":
    model, frame = of_colours()
    probabilities = model.predict_proba(frame)
    mlflow.sklearn.save_model(
        model, FOLDER / "colours", signature=infer_signature(frame, probabilities), pip_requirements=NEEDS, pyfunc_predict_fn="predict_proba"
    )
    save("moody", Moody(), [ColSpec("string", "what")], [ColSpec("long", "process"), ColSpec("long", "calls"), ColSpec("string", "what")])
    kinds = ["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"]
    optional = ColSpec("double", "maybe", required=False)
    messages = infer_signature([{"messages": [{"role": "user", "content": "hello"}]}]).inputs.inputs
    save("kinds", Kinds(), [*[ColSpec(kind, kind) for kind in kinds], optional, *messages], [ColSpec("string", "said")])
    save("forms", Forms())
    save("upper", Upper())
    save("unloadable", Unloadable(), [ColSpec("string", "what")])
    save("sums", sums, [TensorSpec(np.dtype("float32"), (-1, 3))], [TensorSpec(np.dtype("float32"), (-1,))])
    save("pairs", lambda model_input: model_input["left"] * model_input["right"], [TensorSpec(np.dtype("int64"), (-1,), "left"), TensorSpec(np.dtype("int64"), (-1,), "right")])
    print(probabilities[:4].tolist())
