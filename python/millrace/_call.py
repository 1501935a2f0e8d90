"""Calls the function that a step names: its inputs are the arguments, its result the outputs."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, get_args, get_origin

import millrace
from millrace._files import Input


def call(module: str, function: str) -> None:
    named = getattr(importlib.import_module(module), function, None)
    if not callable(named):
        raise AttributeError(f"the module {module!r} has no function {function!r}")
    # What is optional and not there is None.
    given = {**dict.fromkeys(millrace._note()["inputs"]), **millrace.inputs()}
    outputs = millrace._note()["outputs"]
    try:
        signature = inspect.signature(named, eval_str=True)
    except NameError:
        # Annotations of what is imported for type checkers only.
        signature = inspect.signature(named)
    parameters = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    needed = {n for n, p in parameters.items() if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if missing := needed - given.keys():
        raise TypeError(f"{module}:{function} takes {_names(missing)}, and the step has no such input; it has {_names(given)}")
    if not open_ended and (more := given.keys() - parameters.keys()):
        raise TypeError(f"{module}:{function} takes no {_names(more)}, which the step gives; it takes {_names(parameters)}")
    arguments = {n: _argument(v, parameters[n].annotation if n in parameters else inspect.Parameter.empty) for n, v in given.items()}
    positional = [arguments.pop(n) for n, p in parameters.items() if p.kind is p.POSITIONAL_ONLY and n in arguments]
    _leave(named(*positional, **arguments), list(outputs), f"{module}:{function}")


def _argument(given: Any, annotation: Any) -> Any:
    if isinstance(given, list):
        inner = get_args(annotation)
        return [_argument(item, inner[0] if get_origin(annotation) in (list, tuple) and inner else inspect.Parameter.empty) for item in given]
    if given is None:
        return None
    assert isinstance(given, Input)
    # `DataFrame | None` means the DataFrame.
    choices = [a for a in get_args(annotation) if a is not type(None)] if type(None) in get_args(annotation) else [annotation]
    wanted = choices[0]
    name = wanted if isinstance(wanted, str) else f"{getattr(wanted, '__module__', '')}.{getattr(wanted, '__qualname__', '')}"
    if name.endswith("Input") and "millrace" in name:
        return given
    if given.type == "table":
        if name.endswith("DataFrame"):
            return given.polars() if name.startswith(("polars", "pl.")) else given.pandas()
        if name.endswith("LazyFrame"):
            return given.polars().lazy()
        if name.endswith("Table"):
            return given.read()
    if name.startswith("pathlib") or name.endswith("Path"):
        import pathlib

        return pathlib.Path(given.paths[0] if len(given.paths) == 1 else str(given.folder))
    if given.type in ("table", "model", "file"):
        if get_origin(wanted) is list or wanted is list:
            return given.paths
        return given.paths[0] if len(given.paths) == 1 else given.folder
    return given.value


def _leave(result: Any, outputs: list[str], called: str) -> None:
    if result is None or not outputs:
        # It may have written them itself.
        return
    if len(outputs) == 1:
        # By its name, as where there are several; or itself.
        results = result if isinstance(result, dict) and list(result) == outputs else {outputs[0]: result}
    elif isinstance(result, tuple) and not hasattr(result, "_fields") and len(result) == len(outputs):
        results = dict(zip(outputs, result))
    else:
        results = dict(result._asdict()) if hasattr(result, "_asdict") else result
        if not isinstance(results, dict) or not results.keys() <= set(outputs):
            raise TypeError(f"{called} has the outputs {_names(outputs)}: return a dict by these names, or a tuple in this order")
    for name, value in results.items():
        if value is not None:
            millrace.output(name).write(value)


def _names(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"
