"""Features of a Millrace server: online now, offline as of a moment, and pushed.

    from millrace import features

    rows = features.online("delay_features", {"origin": ["JFK"], "carrier": ["UA"], "at": ["2013-06-01T10:00:00Z"]})
    train = features.historical("delay_features", frame)       # frame with the service's columns, each row as of its own moment
    features.push("weather", frame)

Tables are what you have: a pandas DataFrame, pyarrow's or polars' table, a dict of columns, or a list of dicts. A DataFrame comes back as one,
anything else as a dict of columns. The server is the one at MILLRACE_URL with MILLRACE_TOKEN, or `url` and `token`.
"""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any, Iterable, Mapping, Union
from urllib.parse import quote

from ._http import Http

__all__ = ["Online", "historical", "online", "push"]

Columns = dict[str, list[Any]]
Rows = Union[Mapping[str, Iterable[Any]], Iterable[Mapping[str, Any]], Any]

_most_rows = 10_000


class Online(dict):
    """The features by name. `status` says for each view how each row was found: PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE."""

    status: dict[str, list[str]]

    def __init__(self, features: Columns, status: dict[str, list[str]]):
        super().__init__(features)
        self.status = status

    def pandas(self) -> Any:
        import pandas

        return pandas.DataFrame(dict(self))


def online(service: str, rows: Rows, *, url: str | None = None, token: str | None = None) -> Online:
    """What the service's model takes for rows of its request, now."""
    http = Http(url, token)
    features: Columns = {}
    status: dict[str, list[str]] = {}
    for part in _parts(_columns(rows), _most_rows):
        answer = http.post(f"/api/v1/feature-services/{quote(service, safe='')}/online", {"request": part})
        for into, found in ((features, answer["features"]), (status, answer["status"])):
            for name, values in found.items():
                into.setdefault(name, []).extend(values)
    return Online(features, status)


def historical(service: str, rows: Rows, *, as_of: str = "known", url: str | None = None, token: str | None = None) -> Any:
    """The rows with the service's features, each as of its own moment, which is in the service's timestamp.

    as_of: "known" (what had been created by then) or "event_time" (Feast's rule: also what was created or corrected later).
    """
    http = Http(url, token, timeout=600.0)
    columns = _columns(rows)
    features: Columns = {}
    for part in _parts(columns, 50_000):
        answer = http.post(f"/api/v1/feature-services/{quote(service, safe='')}/historical", {"rows": part, "asOf": as_of})
        for name, values in answer["features"].items():
            features.setdefault(name, []).extend(values)
    if _is(rows, "pandas"):
        return rows.assign(**features)
    return {**columns, **features}


def push(view: str, rows: Rows, *, url: str | None = None, token: str | None = None) -> int:
    """Adds rows of the view's columns. They are durable, and seen by every read that begins afterwards. Pushed again, nothing is counted twice."""
    http = Http(url, token)
    pushed = 0
    for part in _parts(_columns(rows), _most_rows):
        pushed += http.post(f"/api/v1/feature-views/{quote(view, safe='')}/push", {"columns": part})["rows"]
    return pushed


def _is(rows: Any, module: str) -> bool:
    return type(rows).__module__.split(".")[0] == module


def _columns(rows: Rows) -> Columns:
    if _is(rows, "pandas"):
        named = {str(name): rows[name].tolist() for name in rows.columns}
    elif _is(rows, "pyarrow"):
        named = rows.to_pydict()
    elif _is(rows, "polars"):
        named = rows.to_dict(as_series=False)
    elif isinstance(rows, Mapping):
        named = {name: list(values) for name, values in rows.items()}
    else:
        listed = list(rows)
        names = list(dict.fromkeys(name for row in listed for name in row))
        named = {name: [row.get(name) for row in listed] for name in names}
    return {name: [_plain(value) for value in values] for name, values in named.items()}


def _plain(value: Any) -> Any:
    """A value as JSON has it: moments in UTC, nothing for what is no value."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, datetime.datetime):
        # Without a zone it is UTC.
        moment = value if value.tzinfo is None else value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return f"{moment.isoformat()}Z"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if hasattr(value, "item"):
        return _plain(value.item())
    raise TypeError(f"a column holds a {type(value).__name__}: give numbers, texts, true and false, dates and moments")


def _parts(columns: Columns, size: int) -> Iterable[Columns]:
    rows = max((len(values) for values in columns.values()), default=0)
    for start in range(0, max(rows, 1), size):
        yield {name: values[start : start + size] for name, values in columns.items()}
