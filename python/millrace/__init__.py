"""What a Python step of a Millrace pipeline is given, and where it leaves what it makes.

    import millrace

    rows = millrace.inputs()["train"].pandas()
    depth = millrace.params()["depth"]
    ...
    millrace.progress(3, 10, "third fold")
    millrace.metrics({"train_loss": 0.31}, step=3)
    millrace.metrics({"auc": 0.91})
    millrace.output("scores").write(scores)          # a table: a DataFrame, or pyarrow's or polars' table
    mlflow.sklearn.save_model(model, millrace.output("model"))

Needs nothing but Python's standard library; pyarrow, pandas and polars are used where they are installed and asked for.
"""

from __future__ import annotations

import os

# A step that only reads a param is not to wait for what it does not use: the parts are imported when they are needed.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Union

    from ._files import Input, Output

    AnyInput = Union[Input, list["AnyInput"]]

__all__ = ["Input", "Output", "inputs", "metrics", "output", "params", "progress", "run_id", "step_id"]
__version__ = "0.1.0"

_step: dict[str, Any] | None = None
_last_progress = 0.0


def inputs() -> Mapping[str, Any]:
    """The step's inputs by name: an `Input`, or a list of them where the step takes what a map gave. What is optional and not there is left out."""
    from ._files import Named, input_of

    there = {name: given for name, given in _note()["inputs"].items() if given.get("type") != "value" or given["value"] is not None}
    return Named("input", {name: input_of(name, given) for name, given in there.items()})


def params() -> Mapping[str, Any]:
    """The values of the inputs that are params or constants, by the input's name."""
    from ._named import Named

    return Named("param", _note()["params"])


def output(name: str) -> Output:
    """Where to write an output: a path, and `write` for values.

    A model: a folder that you make, or one file. A table: one Parquet file, or a folder that you make with Parquet files in it.
    A file: one file of any kind. Anything else: one JSON file.
    """
    from ._files import output_of
    from ._named import Named

    return output_of(name, Named("output", _note()["outputs"])[name])


def progress(done: float | None = None, total: float | None = None, message: str | None = None) -> None:
    """Shown with the step while it runs. Call it as often as you like: what comes more often than some times a second is left out, but not the end."""
    global _last_progress
    import time

    now = time.monotonic()
    if now - _last_progress < 0.2 and (done is None or done != total):
        return
    _last_progress = now
    _report({"progress": {k: v for k, v in (("done", done), ("total", total), ("message", message)) if v is not None}})


def metrics(values: Mapping[str, float], step: int | None = None) -> None:
    """Numbers that are shown with the step. With `step`, those of a step of training: points of the run's curves, as `mlflow.log_metrics` logs them."""
    told = {str(name): float(value) for name, value in values.items()}
    if step is None:
        _report({"metrics": told})
    else:
        from ._track import log_points

        log_points(told, int(step))


def run_id() -> str:
    """The run of the pipeline."""
    return str(_note()["run"])


def step_id() -> str:
    """The step's id within the run."""
    return str(_note()["step"])


def __getattr__(name: str) -> Any:
    if name in ("Input", "Output"):
        from . import _files

        return getattr(_files, name)
    raise AttributeError(f"module 'millrace' has no attribute {name!r}")


def _note() -> dict[str, Any]:
    global _step
    if _step is None:
        file = os.environ.get("MILLRACE_STEP_FILE")
        if file is None:
            raise RuntimeError(
                "this is no step of a Millrace pipeline: its inputs, params and outputs are there where Millrace runs it. "
                "Run the pipeline (millrace run <pipeline>), or one step of a run again on this machine (millrace debug <run> <step>)"
            )
        import json

        with open(file, encoding="utf-8") as source:
            _step = json.load(source)
    return _step


def _report(what: dict[str, Any]) -> None:
    """A line for who started the step. Outside of a step it goes nowhere, so that code that reports can be used anywhere."""
    descriptor = os.environ.get("MILLRACE_REPORT_FD")
    if descriptor is None:
        return
    import json

    try:
        os.write(int(descriptor), (json.dumps(what) + "\n").encode())
    except (OSError, ValueError):
        # A process that the step started may not have it.
        pass
