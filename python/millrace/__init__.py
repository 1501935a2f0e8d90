"""What a Python step of a Millrace pipeline is given, and where it leaves what it makes.

    import millrace

    rows = pyarrow.parquet.ParquetDataset(millrace.inputs()["train"].paths).read()
    depth = millrace.params()["depth"]
    folder = millrace.output("model")
    folder.mkdir()

Needs nothing but Python's standard library.
"""

import json
import os
import pathlib
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

__all__ = ["Input", "inputs", "output", "params"]


@dataclass(frozen=True)
class Input:
    """One input of the step.

    type: "table", "model", "json", "report", "model_version", or "value" for a param.
    paths: its files on this machine: a table's Parquet files in order, a model's files.
    value: a param's value, or what a JSON file holds; None for tables and models.
    """

    type: str
    paths: List[str]
    value: Any = None

    @property
    def path(self) -> str:
        """The one file of an input that has one."""
        if len(self.paths) != 1:
            raise ValueError(f"this input has {len(self.paths)} files: use .paths")
        return self.paths[0]


class _Named(dict):
    """Says what there is when something else is asked for."""

    def __init__(self, what: str, values: Dict[str, Any]):
        super().__init__(values)
        self._what = what

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"the step has no {self._what} named {name!r}; it has {', '.join(sorted(self)) or 'none'}")


def inputs() -> Dict[str, Input]:
    """The step's inputs by name."""
    return _Named("input", {name: Input(i["type"], i["paths"], i.get("value")) for name, i in _note("MILLRACE_INPUTS").items()})


def params() -> Dict[str, Any]:
    """The values of the inputs that are params or constants, by the input's name."""
    return _Named("param", _note("MILLRACE_PARAMS"))


def output(name: str) -> pathlib.Path:
    """Where to write an output.

    A model: a folder that you make, or one file. A table: one Parquet file, or a folder that you make with Parquet files in it.
    Anything else: one JSON file.
    """
    place = _Named("output", _note("MILLRACE_OUTPUTS"))[name]
    return pathlib.Path(place["path"])


def _note(variable: str) -> Dict[str, Any]:
    file: Optional[str] = os.environ.get(variable)
    if file is None:
        raise RuntimeError(f"{variable} is not set: this script runs as a step of a Millrace pipeline (millrace run <pipeline>)")
    with open(file, encoding="utf-8") as source:
        return json.load(source)
