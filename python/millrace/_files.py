"""Inputs and outputs of a step, as files and as what Python makes of them."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from typing import Any

from ._named import Named as Named

_JSON = ("json", "report", "metrics", "model_version")


class Input:
    """One input of the step.

    type: "table", "model", "file", "json", "metrics", "report", "model_version", or "value" for a param.
    paths: its files on this machine: a table's Parquet files in order, a model's files.
    folder: the folder that holds them; None for a value.
    """

    def __init__(self, name: str, type: str, paths: list[str], folder: str | None = None, value: Any = None):
        self.name = name
        self.type = type
        self.paths = paths
        self.folder = folder
        self._value = value

    def __repr__(self) -> str:
        return f"<millrace input {self.name!r}: {self.type}, {len(self.paths)} files>"

    @property
    def path(self) -> str:
        """The one file of an input that has one."""
        if len(self.paths) != 1:
            raise ValueError(f"the input {self.name!r} has {len(self.paths)} files: use .paths, or .folder")
        return self.paths[0]

    @property
    def value(self) -> Any:
        """A param's value, or what a JSON file holds; None for tables, models and files."""
        if self._value is None and self.type in _JSON and len(self.paths) == 1:
            with open(self.paths[0], encoding="utf-8") as source:
                self._value = json.load(source)
        return self._value

    def json(self) -> Any:
        """What a JSON input holds."""
        if self.type not in (*_JSON, "value"):
            raise TypeError(f"the input {self.name!r} is a {self.type}, and holds no JSON")
        return self.value

    def read(self, columns: list[str] | None = None) -> Any:
        """A table, as a pyarrow.Table."""
        return _library("pyarrow", "pyarrow.parquet").ParquetDataset(self._table()).read(columns=columns)

    def pandas(self, columns: list[str] | None = None) -> Any:
        """A table, as a pandas.DataFrame."""
        _library("pandas", "pandas")
        return self.read(columns).to_pandas()

    def polars(self, columns: list[str] | None = None) -> Any:
        """A table, as a polars.DataFrame."""
        return _library("polars", "polars").read_parquet(self._table(), columns=columns)

    def _table(self) -> list[str]:
        if self.type != "table":
            raise TypeError(f"the input {self.name!r} is a {self.type}, no table: use .path, .paths or .folder")
        return self.paths


class Output(type(pathlib.Path())):  # type: ignore[misc]
    """Where an output is written: a path, with `write` for values.

    `write` takes for a table a pandas.DataFrame, a pyarrow.Table, a polars.DataFrame or a list of rows; for a model or a file bytes, or the path of a file or
    folder that is copied; for JSON and metrics what json can write. A path of Parquet or JSON is copied too.
    """

    millrace_name: str
    millrace_type: str

    # A place within an output is a plain path: libraries, as onnx.save, take what has a `write` for an open file.
    def __truediv__(self, key: Any) -> pathlib.Path:
        return pathlib.Path(self) / key

    def joinpath(self, *segments: Any) -> pathlib.Path:
        return pathlib.Path(self, *segments)

    def with_segments(self, *segments: Any) -> pathlib.Path:  # What Python 3.12 makes all other paths with.
        return pathlib.Path(*segments)

    def write(self, value: Any) -> None:
        name, type = self.millrace_name, self.millrace_type
        if isinstance(value, (str, os.PathLike)) and type not in (*_JSON, "file") or isinstance(value, os.PathLike):
            _copy(os.fspath(value), self, type)
        elif type == "table":
            _write_table(value, self)
        elif type in _JSON:
            self.write_text(_json(name, type, value), encoding="utf-8")
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self.write_bytes(value)
        elif isinstance(value, str):
            self.write_text(value, encoding="utf-8")
        elif hasattr(value, "SerializeToString"):
            # ONNX, and other models that are Protocol Buffers.
            self.mkdir(exist_ok=True)
            (self / "model.onnx").write_bytes(value.SerializeToString())
        else:
            kind = f"{value.__class__.__module__}.{value.__class__.__qualname__}"
            raise TypeError(
                f"the output {name!r} is a {type}, and a {kind} has no one way to be written: give bytes or a path, or save it yourself, "
                f"as mlflow.sklearn.save_model(model, millrace.output({name!r}))"
            )


def input_of(name: str, given: Any) -> Any:
    if "items" in given:
        return [input_of(f"{name}[{i}]", item) for i, item in enumerate(given["items"])]
    return Input(name, given["type"], given["paths"], given.get("folder"), given.get("value"))


def output_of(name: str, given: dict[str, Any]) -> Output:
    made = Output(given["path"])
    made.millrace_name, made.millrace_type = name, given["type"]
    return made


def _copy(source: str, target: pathlib.Path, type: str) -> None:
    if not os.path.exists(source):
        raise FileNotFoundError(f"there is no {source!r} to be taken as the output {getattr(target, 'millrace_name', '')!r}")
    if os.path.isdir(source):
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif type == "file":
        # It keeps its name.
        target.mkdir(exist_ok=True)
        shutil.copyfile(source, target / os.path.basename(source))
    else:
        shutil.copyfile(source, target)


def _write_table(value: Any, target: pathlib.Path) -> None:
    library = value.__class__.__module__.partition(".")[0]
    if library == "polars":
        (value.collect() if hasattr(value, "collect") else value).write_parquet(target)
        return
    arrow = _library("pyarrow", "pyarrow")
    parquet = _library("pyarrow", "pyarrow.parquet")
    if library == "pandas":
        index = not (value.index.__class__.__name__ == "RangeIndex" and value.index.name is None) if hasattr(value, "columns") else False
        # What is no column is not lost without a word: an index with a name becomes one.
        value = arrow.Table.from_pandas(value.reset_index() if index and value.index.names != [None] else value, preserve_index=False)
    elif isinstance(value, arrow.RecordBatch):
        value = arrow.Table.from_batches([value])
    elif isinstance(value, list):
        value = arrow.Table.from_pylist(value)
    elif isinstance(value, dict):
        value = arrow.Table.from_pydict(value)
    elif not isinstance(value, arrow.Table):
        raise TypeError(f"a table is written from a pandas or polars DataFrame, a pyarrow.Table, a list of rows or a dict of columns, not from {value.__class__!r}")
    parquet.write_table(value, target)


def _json(name: str, type: str, value: Any) -> str:
    def plain(other: Any) -> Any:
        # numpy's and torch's numbers and arrays.
        for convert in ("item", "tolist"):
            try:
                return getattr(other, convert)()
            except (AttributeError, ValueError, RuntimeError):
                continue
        raise TypeError(f"the output {name!r} is JSON, which can't hold a {other.__class__.__module__}.{other.__class__.__qualname__}")

    if type == "metrics" and not hasattr(value, "items"):
        raise TypeError(f"the output {name!r} is metrics: give a dict of numbers by name")
    return json.dumps(dict(value) if type == "metrics" else value, default=plain)


def _library(package: str, module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{package} is not installed in the step's environment: add it to the step's requirements", name=package) from error
