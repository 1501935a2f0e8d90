"""Versions of datasets, from Python.

    import millrace.datasets

    flights = millrace.datasets.load("flights")                       # the newest version
    march = millrace.datasets.load("flights", as_of="2013-03-01T00:00:00Z", partition="2013-03")
    frame = march.pandas()                                            # or .arrow(), .polars(), .paths

Files are kept by their digest in MILLRACE_CACHE (default ~/.cache/millrace), so that a part that is there is not fetched again.
pyarrow, pandas and polars are used where they are installed; paths need nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from ._http import Http, MillraceError, segment

__all__ = ["Dataset", "load", "push", "split"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Dataset:
    """A version's rows, as Parquet files of this machine in their order."""

    name: str
    version: Optional[int]
    digest: str
    rows: int
    paths: List[str]

    @property
    def path(self) -> str:
        """The one file of a version that has one."""
        if len(self.paths) != 1:
            raise ValueError(f"this version has {len(self.paths)} files: use .paths")
        return self.paths[0]

    def arrow(self) -> Any:
        """As pyarrow.Table: columns that came later are null in earlier files, and a column has the type that holds all."""
        import pyarrow
        import pyarrow.parquet

        tables = [pyarrow.parquet.read_table(path, partitioning=None) for path in self.paths]
        return tables[0] if len(tables) == 1 else pyarrow.concat_tables(tables, promote_options="permissive")

    def pandas(self) -> Any:
        return self.arrow().to_pandas()

    def polars(self) -> Any:
        import polars

        return polars.concat([polars.read_parquet(path) for path in self.paths], how="diagonal_relaxed")


def load(
    name: str,
    *,
    version: Optional[int] = None,
    as_of: Union[str, datetime, None] = None,
    partition: Optional[str] = None,
    url: Optional[str] = None,
    token: Optional[str] = None,
) -> Dataset:
    """A version by its number, the newest one as of a moment (a time without a zone is in UTC), or the newest; whole, or one partition of it."""
    if version is not None and as_of is not None:
        raise ValueError("give a version or as_of, not both")
    http = Http(url, token)
    base = f"/api/v1/datasets/{segment(name)}"
    if as_of is not None:
        found = http.get(f"{base}/as-of", {"at": _moment(as_of)})
    elif version is not None:
        found = http.get(f"{base}/versions/{int(version)}")
    else:
        latest = http.get(base)["latest"]
        if latest is None:
            raise MillraceError(f'the dataset "{name}" has no accepted version yet', 404, "NOT_FOUND")
        found = http.get(f"{base}/versions/{latest['version']}")
    parts = found["parts"]
    if partition is not None:
        parts = [part for part in parts if part["partition"] == partition]
        if not parts:
            known = sorted({part["partition"] for part in found["parts"] if part["partition"] is not None})
            raise KeyError(f"version {found['version']} of {name} has no partition {partition!r}; it has {', '.join(known[:10]) or 'none'}")
    place = f"{base}/versions/{found['version']}/parts/"
    paths = [_fetched(http, place + segment(part["digest"]), part["digest"]) for part in parts]
    return Dataset(name, found["version"], found["digest"], sum(part["rows"] for part in parts), paths)


def split(
    name: str,
    shares: Mapping[str, Union[float, str]],
    *,
    columns: Sequence[str] = (),
    by: str = "group",
    seed: str = "",
    version: Optional[int] = None,
    url: Optional[str] = None,
    token: Optional[str] = None,
) -> Dict[str, Dataset]:
    """Rows on the side that the values of `columns` lead to: `split("flights", {"train": 0.8, "test": 0.2}, columns=["tailnum"])`. Always the same.

    By time, the last of them and what is before: `split("flights", {"test": "28d"}, by="time")`, or `{"train": "365d", "test": "28d"}`.
    `columns` names the column of the time where it is not the dataset's timestamp.
    """
    if by == "time":
        if "test" not in shares or not set(shares) <= {"train", "test"} or len(columns) > 1:
            raise ValueError('by time, say {"test": "28d"} or {"train": "365d", "test": "28d"}, and at most one column')
    elif not columns:
        raise ValueError("say by which columns the rows are divided")
    http = Http(url, token)
    of = version if version is not None else http.get(f"/api/v1/datasets/{segment(name)}")["latest"]["version"]
    body: Dict[str, Any]
    if by == "time":
        body = {"by": by, **shares, **({"timestamp": columns[0]} if columns else {})}
    else:
        body = {"by": by, "columns": list(columns), "seed": seed, "shares": [{"name": side, "share": share} for side, share in shares.items()]}
    made = http.post(f"/api/v1/datasets/{segment(name)}/versions/{of}/splits", body)["splits"]
    return {
        one["name"]: Dataset(name, of, one["digest"], one["rows"], [_fetched(http, f"/api/v1/objects/{segment(one['file'])}", one["file"])])
        for one in made
    }


def push(
    name: str, rows: Iterable[Mapping[str, Any]], *, key: Optional[str] = None, online: bool = False, url: Optional[str] = None, token: Optional[str] = None
) -> Dict[str, Any]:
    """Rows that are durable when it returns, and in a version soon after. With a key, it can be sent again and is taken once.

    online: feature views that take the dataset's rows as they are have them too, and every read that begins afterwards counts them; 10,000 rows at most.
    """
    lines = "\n".join(json.dumps(dict(row), default=_plain) for row in rows).encode()
    headers = {"content-type": "application/x-ndjson"}
    if key is not None:
        headers["idempotency-key"] = key
    route = f"/api/v1/datasets/{segment(name)}/rows{'?online=true' if online else ''}"
    return json.loads(Http(url, token).request("POST", route, data=lines, headers=headers))


def _plain(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} can't be pushed: give numbers, texts, booleans, times or None")


def _moment(at: Union[str, datetime]) -> str:
    if isinstance(at, str):
        return at
    return (at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)).isoformat()


def _fetched(http: Http, route: str, digest: str) -> str:
    """The object's file in the cache; fetched, checked and renamed in one step where it is not there."""
    kind, _, hexadecimal = digest.partition(":")
    if kind != "sha256" or len(hexadecimal) != 64 or not all(c in "0123456789abcdef" for c in hexadecimal):
        raise MillraceError(f"the server names a file {digest!r}, which is no digest")
    cache = pathlib.Path(os.environ.get("MILLRACE_CACHE") or pathlib.Path.home() / ".cache" / "millrace")
    target = cache / hexadecimal[:2] / f"{hexadecimal[2:]}.parquet"
    if target.exists():
        return str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".fetch-")
    try:
        digester = hashlib.sha256()
        with os.fdopen(handle, "wb") as file, http.open("GET", route) as answer:
            while chunk := answer.read(_CHUNK):
                digester.update(chunk)
                file.write(chunk)
        if digester.hexdigest() != hexadecimal:
            raise MillraceError("a file came incomplete; load it again")
        os.replace(temporary, target)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise
    return str(target)
