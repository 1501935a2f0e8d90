"""Values by name that say what there is when something else is asked for."""

from __future__ import annotations


class Named(dict):
    def __init__(self, what: str, values: dict):
        super().__init__(values)
        self._what = what

    def __missing__(self, name: str):
        raise KeyError(f"the step has no {self._what} named {name!r}; it has {', '.join(sorted(self)) or 'none'}")
