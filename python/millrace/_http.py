"""A client of a Millrace server, for the parts of this package that ask it something. Needs nothing but the standard library."""

from __future__ import annotations

import json
import os
import time
from typing import Any, BinaryIO, Mapping
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

_DEFAULT_URL = "http://127.0.0.1:4600"


class MillraceError(Exception):
    """What the server, or the way to it, did not do. `status` is HTTP's, 0 where the server could not be reached; `code` the server's."""

    def __init__(self, message: str, status: int = 0, code: str | None = None):
        super().__init__(message)
        self.status = status
        self.code = code


class Http:
    """`url` and `token`, else MILLRACE_URL and MILLRACE_TOKEN, else a server on this machine."""

    def __init__(self, url: str | None = None, token: str | None = None, timeout: float = 60.0):
        self.url = (url or os.environ.get("MILLRACE_URL") or _DEFAULT_URL).rstrip("/")
        self.token = token or os.environ.get("MILLRACE_TOKEN")
        self.timeout = timeout

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """`path` begins with a slash; parts that come from elsewhere go through `segment`."""
        return _parsed(self.request("GET", path, query=query))

    def post(self, path: str, body: Any = None) -> Any:
        return _parsed(self.request("POST", path, body=body))

    def put(self, path: str, body: Any = None) -> Any:
        return _parsed(self.request("PUT", path, body=body))

    def delete(self, path: str) -> Any:
        return _parsed(self.request("DELETE", path))

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        data: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The answer's bytes. `body` goes as JSON, `data` as it is (a file needs the header content-length). A GET is tried again where the server is away."""
        sent = dict(headers or {})
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        elif data is not None:
            sent.setdefault("content-type", "application/octet-stream")
        with self.open(method, path, query=query, data=data, headers=sent) as answer:
            return answer.read()

    def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        data: bytes | BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer as a stream, for what may be large. Close it."""
        given = {k: v for k, v in (query or {}).items() if v is not None}
        address = self.url + path + ("?" + urlencode(given, doseq=True) if given else "")
        sent = dict(headers or {})
        if self.token:
            sent["authorization"] = f"Bearer {self.token}"
        attempts = 4 if method in ("GET", "HEAD") else 1
        for attempt in range(1, attempts + 1):
            try:
                return urlopen(Request(address, data=data, headers=sent, method=method), timeout=self.timeout)
            except HTTPError as error:
                if error.code in (502, 503, 504) and attempt < attempts:
                    time.sleep(0.5 * 2**attempt)
                    continue
                raise _told(error) from None
            except (URLError, OSError) as error:
                if attempt < attempts:
                    time.sleep(0.5 * 2**attempt)
                    continue
                reason = getattr(error, "reason", error)
                raise MillraceError(f"the Millrace server at {self.url} can't be reached: {reason}. MILLRACE_URL names another one") from None
        raise AssertionError("unreachable")


def segment(text: str) -> str:
    """One part of a path, whatever it holds."""
    return quote(text, safe="")


def _parsed(answer: bytes) -> Any:
    return json.loads(answer) if answer else None


def _told(error: HTTPError) -> MillraceError:
    try:
        told = json.loads(error.read())["error"]
        return MillraceError(str(told["message"]), error.code, told.get("code"))
    except (ValueError, KeyError, TypeError):
        return MillraceError(f"the Millrace server answered {error.code}", error.code)
